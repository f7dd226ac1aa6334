"""Writes the float form of a file with int8 weights: what the GPU delegate computes of it.

The delegate computes nothing in integers. It unpacks int8 weights to floats when it compiles, and where a file's activations
are int8 too it rounds them in floats to their 256 steps. The CPU rounds the input of a layer with int8 weights to eight bits as
well and adds in integers. So the two runtimes differ on the same file by about a rounding of every input, which would hide a
fault of the delegate; on this form of the file they do not.

Given::

    %x:int8 = QUANTIZE(%a);  %y:int8 = FULLY_CONNECTED(%x, %w:int8, %b:int32);  %c = DEQUANTIZE(%y)

Result::

    %x = FAKE_QUANT(%a);  %p = FULLY_CONNECTED(%x, scale(w) w, scale(b) b);  %y = FAKE_QUANT(%p);  %c = FAKE_QUANT(%y)

Evidence: the demo detector on SwiftShader. With int8 weights the delegate's outputs differ from the CPU's on the same file by a
relative error of 1.7e-2, and from those of this form by 1e-5 or less (``docs/proof.md``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.tflite.editor import FlatbufferEditor
from detr2litert.host_runtime.tflite.verify_file import verify_file

_INT8, _INT32, _FLOAT32 = schema.TensorType.INT8, schema.TensorType.INT32, schema.TensorType.FLOAT32
_QUANTIZE, _DEQUANTIZE = schema.BuiltinOperator.QUANTIZE, schema.BuiltinOperator.DEQUANTIZE
_STEPS = (-128, 127)


@dataclass(frozen=True)
class FloatTwin:
    """The float form of a file.

    Attributes:
        path: of it.
        steps: whether activations are int8 as well, so that it rounds them.
        exact: the form that rounds no activation: what the delegate computes of a native twin, whose activations are floats.
            The same file if there are none.
    """

    path: Path
    steps: bool
    exact: Path


def write_float_twins(files: Mapping[str, Path], folder: Path) -> dict[str, FloatTwin]:
    """Writes the float forms of those files that have int8 weights into ``folder``; returns them by the files' names.

    A file that cannot be read has none: its run reports why.
    """
    twins = {}
    for name, path in files.items():
        try:
            verify_file(path)
        except UserError:
            continue
        twin = write_float_twin(path, folder / f"{name}.unpacked.tflite")
        if twin is not None:
            twins[name] = twin
    return twins


def write_float_twin(source: Path, target: Path) -> FloatTwin | None:
    """Writes the float form of a file whose weights, and perhaps activations, are int8; None for a file of another kind.

    If there are int8 activations, the form that does not round them is written beside ``target``.
    """
    steps = _write(source, target, _STEPS)
    if steps is None:
        return None
    exact = target.with_name(f"{target.stem}.exact{target.suffix}") if steps else target
    if steps:
        _write(source, exact, None)
    return FloatTwin(target, steps, exact)


def _write(source: Path, target: Path, codes: tuple[int, int] | None) -> bool | None:
    """Writes a float form.

    Args:
        source: the int8 file.
        target: file to write.
        codes: lowest and highest code to which activations are rounded; None to round none.

    Returns:
        Whether there are int8 activations; None, and nothing is written, if the file is of another kind.
    """
    editor = FlatbufferEditor(source)
    tensors = editor.subgraph.tensors
    # A DEQUANTIZE of a constant computes in floats already, on every runtime.
    unpacked = {int(op.inputs[0]) for op in editor.subgraph.operators if editor.opcode(op) == _DEQUANTIZE}
    activations, found = [], False
    for index, tensor in enumerate(tensors):
        constant = _is_constant(editor, tensor)
        if tensor.type not in (_INT8, _INT32) or not scales_of(tensor).size or (constant and index in unpacked):
            continue
        found = True
        if constant:
            _unpack(editor, tensor)
        else:
            activations.append((index, None if codes is None else _range(tensor, codes)))
            tensor.type = _FLOAT32
            tensor.quantization = None
    for index, span in activations:
        _round(editor, index, span)
    if not found:
        return None
    editor.save(target)
    return bool(activations)


def scales_of(tensor: Any) -> NDArray[np.float32]:
    """Returns the scales of a tensor of the schema's, one or one a channel; empty if it is not quantised."""
    found = None if tensor.quantization is None else tensor.quantization.scale
    return np.asarray([] if found is None else found, np.float32)


