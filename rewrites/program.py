"""Converts the program of ``torch.export`` to the plain graph that the rewrites work on."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind

from detr2litert.graphs.toolbox import graph_module_of, meta_like, register_constant, remove_dead_code
from detr2litert.rewrites.trace import trace

aten = torch.ops.aten

_CANONICAL: dict[Any, Any] = {
    aten.view.default: aten.reshape.default,
    aten._unsafe_view.default: aten.reshape.default,
    aten.concat.default: aten.cat.default,
}
"""Aliases of an op, and views that guarantee a layout, mapped to the one op that the rewrites match."""
_STATE_KINDS = {InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT_TENSOR}


def import_program(program: ExportedProgram) -> fx.GraphModule:
    """Copies a decomposed program into a ``GraphModule`` whose placeholders are the user's inputs alone.

    Views become reshapes, so that a rewrite may remove the copies that made a view valid. Parameters, buffers and lifted
    constants become ``get_attr`` nodes. Values are shared with the program, not copied.
    """
    state = {spec.arg.name: spec.target for spec in program.graph_signature.input_specs if spec.kind in _STATE_KINDS}
    root = nn.Module()
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for node in program.graph.nodes:
        if node.op == "placeholder" and node.name in state:
            value = _tensor(program, str(state[node.name]))
            copy = graph.get_attr(register_constant(root, value, node.name[len("p_") :]))
            copy.meta = {"val": value.to("meta")}
        else:
            copy = graph.node_copy(node, copies.__getitem__)
            copy.target = _CANONICAL.get(copy.target, copy.target)
            copy.meta = _copied_meta(node)
        copies[node] = copy
    _unwrap_outputs(graph)
    graph_module = graph_module_of(root, graph)
    remove_dead_code(graph_module)
    graph_module.recompile()
    return graph_module


def export(module: nn.Module, inputs: tuple[Tensor, ...]) -> fx.GraphModule:
    """Traces an eval-mode module with static shapes and imports the result."""
    return import_program(trace(module, inputs))


def _tensor(program: ExportedProgram, name: str) -> Tensor:
    value: Any = program.state_dict[name] if name in program.state_dict else program.constants[name]
    return value.detach() if isinstance(value, Tensor) else torch.as_tensor(value)


def _copied_meta(node: fx.Node) -> dict[str, Any]:
    meta: dict[str, Any] = {key: node.meta[key] for key in ("nn_module_stack",) if key in node.meta}
    if "val" in node.meta:
        meta["val"] = meta_like(_plain(node.meta["val"]))
    return meta


def _plain(value: Any) -> Any:
    """Replaces fake tensors with plain meta tensors of the same shape, strides and dtype."""
    return torch.utils._pytree.tree_map(
        lambda v: torch.empty_strided(v.shape, v.stride(), dtype=v.dtype, device="meta") if isinstance(v, Tensor) else v, value
    )


def _unwrap_outputs(graph: fx.Graph) -> None:
    """Flattens the output node's argument to a tuple."""
    output = next(iter(reversed(graph.nodes)))
    flat = torch.utils._pytree.tree_leaves(output.args[0])
    output.args = (tuple(flat),)
