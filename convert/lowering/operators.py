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
from torch import Tensor, fx

from detr2litert.graphs.delegate import LANES, LARGEST
from detr2litert.graphs.native_ops import GATHER_ROWS, LAYER_NORM, RESAMPLE, TOP_ROWS, TOP_VALUES

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


def _top_rows(node: fx.Node, scores: Any, k: int) -> Any:
    """Builds the TOPK_V2 of a row. Its indices are those of a stable sort: measured on SwiftShader in fp32 and on lavapipe in
    fp16, of 8 to 54600 scores, distinct, tied, equal, all negative."""
    return _top(scores, k, [k])[1]


def _top_values(node: fx.Node, x: Any, k: int) -> Any:
    return _top(x, k, [x.type.shape[0], k])[0]


def _top(x: Any, k: int, shape: list[int]) -> Any:
    """Builds a TOPK_V2 along the last dimension, which is filled up to a multiple of four with fp16's lowest number.

    The delegate computes other lengths wrong (of 301 scores, 15 to 39 of the 100 best; ``last-axis-padding`` of the lint).

    Returns:
        Values and indices.
    """
    *rows, length = x.type.shape
    if missing := -length % LANES:
        filling = stablehlo.constant(ir.DenseElementsAttr.get(np.full((*rows, missing), -LARGEST, np.float32)))
        x = stablehlo.concatenate([x, filling], len(rows))
    count = stablehlo.constant(ir.DenseElementsAttr.get(np.asarray(k, np.int32)))
    return stablehlo.custom_call(
        result=[ir.RankedTensorType.get(shape, element) for element in (ir.F32Type.get(), ir.IntegerType.get_signless(32))],
        inputs=[x, count],
        call_target_name=ir.StringAttr.get("tfl.topk_v2"),
        has_side_effect=ir.BoolAttr.get(False),
        backend_config=ir.StringAttr.get("{}"),
    )


def _linear(node: fx.Node, x: Any, weight: Any, bias: Any = None) -> Any:
    """Builds a FULLY_CONNECTED that keeps its input's dimensions; without a bias it has one of zeros, which costs nothing."""
    if bias is None:
        bias = stablehlo.constant(ir.DenseElementsAttr.get(np.zeros(weight.type.shape[0], np.float32)))
    attributes = 'fused_activation_function = "NONE", weights_format = "DEFAULT", keep_num_dims = true'
    attributes += ", asymmetric_quantize_inputs = false"
    return _operator(node, "tfl.fully_connected", [x, weight, bias], f"{{{attributes}}}")


def _matmul(node: fx.Node, left: Any, right: Any) -> Any:
    attributes = "adj_x = false, adj_y = false, asymmetric_quantize_inputs = false"
    return _operator(node, "tfl.batch_matmul", [left, right], f"{{{attributes}}}")


def _equal_batches(left: Tensor, right: Tensor) -> bool:
    """Returns True for a product of batches; those of two matrices, broadcast batches or vectors are left to the converter."""
    return left.dim() > 2 and left.shape[:-2] == right.shape[:-2]


OPERATORS: Mapping[Any, Callable[..., Any]] = {
    RESAMPLE: _resample,
    LAYER_NORM: _layer_norm,
    GATHER_ROWS: _gather_rows,
    TOP_ROWS: _top_rows,
    TOP_VALUES: _top_values,
    aten.linear.default: _linear,
    aten.matmul.default: _matmul,
}
"""The lowering of each operator."""

CONDITIONS: Mapping[Any, Callable[..., bool]] = {aten.matmul.default: _equal_batches}
"""Operands that an operator is lowered with as it is; it is decomposed with others."""
