"""Compiles a reference detector to two rewritten graphs and a host step, or to one graph: everything before the converter."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx

from detr2litert.convert.models.reference import Reference
from detr2litert.convert.models.settings.picture import pixel_scale_of
from detr2litert.convert.one_graph import SCORES, run_one_graph
from detr2litert.convert.quiet import quiet
from detr2litert.graphs.host_step import HostPart
from detr2litert.graphs.mask_product import CELLS, KEPT, MASKS, QUERIES, cut_masks
from detr2litert.graphs.native_ops import CUSTOM_OPS
from detr2litert.graphs.partition import INDICES, Part, Partition, partition
from detr2litert.graphs.pixel_input import PIXELS, PixelScale, take_pixels
from detr2litert.graphs.selection import NoSelectionError
from detr2litert.graphs.toolbox import RewriteRefusedError, calls, graph_module_of, value_of
from detr2litert.host_runtime import manifest
from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.host_step import HostStep
from detr2litert.rewrites import driver, pipeline
from detr2litert.rewrites.driver import Step, StepReport
from detr2litert.rewrites.profile import Profile
from detr2litert.rewrites.program import export
from detr2litert.rewrites.ranges import NodeRange, measure, measured

Array = NDArray[np.generic]

INPUT_NAMES = ("image",)
OUTPUT_NAMES: tuple[str, ...] = ("boxes", "logits")
KEYPOINTS = "keypoints"
"""The third output of a detector of keypoints."""
MASKS_AT_A_TIME = 32
"""Of graph M. More than most pictures have objects; what it computes and copies grows with it."""


@dataclass(frozen=True)
class CompiledDetector:
    """A detector in three parts, or in one graph, still in PyTorch.

    Attributes:
        parts: graph A, host step and graph B, or graph A alone, rewritten for the target.
        reports: what the rewrites did, for ``"detector"`` (before the cut), ``"graph_a"`` and ``"graph_b"``, and for those of
            the native form.
        ranges: value ranges of ``"graph_a"`` and ``"graph_b"`` on the calibration pictures, before any protection.
        profile: the options of the compilation.
        calibration: those pictures.
        cut: graph B as it was cut, before it was rewritten; None if there is one graph.
        native: the same graphs in the delegate's own operators, with the same host step; None if the profile has no native
            form or no operator has one.
        pixels: how the pixels that graph A takes become the image; None if it takes the image.
    """

    parts: Partition
    reports: Mapping[str, tuple[StepReport, ...]]
    ranges: Mapping[str, tuple[NodeRange, ...]]
    profile: Profile = field(default_factory=Profile)
    calibration: tuple[Tensor, ...] = ()
    cut: Part | None = None
    native: CompiledDetector | None = None
    pixels: PixelScale | None = None

    @property
    def graphs(self) -> dict[str, Part]:
        """Every graph by the name that reports use; a native graph without any native operator is left out."""
        return {**self.parts.graphs, **self._native_graphs}

    @property
    def _native_graphs(self) -> dict[str, Part]:
        if self.native is None:
            return {}
        return {native_name(name): part for name, part in self.native.parts.graphs.items() if _is_native(part)}

    def host_program(self) -> manifest.HostProgram:
        """Returns the host step in the manifest's form."""
        return self.parts.host.program

    def host_constants(self) -> dict[str, Array]:
        """Returns the host step's constants by name."""
        return host_arrays(self.parts.host)

    def evaluate(self, image: Tensor) -> dict[str, Array]:
        """Computes every stage's tensors by name, with PyTorch for the graphs, and the input of either form.

        Args:
            image: ``[1, 3, R, R]``, normalised, and ``shown``.
        """
        values = evaluate_parts(self.parts, image, pixels=self.pixels)
        if self.native is not None and self.native.pixels is not None:
            values[PIXELS] = self.native.pixels.pixels_of(image).numpy()
        return values

    def shown(self, image: Tensor) -> Tensor:
        """Returns the image nearest to a given one that both forms can take: of whole pixels where one of them takes pixels."""
        scale = self.pixels if self.native is None else self.native.pixels
        return image if scale is None else scale.image_of(scale.pixels_of(image))

    def reorder(self, image: Tensor, outputs: Mapping[str, Array]) -> dict[str, Array]:
        """Like ``evaluate``, but selects the proposals by given scores.

        Args:
            image: ``[1, 3, R, R]``, normalised.
            outputs: graph A's outputs from another source, of which only those that the selection ranks are used: of one
                graph, its scores or else the indices that it selected.
        """
        used = (INDICES,) if self.parts.b is None and SCORES not in outputs else self.ranked
        return evaluate_parts(self.parts, image, {name: outputs[name] for name in used}, self.pixels)

    @property
    def ranked(self) -> tuple[str, ...]:
        """Returns the tensors by which the queries are selected: outputs of graph A, or of one graph the scores inside."""
        return self.parts.host.ranked if self.parts.b is not None else (SCORES,)


