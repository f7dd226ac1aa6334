"""Lowers the delegate's own operators (``graphs.native_ops``) to operators of the .tflite file.

The converter turns a StableHLO custom call whose target is the name of an operator of its TFLite dialect into that operator, with
the attributes that ``backend_config`` has in MLIR's syntax.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import flatbuffers.flexbuffers
from litert_converter.mlir import ir
from litert_converter.mlir.dialects import stablehlo
from litert_torch.backend import export_utils
from torch import fx

from detr2litert.graphs.native_ops import GATHER_ROWS, LAYER_NORM, RESAMPLE


def _operator(node: fx.Node, name: str, operands: list[Any], attributes: str) -> Any:
    value = node.meta["val"]
    result = ir.RankedTensorType.get(list(value.shape), export_utils.torch_dtype_to_ir_element_type(value.dtype))
    return stablehlo.custom_call(
        result=[result],
        inputs=operands,
        call_target_name=ir.StringAttr.get(name),
        has_side_effect=ir.BoolAttr.get(False),
        backend_config=ir.StringAttr.get(attributes),
    )


def _custom(node: fx.Node, code: str, operands: list[Any], **options: float) -> Any:
    """Builds a custom operator; its options are a flexbuffer map."""
    packed = bytes(flatbuffers.flexbuffers.Dumps(options)) if options else b""
    return _operator(
        node, "tfl.custom", operands, f'{{custom_code = "{code}", custom_option = #tfl<const_bytes : "0x{packed.hex()}">}}'
    )


def _resample(node: fx.Node, image: Any, points: Any) -> Any:
    return _custom(node, "Resampler", [image, points])


def _layer_norm(node: fx.Node, x: Any, weight: Any, bias: Any, eps: float) -> Any:
    return _custom(node, "custom_call.LayerNorm", [x, weight, bias], epsilon=eps)


def _gather_rows(node: fx.Node, table: Any, indices: Any) -> Any:
    return _operator(node, "tfl.gather", [table, indices], "{axis = 0 : i32, batch_dims = 0 : i32}")


NATIVE: Mapping[Any, Callable[..., Any]] = {RESAMPLE: _resample, LAYER_NORM: _layer_norm, GATHER_ROWS: _gather_rows}
"""The lowering of each operator."""
