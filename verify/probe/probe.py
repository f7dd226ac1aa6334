"""One probe: a small model, its purpose, and how its result is judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detr2litert.host_runtime.tflite.graph import read_graph
from detr2litert.host_runtime.tflite.writer import ModelWriter

Values = Mapping[str, NDArray[Any]]
Build = Callable[[ModelWriter], Sequence[str]]


class Behaviour(StrEnum):
    """What the delegate does with a model."""

    ACCEPTED = "accepted"  # compiled, and the values are right
    REFUSED = "refused"  # it does not compile
    WRONG = "wrong"  # compiled, and the values are wrong
    DIED = "died"  # it ends the process that compiles or runs it
    NOT_RUN = "not run"


@dataclass(frozen=True)
class Probe:
    """One model.

    Attributes:
        name: unique in the suite.
        about: describes the model and what it shows.
        does: what the delegate of the pinned runtime does with it.
        build: adds the operators to a writer and returns the names of the outputs.
        triggers: the lint rule that it triggers; "" for a model on which no rule may fire.
        must_not_trigger: similar lint rules that must not fire on it: it shows what to write instead, or a rule's boundary.
        span: its float inputs are drawn uniformly from (low, high); from the normal distribution if None.
        values: inputs that are given rather than drawn.
        reference: computes the outputs in NumPy, for a model that the CPU kernels refuse or compute wrong; None for the CPU's.
        limit: largest difference that counts as right, absolute and relative to the reference.
    """

    name: str
    about: str
    does: Behaviour
    build: Build
    triggers: str = ""
    must_not_trigger: tuple[str, ...] = ()
    span: tuple[float, float] | None = None
    values: Values = field(default_factory=dict)
    reference: Callable[[Values], Values] | None = None
    limit: float = 1e-3

    def write(self, folder: Path) -> Path:
        """Writes the model into a folder, under the probe's name."""
        writer = ModelWriter()
        return writer.write(folder / f"{self.name}.tflite", self.build(writer))

    def inputs(self, model: Path) -> dict[str, NDArray[Any]]:
        """Returns the model's inputs by signature name: the same every time.

        Whole numbers are 0 to 3, valid indices for every table and axis of the suite.
        """
        graph, rng = read_graph(model), np.random.default_rng(7)
        drawn: dict[str, NDArray[Any]] = {}
        for name, index in graph.signature_inputs.items():
            tensor = graph.tensors[index]
            if name in self.values:
                drawn[name] = self.values[name]
            elif tensor.dtype == "bool":
                drawn[name] = rng.random(tensor.shape) < 0.5
            elif tensor.dtype.startswith("int"):
                drawn[name] = rng.integers(0, 4, tensor.shape).astype(tensor.dtype)
            elif self.span is not None:
                drawn[name] = rng.uniform(*self.span, tensor.shape).astype(np.float32)
            else:
                drawn[name] = rng.standard_normal(tensor.shape).astype(np.float32)
        return drawn