class CompilationObserver:
    """Observes a detector between the steps of its compilation; the methods of this class do nothing."""

    def doing(self, what: str) -> None:
        """Receives a description of what is being done, for a progress display."""

    def exported(self, whole: fx.GraphModule) -> None:
        """Receives the uncut detector, as exported."""

    def rewritten(self, where: str, step: StepReport, graph_module: fx.GraphModule) -> None:
        """Receives ``"detector"``, ``"graph_a"`` or ``"graph_b"``, or its native form's name, after a rewrite."""

    def cut(self, whole: fx.GraphModule, parts: Partition) -> None:
        """Receives the normalised detector and the parts it was cut into."""

    def took_pixels(self, where: str, graph_module: fx.GraphModule) -> None:
        """Receives the name of a native graph that takes pixels in place of the image from now on."""


class ProgressObserver(CompilationObserver):
    """Passes on the descriptions of what is being done."""

    def __init__(self, doing: Callable[[str], None]) -> None:
        self._doing = doing

    def doing(self, what: str) -> None:
        """Passes on a description of what is being done."""
        self._doing(what)


def compile_detector(
    reference: Reference, profile: Profile, calibration: Sequence[Tensor] = (), observer: CompilationObserver | None = None
) -> CompiledDetector:
    """Exports, normalises, cuts and rewrites a detector.

    Args:
        reference: the detector.
        profile: options of the rewrites.
        calibration: pictures ``[1, 3, R, R]``, normalised, on which the ranges of its values are measured. Without one, all
            norms are protected.
        observer: called at each step.

    Raises:
        UserError: it is not a two-stage detector that can be cut, or it contains an op that no rewrite supports.
    """
    observer = observer or CompilationObserver()
    try:
        observer.doing("exporting the PyTorch model")
        with quiet():
            whole = export(reference.exported, (reference.example_input(),))
        observer.exported(whole)
        observer.doing("rewriting")
        before = driver.run(pipeline.NORMALISE, whole, profile, partial(observer.rewritten, "detector"))
        outputs, product = OUTPUT_NAMES, None
        if reference.masks:
            product = Part(cut_masks(whole, min(MASKS_AT_A_TIME, reference.num_queries)), (QUERIES, CELLS, KEPT), (MASKS,))
            outputs = (*OUTPUT_NAMES, QUERIES, CELLS)
        elif reference.keypoints_per_class:
            outputs = (*OUTPUT_NAMES, KEYPOINTS)
        parts = partition(whole, INPUT_NAMES, outputs, layout=profile.layout, token_maps=profile.token_maps)
        parts = replace(parts, m=product)
        observer.cut(whole, parts)
        cut = None if parts.b is None else copied(parts.b)
        pixels = pixel_scale_of(reference.settings) if profile.pixels else None
        portable, native = _forms(parts, profile, calibration, pixels, observer)
    except NoSelectionError as error:
        raise UserError(f"{reference.variant.name} cannot be cut in two: {error}") from error
    except RewriteRefusedError as error:
        raise UserError(f"{reference.variant.name} cannot be brought to the GPU: {error}") from error
    if native is None or not any(map(_is_native, native.parts.graphs.values())):
        return replace(portable, reports={"detector": tuple(before), **portable.reports}, cut=cut)
    reports = {"detector": tuple(before), **portable.reports, **native.reports}
    return replace(portable, reports=reports, cut=cut, native=replace(native, cut=cut))


