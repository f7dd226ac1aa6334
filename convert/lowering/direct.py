"""Lowers the most frequent ATen operators to StableHLO without JAX.

litert-torch has JAX trace most operators again for each shape, serialise the result and parse it: half of the lowering time.
JAX's result is reproduced here, operation by operation, so that the files keep their bytes (``tests/convert/lowering``). Each
function takes a node and its operands, MLIR values and numbers, and returns None for a case that is left to litert-torch: types
other than float32, steps, options.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from litert_converter.mlir import ir
from litert_converter.mlir.dialects import stablehlo
from litert_torch.backend import export_utils
from torch import fx

from detr2litert.convert.lowering.operators import OPERATORS

aten = torch.ops.aten

Lowering = Callable[..., Any]


def result_type(node: fx.Node) -> Any:
    """Returns the MLIR type of a node's tensor."""
    value = node.meta["val"]
    return ir.RankedTensorType.get(list(value.shape), export_utils.torch_dtype_to_ir_element_type(value.dtype))


def lower_directly(node: fx.Node, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Lowers a node to MLIR; returns None where litert-torch's own lowering is needed."""
    lowering = _LOWERINGS.get(node.target)
    return lowering(node, *args, **kwargs) if lowering is not None else None


_numbers = ir.DenseI64ArrayAttr.get


def _is_float(value: Any) -> bool:
    """True if ``value`` is a float32 tensor of MLIR."""
    return isinstance(value, ir.Value) and value.type.element_type == ir.F32Type.get()


def _constant(value: float) -> Any:
    return stablehlo.constant(ir.DenseElementsAttr.get(np.asarray(value, np.float32)))


def _filled(value: float, shape: Sequence[int]) -> Any:
    """Builds a tensor filled with one number."""
    return _spread(_constant(value), shape)


def _spread(scalar: Any, shape: Sequence[int]) -> Any:
    return stablehlo.broadcast_in_dim(_tensor(shape), scalar, _numbers([]))


def _tensor(shape: Sequence[int]) -> Any:
    return ir.RankedTensorType.get(list(shape), ir.F32Type.get())


def _broadcast(operand: Any, shape: Sequence[int]) -> Any:
    """Broadcasts an operand to a shape: first its rank, then its lengths."""
    own, rank = list(operand.type.shape), len(shape)
    if own and len(own) < rank:
        own = [1] * (rank - len(own)) + own
        behind = range(rank - len(operand.type.shape), rank)
        operand = stablehlo.broadcast_in_dim(_tensor(own), operand, _numbers(list(behind)))
    if own == list(shape):
        return operand
    return stablehlo.broadcast_in_dim(_tensor(shape), operand, _numbers(list(range(len(own)))))


def _reshape(node: fx.Node, operand: Any, _shape: Any) -> Any:
    return stablehlo.reshape(result_type(node), operand)


def _transpose(_node: fx.Node, operand: Any, dims: Sequence[int]) -> Any:
    rank = len(dims)
    return stablehlo.transpose(operand, _numbers([dim % rank for dim in dims]))


def _same(node: fx.Node, operand: Any, *_: Any, **__: Any) -> Any:
    """Returns the operand itself, if the node does not change it."""
    return operand if operand.type == result_type(node) else None


def _slice(_node: fx.Node, operand: Any, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1) -> Any:
    """Lowers a slice without a stride, whose bounds may be counted from the end or be beyond it."""
    if step != 1:
        return None
    shape = list(operand.type.shape)
    first, last, _ = slice(start, end).indices(shape[dim])
    begin, stop = [0] * len(shape), shape.copy()
    begin[dim], stop[dim] = first, max(first, last)
    return stablehlo.slice(operand, _numbers(begin), _numbers(stop), _numbers([1] * len(shape)))


def _binary(build: Callable[[Any, Any], Any]) -> Lowering:
    """Builds the lowering of an operator on two float tensors that may be broadcast, or on a tensor and a number."""

    def lowered(node: fx.Node, left: Any, right: Any, **options: Any) -> Any:
        shape = node.meta["val"].shape
        number = isinstance(right, (int, float)) and not isinstance(right, bool)
        if options or not _is_float(left) or not (number or _is_float(right)):
            return None
        # Operands first, in this order: the converter keeps the order of constants.
        left = _broadcast(left, shape)
        return build(left, _filled(right, shape) if number else _broadcast(right, shape))

    return lowered


def _unary(build: Callable[[Any], Any]) -> Lowering:
    return lambda _node, operand: build(operand)


def _relu(_node: fx.Node, operand: Any) -> Any:
    return stablehlo.maximum(operand, _filled(0.0, operand.type.shape)) if _is_float(operand) else None


def _reciprocal(_node: fx.Node, operand: Any) -> Any:
    return stablehlo.divide(_filled(1.0, operand.type.shape), operand) if _is_float(operand) else None


def _sigmoid(_node: fx.Node, operand: Any) -> Any:
    if not _is_float(operand):
        return None
    shape = operand.type.shape
    power = stablehlo.exponential(stablehlo.negate(operand))
    return stablehlo.divide(_filled(1.0, shape), stablehlo.add(_filled(1.0, shape), power))


def _clamp(_node: fx.Node, operand: Any, least: float | None = None, most: float | None = None) -> Any:
    if not _is_float(operand):
        return None
    if least is not None:
        operand = stablehlo.maximum(_bound(least, operand.type.shape), operand)
    if most is not None:
        operand = stablehlo.minimum(_bound(most, operand.type.shape), operand)
    return operand


def _bound(value: float, shape: Sequence[int]) -> Any:
    """Builds a bound as JAX does: in Python's own type, and converted. Folded, it names no tensor that shares the number."""
    dtype = np.int64 if isinstance(value, int) else np.float64
    own = stablehlo.constant(ir.DenseElementsAttr.get(np.asarray(value, dtype)))
    return _spread(stablehlo.convert(_tensor([]), own), shape)


def _matmul(node: fx.Node, left: Any, right: Any) -> Any:
    """Lowers a product of matrices, or of batches of them; a batch of one becomes a product of matrices."""
    if not (_is_float(left) and _is_float(right)):
        return None
    if len(left.type.shape) == 2:
        return _dot(left, right, result_type(node))
    (batch, rows, inner), columns = left.type.shape, right.type.shape[2]
    if batch > 1:
        return _dot(left, right, result_type(node))
    left, right = (stablehlo.reshape(_tensor(shape), x) for x, shape in ((left, (rows, inner)), (right, (inner, columns))))
    product = _dot(left, right, _tensor((rows, columns)))
    return stablehlo.broadcast_in_dim(result_type(node), product, _numbers([1, 2]))


def _dot(left: Any, right: Any, result: Any) -> Any:
    batch = list(range(len(left.type.shape) - 2))
    dimensions = stablehlo.DotDimensionNumbers.get(
        lhs_batching_dimensions=batch,
        rhs_batching_dimensions=batch,
        lhs_contracting_dimensions=[len(batch) + 1],
        rhs_contracting_dimensions=[len(batch)],
    )
    default = stablehlo.PrecisionAttr.get("DEFAULT")
    return stablehlo.dot_general(result, left, right, dimensions, precision_config=ir.ArrayAttr.get([default, default]))


def _amax(node: fx.Node, operand: Any, dims: Sequence[int] = (), keepdim: bool = False) -> Any:
    shape = list(operand.type.shape)
    reduced = {dim % len(shape) for dim in dims}
    if not _is_float(operand) or not reduced:
        return None
    left = [dim for dim in range(len(shape)) if dim not in reduced]
    kept = _tensor([shape[dim] for dim in left])
    reduce = stablehlo.ReduceOp([kept], [operand], [_constant(-np.inf)], _numbers(sorted(reduced)))
    block = reduce.regions[0].blocks.append(_tensor([]), _tensor([]))
    with ir.InsertionPoint(block):
        stablehlo.ReturnOp([stablehlo.maximum(*block.arguments)])
    return stablehlo.broadcast_in_dim(result_type(node), reduce.result, _numbers(left)) if keepdim else reduce.result


_LOWERINGS: Mapping[Any, Lowering] = {
    aten.view.default: _reshape,
    aten.permute.default: _transpose,
    aten.clone.default: _same,
    aten.expand.default: _same,
    aten.slice.Tensor: _slice,
    aten.add.Tensor: _binary(stablehlo.add),
    aten.sub.Tensor: _binary(stablehlo.subtract),
    aten.mul.Tensor: _binary(stablehlo.multiply),
    aten.div.Tensor: _binary(stablehlo.divide),
    aten.rsqrt.default: _unary(stablehlo.rsqrt),
    aten.exp.default: _unary(stablehlo.exponential),
    aten.sin.default: _unary(stablehlo.sine),
    aten.cos.default: _unary(stablehlo.cosine),
    aten.relu.default: _relu,
    aten.reciprocal.default: _reciprocal,
    aten.sigmoid.default: _sigmoid,
    aten.clamp.default: _clamp,
    aten.amax.default: _amax,
    aten.mm.default: _matmul,
    aten.bmm.default: _matmul,
    **OPERATORS,
}
