"""The gate on the compiler itself: in PyTorch, the cut and rewritten detector computes the same as the original.

The other gates compare the files with the rewritten graphs, and detections with the original; a wrong rewrite that finds the
same objects in these pictures, or a detector with random weights that finds none, would pass them. Where the outputs differ,
the compilation is repeated and compared after every step, and the first step that changed a value is named.

The order of equal scores in PyTorch's top-k is undefined, which only permutes the queries: outputs that agree query by query in
another order count as equal. Scores that rounding reorders matter more where a query is learned for its rank: the queries then
swap places. So where the outputs differ, they are compared once more with the proposals in the order of the original's scores,
which must agree with the rewritten detector's. The summary reports how many moved.

Rare inputs (``convert.proof.rare``) are compared in the same way, saturated ones on graph B alone: with the graph as it was
cut.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx

from detr2litert.convert.compiler import (
    INPUT_NAMES,
    KEYPOINTS,
    OUTPUT_NAMES,
    CompilationObserver,
    CompiledDetector,
    compile_detector,
    evaluate_parts,
    host_arrays,
    run_part,
    trace,
)
from detr2litert.convert.models.reference import Reference
from detr2litert.convert.models.settings.picture import pixel_scale_of
from detr2litert.convert.proof.compared_outputs import LIMIT, agree, differences, in_order, mask_differences, of_queries
from detr2litert.convert.proof.rare import Rare, few_threads, rare_inputs, saturated
from detr2litert.convert.proof.recorded_selection import RecordedSelection
from detr2litert.graphs.mask_product import MASKS
from detr2litert.graphs.partition import Partition
from detr2litert.graphs.pixel_input import PIXELS
from detr2litert.graphs.toolbox import aten, calls
from detr2litert.host_runtime.host_step import HostStep
from detr2litert.host_runtime.manifest import NATIVE_SUFFIX
from detr2litert.rewrites.driver import StepReport
from detr2litert.verify.gates import Finding, GateResult, Measurement, Verdict
from detr2litert.verify.parity.figures import figures
from detr2litert.verify.parity.metrics import Difference

Array = NDArray[np.generic]
Arrays = Mapping[str, Array]

GATE = "rewrites"
_NOISES = 8
_SITES_SHOWN = 3
_PIXELS = "compare the detector's scale, mean and std with what graphs/pixel_input.py makes of them, and run its tests"
_HOST = "compare the op with its row in host_runtime/host_kernels.py, and run the tests of graphs/"


@dataclass(frozen=True)
class WrongStep:
    """The first step of a compilation after which a value differs.

    Attributes:
        place: the step, ``"rewrite fold_sampling of graph_b"``.
        detail: where it fired, or what is wrong after it.
        advice: what to do.
    """

    place: str
    detail: str
    advice: str


def check_rewrites(reference: Reference, compiled: CompiledDetector, values: Arrays) -> GateResult:
    """Compares the compiled detector's outputs with the original's, for the first picture, noise and rare inputs.

    Noise covers cases that a picture may not: boxes across the border, and classes that are not in it.

    Args:
        reference: the original.
        compiled: the detector in parts.
        values: every stage's tensors as ``compiled`` computes them for the first picture, the picture included.
    """
    start = time.perf_counter()
    compared = list(_compared(reference, compiled, values))
    if not compared:
        summary = f"of a picture and {_NOISES} noises, none has a last selected score clearly above the next"
        return GateResult(GATE, Verdict.NOT_RUN, summary, "give another first picture with --image")
    rare = list(_compared_rare(reference, compiled, values))
    alone, compared = len({item.rare.name for item in compared}) == 1, compared + rare
    diverging = next((item for item in compared if not item.agrees), None)
    wrong = None if diverging is None else locate(reference, compiled, diverging.rare)
    largest = max(found.max_abs_error for item in compared for found in item.differences.values())
    moved = sum(item.moved for item in compared)
    summary = f"cut and rewritten, PyTorch computes the original's outputs to {largest:.1e}"
    if alone:
        summary = f"{summary}, on the {compared[0].name} alone"
    if moved:
        summary = f"{summary}, {moved} queries of equal or nearly equal score in another order"
    if wrong is not None and diverging is not None:
        name, worst = next((name, item) for name, item in diverging.differences.items() if not item.within(LIMIT))
        summary = f"{name} differs from the original's (correlation {worst.correlation:.6f}); first wrong: {wrong.place}"
        summary = summary if diverging.name == compared[0].name else f"{diverging.name}: {summary}"
    return GateResult(
        GATE,
        Verdict.PASSED if wrong is None else Verdict.FAILED,
        summary,
        "" if wrong is None else f"{wrong.place}: {wrong.advice}",
        tuple(measurement for item in compared for measurement in item.measurements()),
        () if wrong is None else (Finding("wrong-step", "wrong", wrong.place, wrong.detail, wrong.advice),),
        seconds=time.perf_counter() - start,
        data={"queries_moved": moved, "rare": [item.name for item in rare if not item.native]},
    )


@dataclass(frozen=True)
class _Compared:
    """The outputs for one input: their differences from the original's, and how many queries were at another position."""

    rare: Rare
    differences: Mapping[str, Difference]
    moved: int
    native: bool = False

    @property
    def name(self) -> str:
        return f"{self.rare.name}, native form" if self.native else self.rare.name

    @property
    def agrees(self) -> bool:
        return agree(self.differences)

    def measurements(self) -> Iterator[Measurement]:
        for output, found in self.differences.items():
            subject = f"detector / {output}: rewritten vs original ({self.name})"
            yield from figures(subject, found, LIMIT)