def _is_native(part: Part) -> bool:
    return part.input_names == (PIXELS,) or bool(calls(part.graph_module, *CUSTOM_OPS))


def native_name(graph: str) -> str:
    """Returns the name of a graph's native form."""
    return f"{graph}{manifest.NATIVE_SUFFIX}"


def _forms(
    parts: Partition,
    profile: Profile,
    calibration: Sequence[Tensor],
    pixels: PixelScale | None,
    observer: CompilationObserver,
) -> tuple[CompiledDetector, CompiledDetector | None]:
    """Rewrites the graphs of a cut detector, in place, and copies of them to the native form.

    Graph A of two is lowered and measured once for both: only samplers, which follow the selection, are lowered in another
    way. That of the native form then takes the picture's pixels, if they are whole.
    """
    last = "graph_a" if parts.b is None else "graph_b"
    own_last = copied(parts.last) if profile.native_form else None
    graphs = {name: part.graph_module for name, part in parts.graphs.items()}
    lowered = _rewrite(graphs, pipeline.LOWER, profile, observer)
    if own_last is not None:
        lowered |= _rewrite({native_name(last): own_last.graph_module}, pipeline.LOWER, profile.native(), observer)
    for number, image in enumerate(calibration, start=1):
        observer.doing(f"measuring the ranges of its values on picture {number} of {len(calibration)}")
        _measure(parts, own_last, image)
    native = None
    if own_last is not None:
        own = replace(parts, a=own_last) if parts.b is None else replace(parts, a=copied(parts.a), b=own_last)
        own = own if parts.m is None else replace(own, m=copied(parts.m))
        if pixels is not None:
            take_pixels(own.a.graph_module, pixels)
            observer.took_pixels(native_name("graph_a"), own.a.graph_module)
            own = replace(own, a=replace(own.a, input_names=(PIXELS,)))
        lowered |= {native_name(graph): list(lowered[graph]) for graph in parts.graphs if graph != last}
        native = _finished(own, profile.native(), calibration, observer, {native_name(n): n for n in own.graphs}, lowered)
        native = replace(native, pixels=pixels)
    return _finished(parts, profile, calibration, observer, {name: name for name in parts.graphs}, lowered), native


def _finished(
    parts: Partition,
    profile: Profile,
    calibration: Sequence[Tensor],
    observer: CompilationObserver,
    names: Mapping[str, str],
    lowered: Mapping[str, list[StepReport]],
) -> CompiledDetector:
    """Runs the rewrites after the measurement.

    Args:
        parts: lowered and measured.
        profile: of the form.
        calibration: the pictures of the measurement.
        observer: called at each step.
        names: each graph's name in reports, with its name in the partition.
        lowered: the reports so far, by the name in reports.
    """
    graphs = {name: parts.graphs[graph].graph_module for name, graph in names.items()}
    ranges = {name: measured(graph) for name, graph in graphs.items()}
    finished = _rewrite(graphs, (*pipeline.PROTECT, *pipeline.LAY_OUT), profile, observer)
    reports = {name: (*lowered[name], *steps) for name, steps in finished.items()}
    return CompiledDetector(parts, reports, ranges, profile, tuple(calibration))


def copied(part: Part) -> Part:
    """Returns a part with a graph of its own and the same constants."""
    graph = fx.Graph()
    results = graph.graph_copy(part.graph_module.graph, {})
    graph.output(results)
    return replace(part, graph_module=graph_module_of(part.graph_module, graph))


def _rewrite(
    graphs: Mapping[str, fx.GraphModule], steps: Sequence[Step], profile: Profile, observer: CompilationObserver
) -> dict[str, list[StepReport]]:
    return {name: driver.run(steps, graph, profile, partial(observer.rewritten, name)) for name, graph in graphs.items()}


def _measure(parts: Partition, native_last: Part | None, image: Tensor) -> None:
    """Extends the ranges in the graphs by the values of one picture."""
    values: dict[str, Array] = {INPUT_NAMES[0]: image.numpy()}
    for part in parts.graphs.values():
        for form in (part, native_last) if part is parts.last and native_last is not None else (part,):
            outputs = measure(form.graph_module, [torch.from_numpy(values[name]) for name in part.input_names])
        values.update(_named(part, outputs))
        if part is parts.a:
            values.update(run_host(parts.host, values))
        if part is parts.last and parts.m is not None:
            values[KEPT] = kept_queries(parts.m, values)


