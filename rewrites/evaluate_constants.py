"""Evaluates everything that does not depend on the image at compile time.

Hazard: position embeddings and their interpolation, proposal grids, anchors, masks and spatial shapes are recomputed at every
run, with ops that the delegate refuses (bicubic resize, integer arithmetic, meshgrid, broadcasts).

Identity: a value whose ancestors are all constants is a constant; so is one that depends on a tensor's shape only.

Given::

    %grid = aten.linspace(0, 23, 24)
    %p    = aten.div(%grid, 24)
    %o    = aten.ones_like(%x)
    %q    = aten.mul(%o, %p)
    %y    = aten.add(%x, %q)

Result::

    %y = aten.add(%x, %const)

Refuses random ops: a detector that draws random numbers can't be compiled. Exact: the same kernels run once, at compile time.
Evidence: for a detector at 384 × 384 this removes about a tenth of the nodes, among them every op on booleans and 64-bit
integers that is not part of the query selection.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx

from detr2litert.graphs.toolbox import (
    RewriteRefusedError,
    add_constant,
    aten,
    is_call,
    value_of,
)
from detr2litert.rewrites.contract import Findings, Miss, Site, fired, rewrite

_SHAPE_ONLY = (
    aten.full_like.default,
    aten.new_full.default,
    aten.new_ones.default,
    aten.new_zeros.default,
    aten.ones_like.default,
    aten.zeros_like.default,
)


@rewrite(after=("remove_identities",))
def evaluate_constants(graph_module: fx.GraphModule) -> Findings:
    values: dict[fx.Node, Any] = {}
    for node in graph_module.graph.nodes:
        if node.op == "get_attr":
            values[node] = getattr(graph_module, str(node.target))
        elif is_call(node, *_SHAPE_ONLY):
            values[node] = _evaluate(
                node, {n: torch.empty(value_of(n).shape, dtype=value_of(n).dtype) for n in node.all_input_nodes}
            )
        elif node.op == "call_function" and all(n in values for n in node.all_input_nodes):
            values[node] = _evaluate(node, values)
    found: list[Site | Miss] = []
    for node, value in values.items():
        if node.op == "get_attr" or not isinstance(value, Tensor):
            continue
        if any(user not in values for user in node.users):
            with graph_module.graph.inserting_before(node):
                constant = add_constant(graph_module, value, f"constant_{node.name}")
            node.replace_all_uses_with(constant, delete_user_cb=lambda user: user not in values)
            found.append(fired(node, f"constant {list(value.shape)}"))
    return found


def _evaluate(node: fx.Node, values: dict[fx.Node, Any]) -> Any:
    if torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ()):
        raise RewriteRefusedError(node, "it draws random numbers", "put the model in eval mode, or remove the op")
    args, kwargs = fx.node.map_arg((node.args, node.kwargs), values.__getitem__)
    with torch.no_grad():
        return node.target(*args, **kwargs)  # type: ignore[operator]
