"""From a decomposed ATen graph to the bytes of a .tflite file: MLIR, and litert-torch's converter."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from litert_converter.mlir import ir, passmanager
from litert_converter.mlir._mlir_libs import converter_api_ext
from litert_converter.mlir.dialects import func, stablehlo
from litert_torch.backend import export_utils
from litert_torch.backend.export import LoweringInterpreter
from litert_torch.backend.inline_consts import InlineConstsContext, tensor_lowering_placeholder
from litert_torch.backend.lowerings.context import LoweringContext
from torch import fx

aten = torch.ops.aten
SIGNATURE = "serving_default"


def to_flatbuffer(graph_module: fx.GraphModule, inputs: Sequence[str], outputs: Sequence[str]) -> bytes:
    """Lower a graph of operators that litert-torch has lowerings for; changes the graph.

    Args:
        graph_module: as ``retrace`` returns it.
        inputs, outputs: names of the signature's tensors, in the graph's order.
    """
    context = export_utils.create_ir_context()
    with context, ir.Location.unknown():
        module = _lowered(graph_module, context)
        converter_api_ext.set_signature(
            module.operation, signature_name=SIGNATURE, input_names=list(inputs), output_names=list(outputs)
        )
        merged = converter_api_ext.merge_modules([module])
        converter_api_ext.run_convert_to_tfl_passes(merged, passmanager.PassManager(), _settings())
        content: bytes = converter_api_ext.export_flatbuffer_to_bytes(merged.operation)
    return content


def _settings() -> Any:
    """What ``litert_torch.convert`` sets for a model of static shapes."""
    settings = converter_api_ext.ConvertToTFLConfig()
    settings.model_origin_framework = "PYTORCH"
    settings.unsafe_fuse_dynamic_shaped_broadcast = True
    settings.canonicalizing_inf_as_min_max_float = False
    settings.enable_x64 = False
    return settings


def _lowered(graph_module: fx.GraphModule, context: ir.Context) -> ir.Module:
    """The graph as StableHLO: one function, ``main``."""
    for node in graph_module.graph.find_nodes(op="get_attr"):
        node.op, node.args = "call_function", (getattr(graph_module, str(node.target)),)
        node.target = tensor_lowering_placeholder
    module = ir.Module.create()
    lowering = LoweringContext(context, module)
    lowering.add_plugin(InlineConstsContext())
    interpreter = _Interpreter(graph_module, lowering)
    types = [_type(node) for node in graph_module.graph.find_nodes(op="placeholder")]
    # Functions that are added to the module on the way can damage the one under construction (litert_torch.backend.export says
    # why), so the operators are collected in one and copied to another.
    draft = _function(module, "draft", types, [])
    with ir.InsertionPoint(draft.add_entry_block()):
        interpreter.run(*draft.arguments, enable_io_processing=False)
        func.ReturnOp(interpreter.outputs)
    main = _function(module, "main", types, [value.type for value in interpreter.outputs])
    with ir.InsertionPoint(main.add_entry_block()):
        func.ReturnOp(export_utils.clone_func_body_ops(draft, main.arguments))
    main.attributes["sym_visibility"] = ir.StringAttr.get("public")
    draft.erase()
    module.operation.verify()
    return module


def _function(module: ir.Module, name: str, inputs: list[Any], outputs: list[Any]) -> Any:
    return func.FuncOp(name, ir.FunctionType.get(inputs, outputs), ip=ir.InsertionPoint.at_block_begin(module.body))


def _type(node: fx.Node) -> Any:
    """The MLIR type of a node's tensor."""
    value = node.meta["val"]
    return ir.RankedTensorType.get(list(value.shape), export_utils.torch_dtype_to_ir_element_type(value.dtype))


def _reshape(node: fx.Node, operand: Any, _shape: Any) -> Any:
    return stablehlo.reshape(_type(node), operand)


def _transpose(_node: fx.Node, operand: Any, dims: Sequence[int]) -> Any:
    rank = len(dims)
    return stablehlo.transpose(operand, ir.DenseI64ArrayAttr.get([dim % rank for dim in dims]))


def _same(node: fx.Node, operand: Any, *_: Any, **__: Any) -> Any:
    """The operand itself, where the node changes nothing of it."""
    return operand if operand.type == _type(node) else None


def _binary(build: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    """An operator on two tensors of the result's own type: nothing to broadcast, and no number."""

    def lowered(node: fx.Node, *operands: Any, **options: Any) -> Any:
        whole = len(operands) == 2 and not options and all(isinstance(operand, ir.Value) for operand in operands)
        return build(*operands) if whole and all(operand.type == _type(node) for operand in operands) else None

    return lowered


def _unary(build: Callable[[Any], Any]) -> Callable[..., Any]:
    return lambda _node, operand: build(operand)


def _slice(_node: fx.Node, operand: Any, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1) -> Any:
    """A slice without a stride, whose bounds may be counted from the end or lie beyond it."""
    if step != 1:
        return None
    shape = list(operand.type.shape)
    first, last, _ = slice(start, end).indices(shape[dim])
    begin, stop = [0] * len(shape), shape.copy()
    begin[dim], stop[dim] = first, max(first, last)
    numbers = ir.DenseI64ArrayAttr.get
    return stablehlo.slice(operand, numbers(begin), numbers(stop), numbers([1] * len(shape)))


_DIRECT: Mapping[Any, Callable[..., Any]] = {
    aten.view.default: _reshape,
    aten.permute.default: _transpose,
    aten.clone.default: _same,
    aten.expand.default: _same,
    aten.add.Tensor: _binary(stablehlo.add),
    aten.sub.Tensor: _binary(stablehlo.subtract),
    aten.mul.Tensor: _binary(stablehlo.multiply),
    aten.rsqrt.default: _unary(stablehlo.rsqrt),
    aten.exp.default: _unary(stablehlo.exponential),
    aten.sin.default: _unary(stablehlo.sine),
    aten.cos.default: _unary(stablehlo.cosine),
    aten.slice.Tensor: _slice,
}
"""Two of three operators, which litert-torch would have JAX trace anew for each shape; None for a case that is left to it."""


class _Interpreter(LoweringInterpreter):  # type: ignore[misc]
    """litert-torch's walk over the graph, with the simplest operators lowered here."""

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        """What one operator is in MLIR."""
        direct = _DIRECT[target](self.lctx.node, *args, **kwargs) if target in _DIRECT else None
        return super().call_function(target, args, kwargs) if direct is None else direct