def _compared(reference: Reference, compiled: CompiledDetector, values: Arrays) -> Iterator[_Compared]:
    """Compares the first picture and the first noise among those whose selection is clear."""
    picture = torch.from_numpy(np.asarray(values[INPUT_NAMES[0]], np.float32))
    expected, selection = _original(reference, picture)
    if selection.clear:
        yield from _compare_forms(compiled, Rare("first picture", picture), values, expected, selection)
    for seed in range(_NOISES):
        noise = compiled.shown(reference.example_input(seed))
        expected, selection = _original(reference, noise)
        if selection.clear:
            rare = Rare(f"noise {seed}", noise)
            yield from _compare_forms(compiled, rare, compiled.evaluate(noise), expected, selection)
            return


def _compare_forms(
    compiled: CompiledDetector, rare: Rare, values: Arrays, expected: Arrays, selection: RecordedSelection
) -> Iterator[_Compared]:
    """Compares the portable form, of which the values are known, and the native one if there is one."""
    yield _compare(compiled, rare, values, expected, selection)
    if compiled.native is not None:
        found = _compare(compiled.native, rare, compiled.native.evaluate(rare.image), expected, selection)
        yield replace(found, native=True)


def _compared_rare(reference: Reference, compiled: CompiledDetector, values: Arrays) -> Iterator[_Compared]:
    """Compares the rare inputs; not one for which the selection is unclear or the original has no finite outputs."""
    with few_threads(reference):
        yield from _each_rare(reference, compiled, values)


def _each_rare(reference: Reference, compiled: CompiledDetector, values: Arrays) -> Iterator[_Compared]:
    for rare in rare_inputs(reference, torch.from_numpy(np.asarray(values[INPUT_NAMES[0]], np.float32))):
        if rare.saturated:
            yield from _compare_saturated(compiled, rare, values)
            if compiled.native is not None:
                yield from (replace(found, native=True) for found in _compare_saturated(compiled.native, rare, values))
            continue
        with rare.condition():
            expected, selection = _original(reference, rare.image, rare.scores)
            if not all(np.isfinite(value).all() for value in expected.values()):
                continue
            if rare.scores is None and selection.clear:
                yield from _compare_forms(compiled, rare, compiled.evaluate(rare.image), expected, selection)
            elif rare.scores is not None and selection.scores is not None:
                found = compiled.reorder(rare.image, dict.fromkeys(compiled.ranked, selection.scores))
                found, moved = in_order(of_queries(found), of_queries(expected))
                yield _Compared(rare, differences(found, of_queries(expected)), moved)


def _compare_saturated(compiled: CompiledDetector, rare: Rare, values: Arrays) -> Iterator[_Compared]:
    """Compares graph B, if there is one, with itself before it was rewritten."""
    if compiled.cut is None or compiled.parts.b is None:
        return
    inputs = saturated({name: values[name] for name in compiled.parts.b.input_names}, compiled.parts.a.output_names)
    expected = run_part(compiled.cut, inputs)
    if all(np.isfinite(value).all() for value in expected.values()):
        yield _Compared(rare, differences(run_part(compiled.parts.b, inputs), expected), 0)


