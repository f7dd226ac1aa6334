"""The range of each activation of a converted graph, over the values of calibration pictures.

The range is the smallest and the largest value that any picture shows. ai-edge-quantizer's own calibration keeps a moving
average, ``0.95 old + 0.05 new``, in which the first picture counts more than the next ten together. Measured on the demo
detector, 20 pictures, correlation of the logits with float32: 0.9997 with the extremes, 0.984 with the mean of each picture's
extremes, which cuts off the values of those queries that find something.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray

from detr2litert.convert.int8.blocks import static_operators
from detr2litert.host_runtime.tflite.graph import read_graph

Ranges = Mapping[str, tuple[float, float]]
"""The smallest and the largest value of a tensor, by its name in the file."""


class RangeRecorder:
    """Runs a float32 file on the CPU and records the ranges of what its int8 operators would read and write.

    Args:
        file: a converted graph.
        threads: of the CPU.
    """

    def __init__(self, file: Path, threads: int = 2) -> None:
        graph = read_graph(file)
        tensors = {tensor for op in static_operators(graph) for tensor in (op.inputs[0], op.outputs[0])}
        self._names = {tensor: graph.tensors[tensor].name for tensor in sorted(tensors)}
        # Without XNNPACK, which would run whole sections of the graph and leave no inner values to read.
        self._interpreter = Interpreter(
            model_path=str(file),
            num_threads=threads,
            experimental_preserve_all_tensors=True,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
        self._interpreter.allocate_tensors()
        self._inputs = dict(graph.signature_inputs)
        self._ranges: dict[str, tuple[float, float]] = {}

    def record(self, inputs: Mapping[str, NDArray[np.generic]]) -> None:
        """Extends the ranges by the values of one picture.

        Args:
            inputs: at least the graph's, by signature name.
        """
        for name, tensor in self._inputs.items():
            self._interpreter.set_tensor(tensor, inputs[name])
        self._interpreter.invoke()
        for tensor, name in self._names.items():
            values = self._interpreter.get_tensor(tensor)
            low, high = self._ranges.get(name, (np.inf, -np.inf))
            self._ranges[name] = min(low, float(values.min())), max(high, float(values.max()))

    @property
    def ranges(self) -> Ranges:
        """The ranges so far."""
        return dict(self._ranges)


def without_range(ranges: Ranges, tensors: Iterable[str]) -> list[str]:
    """Returns those tensors that have no finite range: never recorded, or NaN or infinite on some picture."""
    return [name for name in tensors if name not in ranges or not np.isfinite(ranges[name]).all()]
