"""Lowers a rewritten part of the detector to a .tflite file.

litert-torch has the lowerings of single operators and the converter behind them. Its public API, ``litert_torch.convert``,
accepts any module and therefore exports it, decomposes it three times, and runs nine passes. A part is already an ATen graph
with static shapes, so this module uses the back end (``litert_torch.backend``) directly, with the three steps that our graphs
need:

1. ``decompose``: linear layers, matmuls and activations become operators that have lowerings.
2. ``OptimizeLayoutTransposesPass``: TFLite convolutions and pools read NHWC, PyTorch's NCHW; a minimum cut places the
   transposes. It inserts Python functions, which are traced again.
3. ``BuildAtenCompositePass``: GELU, average pooling and resizing stay single operators.

Left out, because the rewrites already removed the cases: dead code, views above rank four, integers of 64 bits, quantised
tensors, masks of zeros, unused outputs, inputs in bfloat16. ``tests/convert/lowering`` compares the files with those of the
public API: they have the same bytes, except where a graph has linear layers or products of batches. Those become single
operators (``operators``), which the public API takes apart; there the test compares the values on LiteRT's CPU.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import fx

from detr2litert.convert.lowering.retrace import Table, retrace
from detr2litert.convert.quiet import quiet
from detr2litert.graphs.partition import Part
from detr2litert.graphs.provenance import provenance_of
from detr2litert.graphs.toolbox import module_of
from detr2litert.host_runtime.interrupt import in_thread


def lower(part: Part, path: Path) -> None:
    """Writes ``part`` as a float32 .tflite file.

    Args:
        part: a part whose graph has been through ``rewrites.pipeline.IN_EACH_GRAPH``.
        path: file to write.

    The signature ``serving_default`` has the part's input and output names. Tensors are named
    ``MODULE|REWRITES|_NODE;N``: the dotted module path, the rewrites joined by ``+``, and the node of the rewritten graph.
    """
    with quiet():
        from detr2litert.convert.lowering.flatbuffer import to_flatbuffer

    def convert() -> bytes:
        with quiet(), torch.no_grad():
            return to_flatbuffer(decompose(with_origins(part)), part.input_names, part.output_names)

    # Not with the library's own writer: on a full disk it ends the process silently, without any clean-up.
    path.write_bytes(in_thread(convert))


def with_origins(part: Part) -> fx.GraphModule:
    """Returns a copy of the part whose nodes carry their origin in the form from which litert-torch derives tensor names."""
    module = copy.deepcopy(part.graph_module)
    for node in module.graph.nodes:
        if node.op == "call_function":
            origin = f"{module_of(node)}|{'+'.join(dict.fromkeys(provenance_of(node).rewrites))}|"
            node.meta["nn_module_stack"] = {"origin": (node.name, origin)}
    return module


def decompose(graph_module: fx.GraphModule) -> fx.GraphModule:
    """Decomposes the graph to operators that litert-torch has lowerings for, convolutions and pools in NHWC."""
    from litert_torch._convert import fx_passes

    before, behind = _tables()
    simple = retrace(graph_module, before)
    # The pass reads an exported program's graph and its parameters' names: here they are get_attr nodes, which it recognises as
    # constants.
    program = SimpleNamespace(graph_module=simple, graph=simple.graph, graph_signature=SimpleNamespace(input_specs=()))
    laid_out = fx_passes.OptimizeLayoutTransposesPass().call(program).exported_program.graph_module
    if any(_is_python(node) for node in laid_out.graph.nodes):
        laid_out = retrace(laid_out, {}, shapes_hold=False)
    composed = fx_passes.BuildAtenCompositePass().call(laid_out).graph_module
    return retrace(composed, behind)


def _is_python(node: fx.Node) -> bool:
    """True if a node calls a function of a pass rather than an operator."""
    return node.op == "call_function" and not isinstance(node.target, torch._ops.OpOverload)


@cache
def _tables() -> tuple[Table, Table]:
    """Returns litert-torch's decompositions: those before its passes, which keep what the passes match, and those after.

    Operators that have a lowering of their own are not decomposed.
    """
    from litert_torch.fx_infra import decomp

    from detr2litert.convert.lowering.operators import CONDITIONS, OPERATORS

    def others(table: Any) -> Table:
        found = table.materialize()
        return {
            operator: _unless(CONDITIONS[operator], function) if operator in CONDITIONS else function
            for operator, function in found.items()
            if operator in CONDITIONS or operator not in OPERATORS
        }

    return others(decomp.pre_convert_decomp()), others(decomp.pre_lower_decomp())


def _unless(condition: Callable[..., bool], function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a decomposition that is not applied to operands of which ``condition`` is true."""
    return lambda *args, **kwargs: NotImplemented if condition(*args) else function(*args, **kwargs)
