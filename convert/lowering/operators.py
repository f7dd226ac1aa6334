"""Lowers ATen operators to single operators of the .tflite file, without a detour through StableHLO.

These are the delegate's own operators (``graphs.native_ops``), and products of matrices: those the converter takes apart and
puts together again with reshapes, each of which is a pass over memory on the GPU.

The converter turns a StableHLO custom call whose target is the name of an operator of its TFLite dialect into that operator,
with the attributes that ``backend_config`` has in MLIR's syntax.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import flatbuffers.flexbuffers
import numpy as np
import torch
from litert_converter.mlir import ir
from litert_converter.mlir.dialects import stablehlo
from litert_torch.backend import export_utils
from torch import fx

from detr2litert.graphs.native_ops import GATHER_ROWS, LAYER_NORM, RESAMPLE

aten = torch.ops.aten


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


def _linear(node: fx.Node, x: Any, weight: Any, bias: Any = None) -> Any:
    """Builds a FULLY_CONNECTED that keeps its input's dimensions; without a bias it has one of zeros, which costs nothing."""
    if bias is None:
        bias = stablehlo.constant(ir.DenseElementsAttr.get(np.zeros(weight.type.shape[0], np.float32)))
    attributes = 'fused_activation_function = "NONE", weights_format = "DEFAULT", keep_num_dims = true'
    attributes += ", asymmetric_quantize_inputs = false"
    return _operator(node, "tfl.fully_connected", [x, weight, bias], f"{{{attributes}}}")


def _matmul(node: fx.Node, left: Any, right: Any) -> Any:
    """Builds a BATCH_MATMUL; products of two matrices, of broadcast batches or of vectors are left to the converter."""
    batches = [list(x.type.shape)[:-2] for x in (left, right)]
    if len(batches[0]) == 0 or batches[0] != batches[1]:
        return None
    attributes = "adj_x = false, adj_y = false, asymmetric_quantize_inputs = false"
    return _operator(node, "tfl.batch_matmul", [left, right], f"{{{attributes}}}")


OPERATORS: Mapping[Any, Callable[..., Any]] = {
    RESAMPLE: _resample,
    LAYER_NORM: _layer_norm,
    GATHER_ROWS: _gather_rows,
    aten.linear.default: _linear,
    aten.matmul.default: _matmul,
}
"""The lowering of each operator."""
