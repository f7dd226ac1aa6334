"""Runs rewrites on a graph, with the steps that are common to all of them.

After each rewrite the driver removes dead code, records the rewrite as the provenance of the new nodes, lints the graph and
counts its ops. It runs the rewrites in the given order, and refuses an order that contradicts a rewrite's declaration.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor, fx

from detr2litert.graphs.provenance import stamp
from detr2litert.graphs.toolbox import evaluate_meta, remove_dead_code
from detr2litert.rewrites.contract import Findings, Miss, Rewrite, Site
from detr2litert.rewrites.profile import Profile


@dataclass(frozen=True)
class Step:
    """A rewrite and the reason for its place in the order."""

    rewrite: Rewrite
    reason: str

    @property
    def name(self) -> str:
        return self.rewrite.name

    @property
    def document(self) -> str:
        """The docstring of the rewrite's module."""
        return self.rewrite.document


@dataclass(frozen=True)
class StepReport:
    """The result of one rewrite on one graph: where it fired, where it nearly did, and the number of ops before and after."""

    name: str
    reason: str
    fired: tuple[Site, ...]
    ops_before: int
    ops_after: int
    missed: tuple[Miss, ...] = ()


class OrderError(Exception):
    """The order of two rewrites contradicts the declaration of one; the message names both."""


Observer = Callable[[StepReport, fx.GraphModule], None]
"""Called after each rewrite with its report and the graph."""


def run(
    steps: Sequence[Step], graph_module: fx.GraphModule, profile: Profile, observe: Observer = lambda report, graph: None
) -> list[StepReport]:
    """Runs rewrites in order on one graph, in place.

    Raises:
        OrderError: the order contradicts a declaration.
        RewriteRefusedError: the graph contains something that no rewrite can bring to the GPU.
    """
    check_order([step.rewrite for step in steps])
    reports = []
    for step in steps:
        before = _count(graph_module)
        findings = apply(step.rewrite, graph_module, profile)
        fired = tuple(found for found in findings if isinstance(found, Site))
        missed = tuple(found for found in findings if isinstance(found, Miss))
        reports.append(StepReport(step.name, step.reason, fired, before, _count(graph_module), missed))
        observe(reports[-1], graph_module)
    graph_module.recompile()
    return reports


def apply(rewrite: Rewrite, graph_module: fx.GraphModule, profile: Profile) -> Findings:
    """Runs one rewrite with the options that it declares, removes dead code, records provenance and lints the graph.

    Raises:
        RewriteRefusedError: as the rewrite.
    """
    known = set(graph_module.graph.nodes)
    findings = rewrite.run(graph_module, **{name: getattr(profile, name) for name in rewrite.options})
    remove_dead_code(graph_module)
    stamp((node for node in graph_module.graph.nodes if node not in known), rewrite.name)
    graph_module.graph.lint()
    return findings


def check_order(rewrites: Sequence[Rewrite]) -> None:
    """Checks an order against the declarations of its rewrites; a declaration about a rewrite that is not in it is ignored.

    Raises:
        OrderError: a rewrite runs before one that it must follow, or after one that it must precede.
    """
    place = {rewrite.name: number for number, rewrite in enumerate(rewrites)}
    for rewrite in rewrites:
        here = place[rewrite.name]
        for name in rewrite.after:
            if place.get(name, -1) > here:
                raise OrderError(f"{rewrite.name} must run after {name}")
        for name in rewrite.before:
            if place.get(name, here + 1) < here:
                raise OrderError(f"{rewrite.name} must run before {name}")


def wrong_shapes(graph_module: fx.GraphModule) -> list[str]:
    """Returns a line for each node whose recorded shape or type differs from its operator's result; tests run it per step.

    Nodes with several values are skipped: batch norm's secondary results differ between devices.
    """
    wrong = []
    for node in graph_module.graph.nodes:
        recorded = node.meta.get("val")
        if node.op == "call_function" and isinstance(recorded, Tensor):
            computed = evaluate_meta(node)
            if (recorded.shape, recorded.dtype) != (computed.shape, computed.dtype):
                wrong.append(f"{node.name}: recorded {list(recorded.shape)}, computed {list(computed.shape)}")
    return wrong


def _count(graph_module: fx.GraphModule) -> int:
    return sum(node.op == "call_function" for node in graph_module.graph.nodes)
