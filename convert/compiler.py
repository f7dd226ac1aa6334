"""From a reference detector to two rewritten graphs and a host step: everything before the converter."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx

from detr2litert.convert.quiet import quiet
from detr2litert.convert.reference import Reference
from detr2litert.graphs.host_step import HostPart
from detr2litert.graphs.partition import Part, Partition, partition
from detr2litert.graphs.selection import NoSelectionError
from detr2litert.host_runtime import manifest
from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.host_step import HostStep
from detr2litert.rewrites import pipeline
from detr2litert.rewrites.base import RewriteRefusedError
from detr2litert.rewrites.pipeline import Step, StepReport
from detr2litert.rewrites.profile import Profile
from detr2litert.rewrites.program import export
from detr2litert.rewrites.ranges import NodeRange, measure, measured

Array = NDArray[np.generic]

INPUT_NAMES = ("image",)
OUTPUT_NAMES = ("boxes", "logits")


@dataclass(frozen=True)
class CompiledDetector:
    """A detector in three parts, still in PyTorch.

    Attributes:
        parts: graph A, host step and graph B, rewritten for the target.
        reports: what the rewrites did, for ``"detector"`` (before the cut), ``"graph_a"`` and ``"graph_b"``.
        ranges: the values of ``"graph_a"`` and ``"graph_b"`` on the calibration pictures, before anything was protected.
        profile: the options that it was compiled with.
        calibration: those pictures.
    """

    parts: Partition
    reports: Mapping[str, tuple[StepReport, ...]]
    ranges: Mapping[str, tuple[NodeRange, ...]]
    profile: Profile = field(default_factory=Profile)
    calibration: tuple[Tensor, ...] = ()

    def host_program(self) -> manifest.HostProgram:
        """The host step as the manifest writes it."""
        return self.parts.host.program

    def host_constants(self) -> dict[str, Array]:
        """The host step's constants by name."""
        return host_arrays(self.parts.host)

    def evaluate(self, image: Tensor) -> dict[str, Array]:
        """Every stage's tensors by name, with the graphs computed by PyTorch.

        Args:
            image: ``[1, 3, R, R]``, normalised.
        """
        return evaluate_parts(self.parts, image)

    def reorder(self, image: Tensor, outputs: Mapping[str, Array]) -> dict[str, Array]:
        """As ``evaluate``, with the proposals selected by other scores and all else as PyTorch computes it.

        Args:
            image: ``[1, 3, R, R]``, normalised.
            outputs: graph A's from elsewhere, of which only those that the selection ranks are taken.
        """
        return evaluate_parts(self.parts, image, {name: outputs[name] for name in self.ranked})

    @property
    def ranked(self) -> tuple[str, ...]:
        """Graph A's outputs by which the host step selects."""
        read = {name for op in self.parts.host.program.ops if op.op == "topk" for name in op.inputs}
        return tuple(name for name in self.parts.a.output_names if name in read)


class Watcher:
    """Sees a detector between the steps of its compilation; this one does nothing with it."""

    def doing(self, what: str) -> None:
        """What is being done from now on, for whoever waits."""

    def exported(self, whole: fx.GraphModule) -> None:
        """The uncut detector, as exported."""

    def rewritten(self, where: str, step: StepReport, graph_module: fx.GraphModule) -> None:
        """One of ``"detector"``, ``"graph_a"``, ``"graph_b"`` after a rewrite."""

    def cut(self, whole: fx.GraphModule, parts: Partition) -> None:
        """The normalised detector and the parts it was cut into."""


class Telling(Watcher):
    """Tells what is being done."""

    def __init__(self, doing: Callable[[str], None]) -> None:
        self._doing = doing

    def doing(self, what: str) -> None:
        """What is being done from now on, for whoever waits."""
        self._doing(what)


