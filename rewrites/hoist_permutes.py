"""Permutes a tensor once instead of each of its slices.

Hazard: each permute is a pass over memory, a dispatch; the sampling points of three feature levels are three slices of one
tensor.

Identity: a permute commutes with slices, and with elementwise operators on a number.

Given::

    %a = aten.permute(aten.mul(aten.slice(%x, 2, 0, 3), 40), [1, 0, 2, 3])
    %b = aten.permute(aten.mul(aten.slice(%x, 2, 3, 9), 20), [1, 0, 2, 3])

Result::

    %p = aten.permute(%x, [1, 0, 2, 3])
    %a = aten.mul(aten.slice(%p, 2, 0, 3), 40)
    %b = aten.mul(aten.slice(%p, 2, 3, 9), 20)

Fires if at least two slices of one tensor are permuted alike. Does not fire on slices that another operator reads as well.
Bit-exact.
"""

from __future__ import annotations

from collections import defaultdict

from torch import fx

from detr2litert.graphs.op_traits import BINARY, UNARY
from detr2litert.graphs.toolbox import Emitter, argument, aten, calls, is_call, normalise_dim, only_user, replace, value_of
from detr2litert.rewrites.contract import Findings, Miss, Site, fired, rewrite


@rewrite(after=("reduce_rank",), before=("merge_permutes", "lift_tokens"))
def hoist_permutes(graph_module: fx.GraphModule) -> Findings:
    alike: dict[tuple[fx.Node, tuple[int, ...]], list[list[fx.Node]]] = defaultdict(list)
    for permute in calls(graph_module, aten.permute.default):
        chain = _down_to_slice(permute)
        if chain is not None:
            dims = tuple(int(d) for d in permute.args[1])  # type: ignore[union-attr, arg-type]
            alike[chain[0].all_input_nodes[0], dims].append(chain)
    found: list[Site | Miss] = []
    for (source, dims), chains in alike.items():
        if len(chains) < 2:
            continue
        first = next(node for node in graph_module.graph.nodes if any(node is chain[0] for chain in chains))
        whole = Emitter(graph_module, first, provenance=chains[0][-1])(aten.permute.default, source, list(dims))
        for chain in chains:
            found.append(fired(chain[-1], f"{len(chains)} slices of {source.name}"))
            emit = Emitter(graph_module, chain[-1])
            cut = chain[0]
            node = emit(
                aten.slice.Tensor, whole, dims.index(normalise_dim(argument(cut, 1, "dim", 0), len(dims))), *cut.args[2:]
            )
            for step in chain[1:-1]:
                args = [node if isinstance(a, fx.Node) else a for a in step.args]
                node = emit(step.target, *args, **step.kwargs)
            replace(chain[-1], node)
    return found


def _down_to_slice(permute: fx.Node) -> list[fx.Node] | None:
    """Returns the nodes from a slice to its permute, of which each is read by the next alone; None for another operand."""
    chain = [permute]
    node = permute.all_input_nodes[0]
    while only_user(node) is not None and (
        is_call(node, *UNARY) or (is_call(node, *BINARY) and len(node.all_input_nodes) == 1)
    ):
        chain.insert(0, node)
        node = node.all_input_nodes[0]
    if not is_call(node, aten.slice.Tensor) or only_user(node) is None or value_of(node).dim() != value_of(permute).dim():
        return None
    return [node, *chain]