def _compare(
    compiled: CompiledDetector, rare: Rare, values: Arrays, expected: Arrays, selection: RecordedSelection
) -> _Compared:
    queries = of_queries(expected)
    found, moved = in_order(of_queries(values), queries)
    plain = _Compared(rare, {**differences(found, queries), **mask_differences(values, expected)}, moved)
    ranked = {ranked: selection.scores for ranked in compiled.ranked if selection.scores is not None}
    alike = all(values[key].shape == scores.shape for key, scores in ranked.items())
    if plain.agrees or not ranked or not alike or not agree(differences(values, ranked)):
        return plain
    again = compiled.reorder(rare.image, ranked)
    found, moved = in_order(of_queries(again), queries)
    moved += sum(_places_moved(values[key], scores, selection.queries) for key, scores in ranked.items())
    reordered = _Compared(rare, {**differences(found, queries), **mask_differences(again, expected)}, moved)
    return reordered if reordered.agrees else plain


def _places_moved(found: Array, expected: Array, count: int) -> int:
    """Counts the best positions that are held by another proposal."""
    ours, theirs = (
        np.argsort(-np.asarray(scores, np.float64).reshape(-1), kind="stable")[:count] for scores in (found, expected)
    )
    return int((ours != theirs).sum())


def _original(
    reference: Reference, image: Tensor, change: Callable[[Tensor], Tensor] | None = None
) -> tuple[dict[str, Array], RecordedSelection]:
    """Computes the original's outputs and records its selection, by changed scores if ``change`` is given."""
    with RecordedSelection(reference.num_queries, change) as selection:
        outputs = _reference_outputs(reference, image)
    return outputs, selection


def locate(reference: Reference, compiled: CompiledDetector, rare: Rare) -> WrongStep:
    """Compiles again, with the same options and pictures, and names the first step after which a value differs."""
    try:
        compile_detector(reference, compiled.profile, compiled.calibration, _Comparison(reference, rare))
    except _FoundError as found:
        return found.step
    if rare.scores is not None:
        return WrongStep("host step op topk", f"right on distinct scores and wrong on {rare.name}", _HOST)
    if reference.masks:
        return WrongStep(
            "the cut of the masks", "every step but this one agrees", "run the tests of graphs/mask_product.py on these shapes"
        )
    return WrongStep(
        "the compilation", "in a second compilation every step agrees: it is not deterministic", "report this with its bundle"
    )


class _FoundError(Exception):
    def __init__(self, step: WrongStep) -> None:
        super().__init__(step.place)
        self.step = step