def channel_shape(tensor: Any) -> tuple[int, ...]:
    """Returns the shape in which a tensor's scales are broadcast to its values."""
    count, along = scales_of(tensor).size, [1] * len(tensor.shape)
    if count > 1:
        along[tensor.quantization.quantizedDimension] = count
    return tuple(along)


def is_int8_constant(editor: FlatbufferEditor, tensor: Any) -> bool:
    """Returns whether a tensor of the schema's holds int8 codes."""
    return bool(tensor.type == _INT8 and scales_of(tensor).size and _is_constant(editor, tensor))


def unpacked(editor: FlatbufferEditor, tensor: Any) -> NDArray[np.float32]:
    """Returns the floats that a quantised constant stands for: scale (code - zero), along the quantised axis."""
    kind = np.int8 if tensor.type == _INT8 else np.int32
    data = np.asarray(editor.model.buffers[tensor.buffer].data, np.uint8)
    codes: NDArray[Any] = data.view(kind).reshape([int(side) for side in tensor.shape])
    along = channel_shape(tensor)
    return np.asarray(scales_of(tensor).reshape(along) * (codes - _zeros(tensor).reshape(along)), np.float32)


def _is_constant(editor: FlatbufferEditor, tensor: Any) -> bool:
    data = editor.model.buffers[tensor.buffer].data
    return bool(tensor.buffer) and data is not None and len(data) > 0


def _zeros(tensor: Any) -> NDArray[np.int64]:
    count, found = scales_of(tensor).size, tensor.quantization.zeroPoint
    zeros = np.zeros(1, np.int64) if found is None or len(found) == 0 else np.asarray(found, np.int64)
    return np.resize(zeros, count)


def _unpack(editor: FlatbufferEditor, tensor: Any) -> None:
    """Replaces a constant by its floats."""
    values = unpacked(editor, tensor)
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(values.tobytes(), np.uint8)
    editor.model.buffers.append(buffer)
    tensor.buffer = len(editor.model.buffers) - 1
    tensor.type = _FLOAT32
    tensor.quantization = None


def _range(tensor: Any, codes: tuple[int, int]) -> tuple[float, float]:
    scale, zero = float(scales_of(tensor)[0]), int(_zeros(tensor)[0])
    return (codes[0] - zero) * scale, (codes[1] - zero) * scale


def _round(editor: FlatbufferEditor, index: int, span: tuple[float, float] | None) -> None:
    """Rounds what was an int8 activation to its steps, where it is made and where it is unpacked; without a ``span``, passes
    it on as it is.
    """
    for consumer in editor.consumers(index):
        if editor.opcode(consumer) == _DEQUANTIZE:
            _replace(editor, consumer, span)
    producer = editor.producer(index)
    if producer is None:
        return
    if editor.opcode(producer) == _QUANTIZE:
        _replace(editor, producer, span)
        return
    if span is None:
        return
    exact = editor.add_tensor(index, editor.shape(index), f"{editor.name(index)}_exact")
    producer.outputs = np.asarray([exact if out == index else out for out in producer.outputs], np.int32)
    at = editor.subgraph.operators.index(producer) + 1
    editor.insert_operator(at, schema.BuiltinOperator.FAKE_QUANT, [exact], index, _options(span))


def _replace(editor: FlatbufferEditor, op: Any, span: tuple[float, float] | None) -> None:
    """Puts a rounding in place of a QUANTIZE or DEQUANTIZE, or an identity."""
    at, source, result = editor.subgraph.operators.index(op), int(op.inputs[0]), int(op.outputs[0])
    editor.subgraph.operators.remove(op)
    if span is not None:
        editor.insert_operator(at, schema.BuiltinOperator.FAKE_QUANT, [source], result, _options(span))
        return
    same = schema.ReshapeOptionsT()
    same.newShape = editor.shape(result)
    editor.insert_operator(at, schema.BuiltinOperator.RESHAPE, [source], result, same)


def _options(span: tuple[float, float]) -> Any:
    options = schema.FakeQuantOptionsT()
    options.min, options.max = span
    options.numBits = 8
    return options
