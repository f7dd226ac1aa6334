"""Defines what a rewrite is, and the contract that every rewrite fulfils.

A rewrite is a function that changes a graph in place, preserves what the graph computes (its docstring states the tolerance if
it is not exact), and returns where it fired and where it nearly did. ``rewrite`` declares it, with the target's options that it
reads and the rewrites that must run before or after it. Its module's docstring is what ``detr2litert rewrites`` prints: the
hazard, the identity, a Given/Result sketch, when it does not fire, and the evidence.

The driver (``rewrites.driver``) records provenance, removes dead code and lints after every rewrite; a rewrite does none of
these, and does not recompile.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import fx

from detr2litert.graphs.toolbox import module_of


@dataclass(frozen=True)
class Site:
    """A place where a rewrite fired: the node it replaced, that node's module, and what was done."""

    node: str
    module: str
    detail: str


@dataclass(frozen=True)
class Miss:
    """A place where a rewrite nearly fired: the node, its module, and why the rewrite did not apply."""

    node: str
    module: str
    reason: str


Findings = Sequence[Site | Miss]


def fired(node: fx.Node, detail: str) -> Site:
    """Records that a rewrite fired; call it before the node is replaced."""
    return Site(node.name, module_of(node), detail)


def missed(node: fx.Node, reason: str) -> Miss:
    """Records a near miss: the node is of the kind that the rewrite matches; ``reason`` is the condition that does not hold."""
    return Miss(node.name, module_of(node), reason)


@dataclass(frozen=True)
class Rewrite:
    """A declared rewrite.

    Attributes:
        run: ``(graph_module, **options) -> Findings``.
        options: fields of the target's ``Profile`` that are passed to ``run``, by name.
        after, before: names of rewrites that must have run, or must not have run yet, if they are in the pipeline.
    """

    run: Callable[..., Findings]
    options: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    before: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.run.__name__

    @property
    def document(self) -> str:
        """The docstring of the rewrite's module."""
        return document_of(self.run)


def rewrite(
    *, options: tuple[str, ...] = (), after: tuple[str, ...] = (), before: tuple[str, ...] = ()
) -> Callable[[Callable[..., Findings]], Rewrite]:
    """Declares a function as a rewrite; see ``Rewrite`` for the arguments."""
    return lambda run: Rewrite(run, options, after, before)


def document_of(change: Callable[..., Any]) -> str:
    """Returns the docstring of the module of a rewrite or a fix-up, "" if it has none."""
    return inspect.getdoc(sys.modules[change.__module__]) or ""
