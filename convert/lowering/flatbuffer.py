"""Converts a decomposed ATen graph to the bytes of a .tflite file, through MLIR and litert-torch's converter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from litert_converter.mlir import ir, passmanager
from litert_converter.mlir._mlir_libs import converter_api_ext
from litert_converter.mlir.dialects import func
from litert_torch.backend import export_utils
from litert_torch.backend.export import LoweringInterpreter
from litert_torch.backend.inline_consts import InlineConstsContext, tensor_lowering_placeholder
from litert_torch.backend.lowerings.context import LoweringContext
from torch import fx

from detr2litert.convert.lowering.direct import lower_directly, result_type

SIGNATURE = "serving_default"


def to_flatbuffer(graph_module: fx.GraphModule, inputs: Sequence[str], outputs: Sequence[str]) -> bytes:
    """Lowers a graph of operators that litert-torch has lowerings for; changes the graph.

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
    """Returns the settings that ``litert_torch.convert`` uses for a model of static shapes."""
    settings = converter_api_ext.ConvertToTFLConfig()
    settings.model_origin_framework = "PYTORCH"
    settings.unsafe_fuse_dynamic_shaped_broadcast = True
    settings.canonicalizing_inf_as_min_max_float = False
    settings.enable_x64 = False
    return settings


def _lowered(graph_module: fx.GraphModule, context: ir.Context) -> ir.Module:
    """Lowers the graph to StableHLO: one function, ``main``."""
    for node in graph_module.graph.find_nodes(op="get_attr"):
        node.op, node.args = "call_function", (getattr(graph_module, str(node.target)),)
        node.target = tensor_lowering_placeholder
    module = ir.Module.create()
    lowering = LoweringContext(context, module)
    lowering.add_plugin(InlineConstsContext())
    interpreter = _Interpreter(graph_module, lowering)
    types = [result_type(node) for node in graph_module.graph.find_nodes(op="placeholder")]
    # Functions that are added to the module meanwhile can damage the one under construction (see litert_torch.backend.export),
    # so the operators are collected in one and copied to another.
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


class _Interpreter(LoweringInterpreter):  # type: ignore[misc]
    """litert-torch's graph interpreter, with direct lowerings of the most frequent operators."""

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        """Lowers one operator to MLIR."""
        direct = lower_directly(self.lctx.node, args, kwargs)
        return super().call_function(target, args, kwargs) if direct is None else direct
