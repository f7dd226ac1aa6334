"""The reference of a file with weights in eight bits: the same file with the weights unpacked.

The CPU's kernels for such layers also round their float input to eight bits, which the delegate does not: it unpacks the
weights. So the CPU runs the layer with its weights unpacked; everything else stays as it is.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from detr2litert.host_runtime.tflite.container import builtin, operator_code, pack_model, parse_model

_LAYERS = (
    schema.BuiltinOperator.FULLY_CONNECTED,
    schema.BuiltinOperator.CONV_2D,
    schema.BuiltinOperator.DEPTHWISE_CONV_2D,
    schema.BuiltinOperator.BATCH_MATMUL,
    schema.BuiltinOperator.TRANSPOSE_CONV,
)
_FLOAT, _INT8 = schema.TensorType.FLOAT32, schema.TensorType.INT8


def write_reference(path: Path, destination: Path) -> Path:
    """Writes the file with the int8 weights of float layers unpacked; returns ``path`` itself if there are none."""
    model = parse_model(path.read_bytes())
    changed = False
    for subgraph in model.subgraphs:
        for operator in subgraph.operators:
            code = model.operatorCodes[operator.opcodeIndex]
            tensors = [subgraph.tensors[t] for t in operator.inputs if t >= 0]
            if builtin(code) not in _LAYERS or subgraph.tensors[operator.outputs[0]].type != _FLOAT:
                continue
            for tensor in tensors:
                data = model.buffers[tensor.buffer].data if tensor.buffer else None
                if tensor.type == _INT8 and tensor.quantization is not None and data is not None and len(data):
                    _unpack(model, tensor, data)
                    changed = True
                    # Version 1 of a layer is its float form.
                    model.operatorCodes.append(operator_code(builtin(code)))
                    operator.opcodeIndex = len(model.operatorCodes) - 1
    if not changed:
        return path
    destination.write_bytes(pack_model(model))
    return destination


def _unpack(model: Any, tensor: Any, data: Any) -> None:
    values = unpacked(np.frombuffer(np.asarray(data, np.uint8).tobytes(), np.int8).reshape(tensor.shape), tensor.quantization)
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(values.tobytes(), np.uint8)
    model.buffers.append(buffer)
    tensor.buffer, tensor.type, tensor.quantization = len(model.buffers) - 1, _FLOAT, None


def unpacked(codes: NDArray[np.int8], quantization: Any) -> NDArray[np.float32]:
    """Returns scale * (code - zero point), with one scale for the tensor or one for each index along its axis."""
    scale, zero = np.asarray(quantization.scale, np.float32), np.asarray(quantization.zeroPoint, np.float32)
    if scale.size > 1:
        shape = [1] * codes.ndim
        shape[quantization.quantizedDimension] = scale.size
        scale, zero = scale.reshape(shape), zero.reshape(shape)
    values: NDArray[np.float32] = ((codes.astype(np.float32) - zero) * scale).astype(np.float32)
    return values
