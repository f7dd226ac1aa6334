"""From a reference detector to two rewritten graphs and a host step: everything before the converter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx

from convert.quiet import quiet
from convert.reference import Reference
from graphs.host_step import HostProgram
from graphs.partition import Part, Partition, partition
from graphs.selection import NoSelectionError
from host_runtime import manifest
from host_runtime.errors import UserError
from host_runtime.host_step import HostStep
from rewrites import pipeline
from rewrites.base import RewriteRefusedError
from rewrites.pipeline import StepReport
from rewrites.profile import Profile
from rewrites.program import export

Array = NDArray[np.generic]

INPUT_NAMES = ("image",)
OUTPUT_NAMES = ("boxes", "logits")


@dataclass(frozen=True)
class CompiledDetector:
    """A detector in three parts, still in PyTorch.

    Attributes:
        parts: graph A, host step and graph B, rewritten for the target.
        reports: what the rewrites did, for ``"detector"`` (before the cut), ``"graph_a"`` and ``"graph_b"``.
    """

    parts: Partition
    reports: Mapping[str, tuple[StepReport, ...]]

    def host_program(self) -> manifest.HostProgram:
        """The host step as the manifest writes it."""
        return _manifest_program(self.parts.host)

    def host_constants(self) -> dict[str, Array]:
        """The host step's constants by name."""
        return {name: value.contiguous().numpy() for name, value in self.parts.host.constants.items()}

    def evaluate(self, image: Tensor) -> dict[str, Array]:
        """Every stage's tensors by name, with the graphs computed by PyTorch.

        Args:
            image: ``[1, 3, R, R]``, normalised.
        """
        values: dict[str, Array] = {INPUT_NAMES[0]: image.numpy()}
        values.update(run_part(self.parts.a, values))
        specs = tensor_specs(self.parts.a.output_names, values)
        values.update(HostStep(self.host_program(), self.host_constants(), specs)(values))
        values.update(run_part(self.parts.b, values))
        return values


def compile_detector(reference: Reference, profile: Profile) -> CompiledDetector:
    """Export, normalise, cut and rewrite a detector.

    Raises:
        UserError: it is no two-stage detector of the kind that can be cut, or it holds an op that no rewrite knows.
    """
    try:
        with quiet():
            whole = export(reference.module, (reference.example_input(),))
        before = pipeline.run(pipeline.NORMALISE, whole, profile)
        parts = partition(whole, profile, INPUT_NAMES, OUTPUT_NAMES)
        after_a = pipeline.run(pipeline.LOWER, parts.a.graph_module, profile)
        after_b = pipeline.run(pipeline.LOWER, parts.b.graph_module, profile)
    except NoSelectionError as error:
        raise UserError(f"{reference.variant.name} cannot be cut in two: {error}") from error
    except RewriteRefusedError as error:
        raise UserError(f"{reference.variant.name} cannot be brought to the GPU: {error}") from error
    return CompiledDetector(parts, {"detector": tuple(before), "graph_a": tuple(after_a), "graph_b": tuple(after_b)})


@torch.no_grad()
def run_part(part: Part, values: Mapping[str, Array]) -> dict[str, Array]:
    """A part's outputs by name, computed by PyTorch."""
    outputs = part.graph_module(*(torch.from_numpy(values[name]) for name in part.input_names))
    return {name: output.contiguous().numpy() for name, output in zip(part.output_names, outputs, strict=True)}


@torch.no_grad()
def trace_part(part: Part, values: Mapping[str, Array]) -> dict[str, Array]:
    """Every intermediate value of a part by node name, for finding the first tensor that is off."""
    recorder = _Recorder(part.graph_module)
    recorder.run(*(torch.from_numpy(values[name]) for name in part.input_names))
    return recorder.values


class _Recorder(fx.Interpreter):
    """Runs a graph and keeps what every op returns."""

    def __init__(self, graph_module: fx.GraphModule) -> None:
        super().__init__(graph_module)
        self.values: dict[str, Array] = {}

    def run_node(self, n: fx.Node) -> object:
        """The node's value, recorded if it is a tensor."""
        value = super().run_node(n)
        if n.op == "call_function" and isinstance(value, Tensor):
            self.values[n.name] = value.contiguous().numpy()
        return value


def tensor_specs(names: tuple[str, ...], values: Mapping[str, Array]) -> tuple[manifest.TensorSpec, ...]:
    """Names with the shapes and types of their values."""
    return tuple(manifest.TensorSpec(name, tuple(values[name].shape), str(values[name].dtype)) for name in names)


def _manifest_program(program: HostProgram) -> manifest.HostProgram:
    constants = {name: value.contiguous().numpy() for name, value in program.constants.items()}
    return manifest.HostProgram(
        inputs=program.inputs,
        ops=tuple(manifest.HostOp(op.op, op.inputs, op.output, dict(op.attributes)) for op in program.ops),
        outputs=program.outputs,
        constants=tensor_specs(tuple(constants), constants),
    )
