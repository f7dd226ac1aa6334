"""Brings a detector's graphs to static int8: calibration, the sweep of each graph, and the files."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from detr2litert.convert.bundle import graph_file
from detr2litert.convert.compiler import CompiledDetector, evaluate_parts, tensor_specs
from detr2litert.convert.int8.blocks import STATIC_OPERATORS, Block, find_blocks
from detr2litert.convert.int8.pictures import CalibrationPictures
from detr2litert.convert.int8.ranges import RangeRecorder, Ranges, without_range
from detr2litert.convert.int8.static_range import store_static
from detr2litert.convert.int8.sweep import sweep
from detr2litert.convert.progress import Progress
from detr2litert.convert.selection_inside import selection_inside
from detr2litert.graphs.partition import Part
from detr2litert.host_runtime.compiled_graph import CompiledGraph
from detr2litert.host_runtime.manifest import GraphSpec, Preprocess, SettingRecord
from detr2litert.host_runtime.preprocess import preprocess
from detr2litert.host_runtime.quiet import native_log
from detr2litert.host_runtime.tflite.graph import read_graph
from detr2litert.verify.gates import Doing
from detr2litert.verify.parity.metrics import difference
from detr2litert.verify.parity.selection import SelectionInside
from detr2litert.verify.precision import calibration_records
from detr2litert.verify.report.static_int8 import Sweep

Arrays = Mapping[str, NDArray[Any]]

JUDGED = 4
"""Of the calibration pictures, on which files are compared with float32 in the sweep."""


@dataclass(frozen=True)
class Calibration:
    """What the calibration pictures show.

    Attributes:
        ranges: by graph.
        judged: every stage's tensors by name, for the pictures that the sweep uses.
    """

    ranges: Mapping[str, Ranges]
    judged: tuple[Arrays, ...]


def calibrate(
    files: Mapping[str, Path], compiled: CompiledDetector, pictures: CalibrationPictures, spec: Preprocess, doing: Doing
) -> Calibration:
    """Runs the pictures through the pre-processing and all stages, and records each graph's ranges on its real inputs.

    Args:
        files: the float32 files of the portable graphs, by name.
        compiled: computes every stage's tensors.
        pictures: to calibrate on.
        spec: the bundle's pre-processing.
        doing: called for each picture.

    Raises:
        UserError: a picture can no longer be read.
    """
    recorders = {name: RangeRecorder(file) for name, file in files.items()}
    judged, places = [], set(np.linspace(0, len(pictures) - 1, min(JUDGED, len(pictures))).round().astype(int).tolist())
    for number, picture in enumerate(pictures):
        doing(f"picture {number + 1} of {len(pictures)}")
        values = evaluate_parts(compiled.parts, torch.from_numpy(preprocess(picture, spec)))
        for recorder in recorders.values():
            recorder.record(values)
        if number in places:
            judged.append(values)
    return Calibration({name: recorder.ranges for name, recorder in recorders.items()}, tuple(judged))


def store_static_graphs(
    folder: Path,
    float32: Mapping[str, Path],
    compiled: CompiledDetector,
    pictures: CalibrationPictures,
    spec: Preprocess,
    progress: Progress,
) -> tuple[tuple[Sweep, ...], dict[str, SettingRecord]]:
    """Replaces the portable graphs of a bundle by static ones, where that loses little.

    Those of the native form keep their float activations: only the GPU delegate runs them, which computes static int8 in floats
    as well, so that it would lose and gain nothing (``docs/proof.md``).

    Args:
        folder: of the bundle, with all graphs.
        float32: the float32 file of each graph.
        compiled: the detector.
        pictures: to calibrate on.
        spec: the bundle's pre-processing.
        progress: shows a stage for the calibration and one for each graph.

    Returns:
        What was measured and chosen, by graph, and the settings for the manifest.
    """
    files = {name: float32[name] for name in compiled.parts.graphs}
    with progress.stage("calibrate") as stage, native_log():
        calibration = calibrate(files, compiled, pictures, spec, stage.doing)
        recorded = sum(len(ranges) for ranges in calibration.ranges.values())
        stage.detail = f"ranges of {recorded} tensors on {pictures.describe()}"
    sweeps = []
    for name, source in files.items():
        with progress.stage(f"static int8 {name}") as stage, native_log():
            target, part = folder / graph_file(name), compiled.parts.graphs[name]
            found = static_graph(name, source, target, part, calibration, stage.doing, selection_inside(compiled))
            stage.detail = found.describe()
        sweeps.append(found)
    floats = [f"{found.graph} {name}" for found in sweeps for name in found.floats]
    return tuple(sweeps), calibration_records(len(pictures), pictures.sha256, recipe(sweeps), floats)


def static_graph(
    graph: str,
    source: Path,
    target: Path,
    part: Part,
    calibration: Calibration,
    doing: Doing,
    selection: SelectionInside | None = None,
) -> Sweep:
    """Writes a graph in static int8, but for the blocks that lose too much.

    Args:
        graph: its name.
        source: its float32 file.
        target: the file to write; until it is chosen, other files lie there.
        part: what it was converted from.
        calibration: the ranges and the pictures to judge on.
        doing: called with a description of each measurement.
        selection: of a graph that selects its queries inside; None for another.
    """
    ranges, blocks, tensors = calibration.ranges[graph], find_blocks(source), _activations(source)

    def store(chosen: Sequence[Block], place: Path, others: bool = True) -> None:
        store_static(source, place, ranges, [name for block in chosen for name in block.operators], others=others)

    def measure(chosen: Sequence[Block], others: bool) -> float:
        if without_range(ranges, (tensor for block in chosen for name in block.operators for tensor in tensors[name])):
            return math.nan
        store(chosen, target, others)
        return agreement(target, part, calibration.judged, selection)

    result = sweep(graph, blocks, measure, doing=doing)
    names = {block.name for block in result.blocks if block.static}
    store([block for block in blocks if block.name in names], target)
    return result


def agreement(file: Path, part: Part, judged: Sequence[Arrays], selection: SelectionInside | None = None) -> float:
    """Returns the lowest agreement of a file's outputs, on LiteRT's CPU, with those of a part; NaN if one is not finite.

    The agreement is the correlation, or less: where the relative error e is larger than a correlation of r allows,
    ``sqrt(1 - e²)``. So it meets a limit exactly if ``Difference.within`` is true of it.

    Args:
        file: a form of the part.
        part: for the names of inputs and outputs.
        judged: tensors by name, the part's inputs and outputs among them.
        selection: of a graph that selects its queries inside; None for another.
    """
    spec = GraphSpec(file.name, tensor_specs(part.input_names, judged[0]), tensor_specs(part.output_names, judged[0]))
    compiled, lowest = CompiledGraph(file, spec, threads=2), 1.0
    for values in judged:
        given = {name: values[name] for name in part.input_names}
        compiled.run(given)
        produced: Arrays = compiled.read()
        reference: Arrays = {name: values[name] for name in part.output_names}
        if selection is not None:
            produced, reference = selection.aligned(given, produced, reference)
        for name in part.output_names:
            found = difference(produced[name], reference[name])
            by_error = math.sqrt(max(0.0, 1.0 - found.relative_error**2))
            lowest = min(lowest, found.correlation, by_error, key=lambda value: -math.inf if math.isnan(value) else value)
    return lowest


def recipe(sweeps: Sequence[Sweep]) -> str:
    """Describes which operators are static, for the manifest."""
    static = sum(block.operators for found in sweeps for block in found.blocks if block.static)
    total = sum(block.operators for found in sweeps for block in found.blocks)
    return f"{', '.join(STATIC_OPERATORS)} in static int8 ({static} of {total}), other weights int8 in dynamic range"


def _activations(file: Path) -> dict[str, tuple[str, str]]:
    """Returns what each operator reads and writes, by the name of its output."""
    graph = read_graph(file)
    return {
        graph.tensors[op.outputs[0]].name: (graph.tensors[op.inputs[0]].name, graph.tensors[op.outputs[0]].name)
        for op in graph.ops
        if op.name in STATIC_OPERATORS
    }
