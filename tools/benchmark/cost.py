"""Counts arithmetic and memory traffic of a rewritten graph from its nodes' shapes.

- A matmul or linear layer costs its output's elements times the length of the summed axis, in multiply-accumulates (MACs).
- An elementwise op costs one operation for each element it writes, a reduction or softmax one for each element it reads.
- Every tensor that an op writes is an intermediate of 4 bytes per element (float32), except for a reshape's, which is a view.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from math import prod

from torch import Tensor, fx

from detr2litert.convert.compiler import compile_detector
from detr2litert.convert.models.reference import Reference
from detr2litert.graphs.provenance import provenance_of
from detr2litert.graphs.toolbox import aten, is_call, module_of, value_of
from detr2litert.rewrites.profile import Profile, Sampling
from tools.benchmark.record import Cost

SAMPLING_REWRITES = frozenset({"fold_sampling", "lower_sampling"})
"""Names, in a node's provenance, of the rewrites that express sampling without a gather."""

_RENAMED = (aten.reshape.default, aten.unsqueeze.default, aten.squeeze.dim)
_MOVED = (aten.permute.default, aten.transpose.int, aten.slice.Tensor, aten.select.int, aten.cat.default)
_SUMMED = (aten.sum.dim_IntList, aten.mean.dim, aten.amax.default, aten.softmax.int)
_FLOAT32 = 4


def cost_of(nodes: Iterable[fx.Node]) -> Cost:
    """Returns the sum over the calls among ``nodes``; anything else costs nothing."""
    return sum((_cost(node) for node in nodes if node.op == "call_function"), Cost())


def sampling_core(graph_module: fx.GraphModule) -> list[fx.Node]:
    """Returns the nodes of every module that samples, found by the provenance of its nodes.

    The whole module is counted, so that the weighting and summing of the samples is included in the unfolded form, where it is
    separate from the sampling rewrite, as in the folded form, where it is part of it.
    """
    nodes = [node for node in graph_module.graph.nodes if node.op == "call_function"]
    modules = {module_of(node) for node in nodes if SAMPLING_REWRITES & set(provenance_of(node).rewrites)}
    return [node for node in nodes if module_of(node) in modules]


def compare_sampling(reference: Reference, profile: Profile) -> dict[str, Cost]:
    """Returns the cost of the sampling core of both graphs together, by the name of the sampling form."""
    costs = {}
    for sampling in Sampling:
        parts = compile_detector(reference, replace(profile, sampling=sampling)).parts
        costs[str(sampling)] = sum((cost_of(sampling_core(part.graph_module)) for part in parts.graphs.values()), Cost())
    return costs


def _cost(node: fx.Node) -> Cost:
    value = node.meta.get("val")
    if not isinstance(value, Tensor) or is_call(node, *_RENAMED):
        return Cost()
    written = _elements(value)
    if is_call(node, aten.matmul.default, aten.linear.default):
        return Cost(macs=written * int(value_of(node.all_input_nodes[0]).shape[-1]), bytes=written * _FLOAT32)
    if is_call(node, *_MOVED):
        return Cost(bytes=written * _FLOAT32)
    computed = _elements(value_of(node.all_input_nodes[0])) if is_call(node, *_SUMMED) else written
    return Cost(elementwise=computed, bytes=written * _FLOAT32)


def _elements(value: Tensor) -> int:
    return prod(int(size) for size in value.shape)