def compile_detector(
    reference: Reference, profile: Profile, calibration: Sequence[Tensor] = (), watcher: Watcher | None = None
) -> CompiledDetector:
    """Export, normalise, cut and rewrite a detector.

    Args:
        reference: the detector.
        profile: options of the rewrites.
        calibration: pictures ``[1, 3, R, R]``, normalised, on which the ranges of its values are measured. Without one, all
            norms are protected.
        watcher: told of each step.

    Raises:
        UserError: it is no two-stage detector of the kind that can be cut, or it holds an op that no rewrite knows.
    """
    watcher = watcher or Watcher()
    try:
        watcher.doing("exporting the PyTorch model")
        with quiet():
            whole = export(reference.module, (reference.example_input(),))
        watcher.exported(whole)
        watcher.doing("rewriting")
        before = pipeline.run(pipeline.NORMALISE, whole, profile, partial(watcher.rewritten, "detector"))
        parts = partition(whole, profile, INPUT_NAMES, OUTPUT_NAMES)
        watcher.cut(whole, parts)
        graphs = {name: part.graph_module for name, part in parts.graphs.items()}
        reports = {"detector": before, **_rewrite(graphs, pipeline.LOWER, profile, watcher)}
        for number, image in enumerate(calibration, start=1):
            watcher.doing(f"measuring the ranges of its values on picture {number} of {len(calibration)}")
            _measure(parts, image)
        ranges = {name: measured(graph) for name, graph in graphs.items()}
        for name, more in _rewrite(graphs, (*pipeline.PROTECT, *pipeline.LAY_OUT), profile, watcher).items():
            reports[name] += more
    except NoSelectionError as error:
        raise UserError(f"{reference.variant.name} cannot be cut in two: {error}") from error
    except RewriteRefusedError as error:
        raise UserError(f"{reference.variant.name} cannot be brought to the GPU: {error}") from error
    told = {name: tuple(steps) for name, steps in reports.items()}
    return CompiledDetector(parts, told, ranges, profile, tuple(calibration))


def _rewrite(
    graphs: Mapping[str, fx.GraphModule], steps: Sequence[Step], profile: Profile, watcher: Watcher
) -> dict[str, list[StepReport]]:
    return {name: pipeline.run(steps, graph, profile, partial(watcher.rewritten, name)) for name, graph in graphs.items()}


def _measure(parts: Partition, image: Tensor) -> None:
    """Widen the ranges in both graphs by what one picture brings."""
    values: dict[str, Array] = {INPUT_NAMES[0]: image.numpy()}
    for part in (parts.a, parts.b):
        outputs = measure(part.graph_module, [torch.from_numpy(values[name]) for name in part.input_names])
        values.update(_named(part, outputs))
        if part is parts.a:
            values.update(run_host(parts.host, values))


def evaluate_parts(parts: Partition, image: Tensor, instead: Mapping[str, Array] | None = None) -> dict[str, Array]:
    """Every stage's tensors by name, the input included, with the graphs computed by PyTorch and the host step by NumPy.

    Args:
        parts: the detector.
        image: ``[1, 3, R, R]``, normalised.
        instead: outputs of graph A to go on with in place of its own.
    """
    values: dict[str, Array] = {INPUT_NAMES[0]: image.numpy()}
    values.update(run_part(parts.a, values))
    values.update(instead or {})
    values.update(run_host(parts.host, values))
    values.update(run_part(parts.b, values))
    return values


def run_host(host: HostPart, values: Mapping[str, Array]) -> dict[str, Array]:
    """The host step's outputs by name, from graph A's."""
    return dict(HostStep(host.program, host_arrays(host))(values))


@torch.no_grad()
def run_part(part: Part, values: Mapping[str, Array]) -> dict[str, Array]:
    """A part's outputs by name, computed by PyTorch."""
    outputs = part.graph_module(*(torch.from_numpy(values[name]) for name in part.input_names))
    return _named(part, outputs)


def _named(part: Part, outputs: Sequence[Tensor]) -> dict[str, Array]:
    return {name: output.contiguous().numpy() for name, output in zip(part.output_names, outputs, strict=True)}


def trace_part(part: Part, values: Mapping[str, Array]) -> dict[str, Array]:
    """Every intermediate value of a part by node name, for finding the first tensor that is off."""
    return trace(part.graph_module, *(torch.from_numpy(values[name]) for name in part.input_names))


@torch.no_grad()
def trace(graph_module: fx.GraphModule, *inputs: Tensor) -> dict[str, Array]:
    """Every intermediate value of a graph by node name."""
    recorder = _Recorder(graph_module)
    recorder.run(*inputs)
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


def host_arrays(host: HostPart) -> dict[str, Array]:
    """A host step's constants by name."""
    return {name: value.contiguous().numpy() for name, value in host.constants.items()}
