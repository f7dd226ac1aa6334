"""The contract that every rewrite keeps.

A rewrite is a function that changes a graph in place, leaves the function that the graph computes unchanged (one that is not
exact states its tolerance in its docstring), and returns where it fired and where it almost did. ``rewrite`` declares it, with
the options of the target that it reads and the rewrites that must come before or after it. Its module's docstring is what
``detr2litert rewrites`` prints: the hazard, the identity, a Given/Result sketch, when it does not fire, and the evidence.

A rewrite does nothing of what the driver does for all of them (``rewrites.driver``): it names no node after itself, removes no
dead code for tidiness, and neither lints nor recompiles.
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
    """One place where a rewrite fired: the node it replaced, the module that node came from, and what was done."""

    node: str
    module: str
    detail: str


@dataclass(frozen=True)
class Miss:
    """One place where a rewrite looked and did not fire: the node, the module it came from, and the reason."""

    node: str
    module: str
    reason: str


Findings = Sequence[Site | Miss]


def fired(node: fx.Node, detail: str) -> Site:
    """A place where a rewrite fired; call it before the node is replaced."""
    return Site(node.name, module_of(node), detail)


def missed(node: fx.Node, reason: str) -> Miss:
    """A near miss: the node is of the kind that the rewrite looks for, and ``reason`` says what else it lacks."""
    return Miss(node.name, module_of(node), reason)


@dataclass(frozen=True)
class Rewrite:
    """A rewrite as it was declared.

    Attributes:
        run: ``(graph_module, **options) -> Findings``.
        options: fields of the target's ``Profile`` that ``run`` takes, by name.
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
        """The rewrite's own explanation: its module's docstring."""
        return document_of(self.run)


def rewrite(
    *, options: tuple[str, ...] = (), after: tuple[str, ...] = (), before: tuple[str, ...] = ()
) -> Callable[[Callable[..., Findings]], Rewrite]:
    """Declare a function as a rewrite; see ``Rewrite`` for the arguments."""
    return lambda run: Rewrite(run, options, after, before)


def document_of(change: Callable[..., Any]) -> str:
    """The own explanation of a rewrite, or of a fix-up of the converted file: its module's docstring, "" if it has none."""
    return inspect.getdoc(sys.modules[change.__module__]) or ""
