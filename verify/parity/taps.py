"""Reads the inner tensors of a .tflite file: on the CPU all of them, on the GPU one at a time, by a tap.

Making an inner tensor a graph output changes what the delegate fuses, and a tensor that is an output and is read by one
operator may be left as uninitialised memory (LiteRT issue 8599 and its family). So a tap is by default the tensor times 2, as a
tensor of its own, halved again by the reader: exact in binary arithmetic except for overflow, not an identity that an optimiser
would remove, and a second reader, with which those faults were never observed. Where the delegate computes in fp16 the tap is
half of the tensor instead, since twice 32768 overflows fp16.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray

from detr2litert.host_runtime.tflite.editor import FlatbufferEditor
from detr2litert.host_runtime.tflite.graph import Graph

TAP = "detr2litert_tap"
DOUBLED, HALVED = 2.0, 0.5


def runtime_ancestors(graph: Graph, tensor: int) -> frozenset[int]:
    """Returns all tensors that operators compute from runtime data and that a tensor depends on, without itself."""
    seen: set[int] = set()
    stack = [tensor]
    while stack:
        maker = graph.producer(stack.pop())
        for source in maker.inputs if maker else ():
            if source not in seen and graph.is_runtime(source) and graph.producer(source) is not None:
                seen.add(source)
                stack.append(source)
    return frozenset(seen)


def preserved_tensors(
    model: Path, graph: Graph, inputs: Mapping[str, NDArray[Any]], *, threads: int = 2
) -> dict[int, NDArray[Any]]:
    """Returns every runtime tensor's value, by tensor index, from LiteRT's own CPU kernels.

    Without XNNPACK, which would run whole sections of the graph and leave no inner values to read.

    Raises:
        ValueError, RuntimeError: the interpreter refuses the model or an input.
    """
    interpreter = Interpreter(
        model_path=str(model),
        num_threads=threads,
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    for name, tensor in graph.signature_inputs.items():
        interpreter.set_tensor(tensor, inputs[name])
    interpreter.invoke()
    values: dict[int, NDArray[Any]] = {}
    for op in graph.ops:
        for tensor in op.outputs:
            if graph.is_runtime(tensor):
                try:
                    values[tensor] = interpreter.get_tensor(tensor)
                except ValueError:  # a tensor that the kernel never needed has no data
                    continue
    return values


def write_tap(model: Path, tensor: int, destination: Path, *, copy: bool = True, factor: float = DOUBLED) -> Path:
    """Writes the model with one more output, named ``TAP``.

    Args:
        model: a file with a signature.
        tensor: index of a runtime tensor; float32 for a copy.
        destination: the file to write.
        copy: the output is a new tensor of ``factor`` times the value (see above); False makes the tensor itself an output.
        factor: ``DOUBLED`` or ``HALVED``.
    """
    editor = FlatbufferEditor(model)
    output = _add_multiple(editor, tensor, factor) if copy else tensor
    editor.subgraph.outputs = np.append(np.asarray(editor.subgraph.outputs, np.int32), np.int32(output))
    signature = next(s for s in editor.model.signatureDefs if s.subgraphIndex == 0)
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = TAP, output
    signature.outputs = [*signature.outputs, entry]
    editor.save(destination)
    return destination


def read_tap(outputs: Mapping[str, NDArray[Any]], *, copy: bool = True, factor: float = DOUBLED) -> NDArray[Any]:
    """Returns the tapped tensor's value from a run of the file that ``write_tap`` wrote with the same arguments."""
    return outputs[TAP] / np.float32(factor) if copy else outputs[TAP]


def _add_multiple(editor: FlatbufferEditor, tensor: int, by: float) -> int:
    """Appends the operator that multiplies a tensor; returns its output's index."""
    factor = editor.add_constant(np.asarray([by], np.float32), f"{TAP}_factor")
    result = editor.add_tensor(tensor, editor.shape(tensor), TAP)
    end = len(editor.subgraph.operators)
    editor.insert_operator(end, schema.BuiltinOperator.MUL, [tensor, factor], result, schema.MulOptionsT())
    return result