def evaluate_parts(
    parts: Partition, image: Tensor, instead: Mapping[str, Array] | None = None, pixels: PixelScale | None = None
) -> dict[str, Array]:
    """Computes every stage's tensors by name, the input included: the graphs with PyTorch, the host step with NumPy.

    Args:
        parts: the detector.
        image: ``[1, 3, R, R]``, normalised.
        instead: outputs of graph A to use in place of its own; of one graph, its scores or the indices that it selects.
        pixels: of parts whose graph A takes pixels, how these become the image.
    """
    values: dict[str, Array] = {INPUT_NAMES[0]: image.numpy()}
    if pixels is not None:
        values[PIXELS] = pixels.pixels_of(image).numpy()
    if parts.b is None:
        values.update(run_one_graph(parts.a, values, instead or {}))
    else:
        values.update(run_part(parts.a, values))
        values.update(instead or {})
        values.update(run_host(parts.host, values))
        values.update(run_part(parts.b, values))
    if parts.m is not None:
        values[KEPT] = kept_queries(parts.m, values)
        values.update(run_part(parts.m, values))
    return values


def kept_queries(masks: Part, values: Mapping[str, Array]) -> Array:
    """Returns the queries of the best scores, as many as graph M takes, int32 ``[K]``: those that detections come from."""
    indices = next(node for node in masks.graph_module.graph.nodes if node.op == "placeholder" and node.target == KEPT)
    best = np.asarray(values[OUTPUT_NAMES[1]], np.float32)[0].max(axis=1)
    return np.argsort(-best, kind="stable")[: value_of(indices).shape[0]].astype(np.int32)


def run_host(host: HostPart, values: Mapping[str, Array]) -> dict[str, Array]:
    """Computes the host step's outputs by name, from graph A's."""
    return dict(HostStep(host.program, host_arrays(host))(values))


@torch.no_grad()
def run_part(part: Part, values: Mapping[str, Array]) -> dict[str, Array]:
    """Computes a part's outputs by name, with PyTorch."""
    outputs = part.graph_module(*(torch.from_numpy(values[name]) for name in part.input_names))
    return _named(part, outputs)


def _named(part: Part, outputs: Sequence[Tensor]) -> dict[str, Array]:
    return {name: output.contiguous().numpy() for name, output in zip(part.output_names, outputs, strict=True)}


def trace_part(part: Part, values: Mapping[str, Array]) -> dict[str, Array]:
    """Computes every intermediate value of a part by node name, for finding the first tensor that differs."""
    return trace(part.graph_module, *(torch.from_numpy(values[name]) for name in part.input_names))


@torch.no_grad()
def trace(graph_module: fx.GraphModule, *inputs: Tensor) -> dict[str, Array]:
    """Computes every intermediate value of a graph by node name."""
    recorder = _Recorder(graph_module)
    recorder.run(*inputs)
    return recorder.values


class _Recorder(fx.Interpreter):
    """Runs a graph and records the result of every op."""

    def __init__(self, graph_module: fx.GraphModule) -> None:
        super().__init__(graph_module)
        self.values: dict[str, Array] = {}

    def run_node(self, n: fx.Node) -> object:
        """Computes the node's value and records it if it is a tensor."""
        value = super().run_node(n)
        if n.op == "call_function" and isinstance(value, Tensor):
            self.values[n.name] = value.contiguous().numpy()
        return value


def tensor_specs(names: tuple[str, ...], values: Mapping[str, Array]) -> tuple[manifest.TensorSpec, ...]:
    """Returns names with the shapes and types of their values."""
    return tuple(manifest.TensorSpec(name, tuple(values[name].shape), str(values[name].dtype)) for name in names)


def host_arrays(host: HostPart) -> dict[str, Array]:
    """Returns a host step's constants by name."""
    return {name: value.contiguous().numpy() for name, value in host.constants.items()}