class _Comparison(CompilationObserver):
    """Raises at the first step whose result differs."""

    def __init__(self, reference: Reference, rare: Rare) -> None:
        self._rare, self._image = rare, rare.image
        scale = pixel_scale_of(reference.settings)
        self._pixels = None if scale is None else scale.pixels_of(rare.image)
        with rare.condition():
            self._expected = of_queries(_reference_outputs(reference, rare.image))
        self._inputs: dict[str, tuple[Tensor, ...]] = {}
        self._outputs: dict[str, dict[str, Array]] = {}

    def exported(self, whole: fx.GraphModule) -> None:
        message = "torch.export traced something else than the module computes"
        self._check(whole, "the export", message, "look for data-dependent Python in the model")

    def rewritten(self, where: str, step: StepReport, graph_module: fx.GraphModule) -> None:
        sites = "; ".join(f"{site.node} of {site.module or '(root)'}: {site.detail}" for site in step.fired[:_SITES_SHOWN])
        more = f" and {len(step.fired) - _SITES_SHOWN} more" if len(step.fired) > _SITES_SHOWN else ""
        place, detail = f"rewrite {step.name} of {where}", f"it fired at {sites}{more}" if sites else "it fired nowhere"
        advice = f"run the tests of rewrites/{step.name}.py on that module's shapes"
        if where == "detector":
            self._check(graph_module, place, detail, advice)
        else:
            with self._rare.condition():
                part = where.removesuffix(NATIVE_SUFFIX)
                found = _outputs(graph_module, self._inputs_of(graph_module, part))
            _raise_unless(differences(found, self._outputs[part]), place, detail, advice)

    def took_pixels(self, where: str, graph_module: fx.GraphModule) -> None:
        part = where.removesuffix(NATIVE_SUFFIX)
        with self._rare.condition():
            found = _outputs(graph_module, self._inputs_of(graph_module, part))
        message = f"{where} differs once it takes pixels instead of the image"
        _raise_unless(differences(found, self._outputs[part]), "the input of pixels", message, _PIXELS)

    def _inputs_of(self, graph_module: fx.GraphModule, part: str) -> tuple[Tensor, ...]:
        """Returns a part's inputs, the image as pixels where a graph takes those."""
        names = [str(node.target) for node in graph_module.graph.nodes if node.op == "placeholder"]
        return (self._pixels,) if names == [PIXELS] and self._pixels is not None else self._inputs[part]

    def cut(self, whole: fx.GraphModule, parts: Partition) -> None:
        with self._rare.condition():
            self._cut(whole, parts)

    def _cut(self, whole: fx.GraphModule, parts: Partition) -> None:
        nodes = trace(whole, self._image)
        a = run_part(parts.a, {INPUT_NAMES[0]: self._image.numpy()})
        host = {**a, **HostStep(parts.host.program, host_arrays(parts.host)).trace(a)}
        order: Array | None = None
        for op in parts.host.program.ops:
            wanted = nodes.get(parts.host.sources.get(op.output, ""))
            if op.op == "topk":
                (scores,), indices = (host[name] for name in op.inputs), host[op.output]
                axis = int(op.attributes["axis"])
                best = torch.from_numpy(scores).topk(int(op.attributes["k"]), axis).values.numpy()
                found = {op.output: np.take_along_axis(scores, indices.astype(np.int64), axis)}
                _raise_unless(differences(found, {op.output: best}), "host step op topk", "its scores are not the best", _HOST)
                order = _order(whole, nodes, indices.reshape(-1))
            elif wanted is not None and order is not None:
                selected = wanted.ndim > 1 and wanted.shape[1] == len(order)
                found = {op.output: host[op.output]}
                detail = f"its output {op.output}"
                reference = {op.output: wanted[:, order] if selected else wanted}
                _raise_unless(differences(found, reference), f"host step op {op.op}", detail, _HOST)
        values = evaluate_parts(parts, self._image)
        outputs, _ = in_order({name: values[name] for name in self._expected}, self._expected)
        message = "right before it and wrong after it"
        _raise_unless(differences(outputs, self._expected), "the cut", message, "run the tests of graphs/")
        for where, part in parts.graphs.items():
            inputs: Arrays = {name: np.asarray(values[name]) for name in part.input_names}
            if self._rare.saturated and part is parts.b:
                inputs = saturated(inputs, parts.a.output_names)
            self._inputs[where] = tuple(torch.from_numpy(inputs[name]) for name in part.input_names)
            self._outputs[where] = _outputs(part.graph_module, self._inputs[where])

    def _check(self, graph_module: fx.GraphModule, place: str, detail: str, advice: str) -> None:
        with self._rare.condition():
            outputs = _outputs(graph_module, (self._image,)).values()
        # Not the masks of a detector of instances, which come from a graph of their own after the cut.
        found, _ = in_order(dict(zip(self._expected, outputs, strict=False)), self._expected)
        _raise_unless(differences(found, self._expected), place, detail, advice)


def _order(whole: fx.GraphModule, nodes: Arrays, indices: Array) -> Array | None:
    """Returns the position in PyTorch's selection of each token that the host step selects; None if the sets differ."""
    for node in calls(whole, aten.topk.default):
        for user in node.users:
            chosen = nodes.get(user.name)
            if user.args[1] == 1 and chosen is not None and chosen.size == indices.size:
                places = {int(token): place for place, token in enumerate(chosen.reshape(-1))}
                if set(places) == set(map(int, indices)):
                    return np.array([places[int(token)] for token in indices])
    return None


def _raise_unless(differences: Mapping[str, Difference], place: str, detail: str, advice: str) -> None:
    if not agree(differences):
        worst = ", ".join(f"{n} correlation {d.correlation:.6f}" for n, d in differences.items() if not d.within(LIMIT))
        raise _FoundError(WrongStep(place, f"{detail}; {worst}", advice))


@torch.no_grad()
def _outputs(graph_module: fx.GraphModule, inputs: tuple[Tensor, ...]) -> dict[str, Array]:
    """Computes a graph's outputs by their number.

    Interpreted: a graph that runs once takes less time than its Python code takes to write and compile.
    """
    return {str(number): value.numpy() for number, value in enumerate(fx.Interpreter(graph_module).run(*inputs))}


@torch.no_grad()
def _reference_outputs(reference: Reference, image: Tensor) -> dict[str, Array]:
    third = (MASKS,) if reference.masks else (KEYPOINTS,) if reference.keypoints_per_class else ()
    return {name: value.numpy() for name, value in zip((*OUTPUT_NAMES, *third), reference.exported(image), strict=True)}
