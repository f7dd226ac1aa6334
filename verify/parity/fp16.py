"""The fp16 gate: the graphs are accurate enough when the delegate itself computes them in fp16.

Phones compute in fp16 whatever the file says. Here every graph runs on the delegate at its default precision, on an adapter
that has fp16, and every output is compared with PyTorch's on identical inputs. Then the detections of the whole chain (graph
A in fp16, the host step in fp32, graph B in fp16, graph M in fp16 where there are masks) are compared with PyTorch's as sets.

A graph that differs runs once more with fp32 enforced, which shows whether fp16 is the cause. If it is, the first tensor that
diverges in fp16 is named, with its operator, module and rewrites, and whether it is an overflow, precision lost in one step, or
a slow drift. A software driver compiles a shader for every operator and precision on one core, minutes of work the first time;
so a graph that agrees is not run in fp32, and both graphs' shaders are compiled concurrently.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import zip_longest
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detr2litert.host_runtime.decode import Detections
from detr2litert.host_runtime.scratch import scratch_folder
from detr2litert.verify.delegate.adapters import Driver
from detr2litert.verify.delegate.driver import NO_FP16, NoGpu
from detr2litert.verify.delegate.run import DelegateRun, Job, Running, run_models, side_by_side, start_models
from detr2litert.verify.gates import Doing, Finding, GateResult, Measurement, Verdict, unheard
from detr2litert.verify.parity.detections import EXTRA, DetectionCase, DetectionLimits, check_detections, compare_detections
from detr2litert.verify.parity.figures import describe, figures
from detr2litert.verify.parity.fp16_places import Fault, Kind, locate_fp16
from detr2litert.verify.parity.locate import LocateError
from detr2litert.verify.parity.mask_step import MaskStep, add_masks
from detr2litert.verify.parity.metrics import Difference, residual
from detr2litert.verify.parity.numerics import GraphCase

Arrays = Mapping[str, NDArray[Any]]

GATE = "fp16"
_ADVICE = {
    Kind.OVERFLOW: "convert for a target whose norms are written fp16-safe (`convert targets`), or scale the values before it",
    Kind.PRECISION: "rewrite this step so that large values do not cancel and no constant is below fp16's resolution",
    Kind.COMPOUNDING: "no single step is at fault: the graph is too deep or too ill-conditioned for fp16 within this limit",
}
_SEE = "the report's pictures show fp32 on the CPU; judge it on more pictures with --image"
_MOVED = "the graphs are within limits, so fp16 moves this detection by itself: judge it on more pictures with --image"
_FIRST_TIME = "; its shaders are compiled the first time, half a minute or more"
_NOT_FP16 = "the same graph differs in fp32 on this adapter as well, so fp16 is not the cause: see the numerics gate"


@dataclass(frozen=True)
class Fp16Limits:
    """Bounds.

    Attributes:
        graph: lowest correlation of an output; also a limit of sqrt(1 - r²) on its relative error (see ``metrics``), 6.3 %.
            Measured on lavapipe against PyTorch: tiny 0.99997 (relative error 0.8 %), dfine-tiny 0.99994 (1.1 %); with random
            weights nano 0.99933 (3.7 %), dfine-s 0.99918 (4.0 %): sixty convolutions, each of up to 2304 terms added in fp16.
            A norm that overflows leaves no correlation.
        iou: lowest IoU of a confident detection with its partner.
        score, outlier: largest difference of their scores, of one pair alone and of a pair among many; the root mean square is
            bounded as well (see ``detections``). Measured on lavapipe in 40 pictures, 133 to 156 pairs of each demo detector: a
            root mean square of 0.0027 to 0.0051 and a largest difference of 0.013 to 0.041; half of the pairs are within 0.001.
        corner: largest displacement of a side of their boxes, in pixels of the input, at which they fit whatever their IoU;
            None to go by the IoU alone. The error grows with the input, since coordinates are fractions of it. Measured on
            lavapipe: at 160 × 160 up to 0.17 for tiny (130 boxes) and 0.09 for smaller objects, all of IoU 0.99 and more; at
            640 × 640 (dfine-tiny trained on, 191 boxes) half are within 0.13, the largest is 0.47. There the IoU of 17 boxes
            of 19 to 40 pixels is 0.964 to 0.98, whose sides moved by 0.17 to 0.43. Half a pixel, planted into the same boxes,
            is still found in every picture in which the IoU alone finds it, save for one side alone in 1 of 26.
        mask_iou: lowest IoU of their masks.
        keypoint: largest distance of their keypoints, as a share of the box's diagonal. Measured on lavapipe: 0.35 % for
            tiny-keypoints, on boxes of 20 pixels of the input and more.
        max_taps: tensors to measure in the search for the first one that differs, per graph.
    """

    graph: float = 0.998
    iou: float = 0.98
    corner: float | None = 0.45
    score: float = 0.02
    outlier: float | None = 0.05
    mask_iou: float = 0.95
    keypoint: float = 0.02
    max_taps: int = 32

    def detections(self, threshold: float) -> DetectionLimits:
        """Converts them to the limits of the detections gate."""
        limits = DetectionLimits(threshold, self.iou, self.score, self.mask_iou, self.keypoint)
        return replace(limits, corner=self.corner, outlier=self.outlier)


@dataclass(frozen=True)
class ChainScene:
    """A picture for the whole chain.

    Attributes:
        name: of the picture.
        inputs: graph A's, of either form.
        reference: PyTorch's detections, decoded down to the limits' floor.
        decode: the last graph's outputs, joined with the masks', to detections, decoded alike; raises ValueError on NaN.
        reorder: graph A's outputs to what PyTorch detects with its proposals in the order of those scores.
        scale: pixels of the input to one of the picture, in x and y.
    """

    name: str
    inputs: Arrays
    reference: Detections
    decode: Callable[[Arrays], Detections]
    reorder: Callable[[Arrays], Detections]
    scale: tuple[float, float] = (1.0, 1.0)


@dataclass(frozen=True)
class Chain:
    """The host step and the pictures that make a detector of two graphs, or of one, and of a third one for masks.

    Attributes:
        host_step: graph A's outputs to the other inputs of graph B, in fp32; not used where there is one graph.
        scenes: pictures. Those in which the reference finds nothing above the threshold are not run.
        limits: of their detections.
        masks: how the graph of the masks is called; None for a detector without masks.
    """

    host_step: Callable[[Arrays], Arrays]
    scenes: tuple[ChainScene, ...]
    limits: DetectionLimits
    masks: MaskStep | None = None

    @property
    def compared_scenes(self) -> tuple[ChainScene, ...]:
        """The pictures that are run: none with random weights, since each takes seconds or minutes on a software GPU."""
        return tuple(s for s in self.scenes if any(found.score > self.limits.threshold for found in s.reference))


@dataclass(frozen=True)
class _Judged:
    """One graph's outputs compared with PyTorch's, or why there are none.

    Attributes:
        case: the graph.
        found: in fp16, by output.
        exact: with fp32 enforced on the same adapter; empty where fp16 is within limits.
        broken: why there is no figure.
    """

    case: GraphCase
    found: Mapping[str, Difference] = field(default_factory=dict)
    exact: Mapping[str, Difference] = field(default_factory=dict)
    broken: str = ""

    def failing(self, limit: float) -> tuple[str, ...]:
        return tuple(name for name, found in self.found.items() if not found.within(limit))

    def failing_in_fp32(self, limit: float) -> dict[str, Difference]:
        return {name: found for name, found in self.exact.items() if not found.within(limit)}

    def as_dict(self) -> dict[str, Any]:
        """Returns plain data for JSON."""
        outputs, in_fp32 = ({name: one.as_dict() for name, one in side.items()} for side in (self.found, self.exact))
        return {"graph": self.case.name, "broken": self.broken, "outputs": outputs, "in_fp32": in_fp32}


def check_fp16(
    cases: Sequence[GraphCase],
    chain: Chain | None = None,
    *,
    gpu: Driver | NoGpu = NO_FP16,
    limits: Fp16Limits | None = None,
    timeout: float = 900.0,
    doing: Doing = unheard,
) -> GateResult:
    """Runs graphs in fp16, and all of them as one detector, and locates the first difference.

    Args:
        cases: the graphs in the order of execution, each judged on its first input set by itself.
        chain: how they make a detector: A and B, or one, and the masks' last; None to judge no detections.
        gpu: how to reach an adapter that computes in fp16 (``driver.find_fp16_driver()``), or why there is none.
        limits: bounds [default: the project's].
        timeout: seconds for each run of a graph.
        doing: called with a description of each computation.

    Returns:
        FAILED if an output misses its limit or a detection is missing or extra; NOT_RUN if there is no such adapter; else
        PASSED, also where the reference detects nothing and only the outputs could be judged, which the summary reports.
    """
    start = time.perf_counter()
    if isinstance(gpu, NoGpu):
        return GateResult(GATE, Verdict.NOT_RUN, f"{gpu.reason}: nothing was computed in fp16", gpu.advice)
    limits = limits or Fp16Limits()
    names = " and ".join(case.name for case in cases)
    software = not any(adapter.hardware for adapter in gpu.adapters)
    doing(f"{names} in fp16 on {gpu.source}{_FIRST_TIME if software else ''}")
    ran = _run_all(cases, chain, gpu, timeout)
    judged = _judge_all(cases, ran, gpu, limits, timeout)
    findings: list[Finding] = []
    places: list[dict[str, Any]] = []
    for one in judged:
        if one.broken or one.failing(limits.graph):
            doing(f"{one.case.name}: finding the first tensor that diverges in fp16")
            fault, finding = _explain(one, gpu, limits, timeout)
            findings.append(finding)
            places += [] if fault is None else [_located(one, fault)]
    broken = any(one.broken for one in judged)
    detections = None if chain is None or broken else _detections(chain, ran)
    lost = () if detections is None else tuple(replace(finding, advice=_SEE) for finding in detections.findings)
    adapter = next((run.adapter for run in ran.alone if run.adapter), "")
    return GateResult(
        gate=GATE,
        verdict=Verdict.FAILED if findings or lost else Verdict.PASSED,
        summary=_summary(judged, detections, limits, adapter),
        advice=_advice(findings, lost),
        measurements=tuple(m for one in judged for m in _measurements(one, limits))
        + (() if detections is None else detections.measurements),
        findings=(*findings, *lost),
        seconds=time.perf_counter() - start,
        data={
            "limits": asdict(limits),
            "comparisons": [one.as_dict() for one in judged],
            "located": places,
            "detections": {} if detections is None else {"verdict": str(detections.verdict), **detections.data},
            "gpu": {case.name: {"run_seconds": list(run.run_seconds)} for case, run in zip(cases, ran.alone, strict=True)},
            "adapter": adapter,
        },
    )


def _advice(findings: Sequence[Finding], lost: Sequence[Finding]) -> str:
    if findings:
        return f"{findings[0].place}: {findings[0].advice}"
    return f"{lost[0].place}: {lost[0].message}; {_MOVED}" if lost else ""


def _located(one: _Judged, fault: Fault) -> dict[str, Any]:
    """Returns the record of a fault's place for the report."""
    return {
        "graph": one.case.name,
        "kind": str(fault.kind),
        "summary": fault.summary,
        "drift": fault.drift,
        "place": fault.place.place,
        **asdict(fault.place),
    }


@dataclass(frozen=True)
class _Ran:
    """The outputs that the delegate computed in fp16.

    Attributes:
        alone: each graph on its own input set; graph A on the pictures as well.
        behind: of the graphs after A, by position, their run on the pictures; none where they did not run.
        misfit: why the host step could not be run on graph A's outputs.
        last: the outputs to decode for each picture; none where the chain did not run to its end.
    """

    alone: tuple[DelegateRun, ...]
    behind: Mapping[int, DelegateRun] = field(default_factory=dict)
    misfit: str = ""
    last: tuple[Arrays, ...] = ()


def _run_all(cases: Sequence[GraphCase], chain: Chain | None, driver: Driver, timeout: float) -> _Ran:
    """Runs every graph in fp16; with a chain, those after graph A also on the results of the one before for the pictures."""
    taken = cases[0].inputs[0]
    pictures = () if chain is None else tuple({name: s.inputs[name] for name in taken} for s in chain.compared_scenes)
    sets = [(*case.inputs[:1], *(pictures if index == 0 else ())) for index, case in enumerate(cases)]
    started = (_start(case, given, driver, timeout) for case, given in zip(cases, sets, strict=True))
    alone = tuple(runs[0] for runs in side_by_side(*started))
    if chain is None or not pictures or not all(run.ok for run in alone):
        return _Ran(alone)
    last: tuple[Arrays, ...] = alone[0].outputs[1:]
    behind: dict[int, DelegateRun] = {}
    if len(cases) > (1 if chain.masks is None else 2):
        wanted = {name: value.dtype for name, value in cases[1].inputs[0].items()}
        try:
            made = [{**one, **chain.host_step(one)} for one in last]
        except ValueError as error:
            return _Ran(alone, misfit=f"no input for it: the host step cannot read graph A's outputs ({error})")
        given = tuple({name: np.asarray(one[name], dtype) for name, dtype in wanted.items()} for one in made)
        behind[1] = side_by_side(_start(cases[1], given, driver, timeout))[0][0]
        if not behind[1].ok:
            return _Ran(alone, behind)
        last = behind[1].outputs
    if chain.masks is not None:
        place = len(cases) - 1
        last, behind[place] = add_masks(
            chain.masks, last, lambda given: side_by_side(_start(cases[place], given, driver, timeout))[0][0]
        )
    return _Ran(alone, behind, last=last)


def _start(case: GraphCase, sets: tuple[Arrays, ...], driver: Driver, timeout: float) -> Running:
    """Starts one graph in fp16 on input sets, each with the full time limit."""
    return start_models([Job(case.shipped, sets)], driver=driver, timeout=timeout * max(len(sets), 1))


def _judge_all(cases: Sequence[GraphCase], ran: _Ran, driver: Driver, limits: Fp16Limits, timeout: float) -> list[_Judged]:
    """Compares every graph's outputs with PyTorch's; a graph that differs is also run in fp32."""
    judged = []
    for index, (case, run) in enumerate(zip(cases, ran.alone, strict=True)):
        found, broken = _compare(case, run, "fp16", limits)
        behind = ran.behind.get(index)
        if not broken and index == 1:
            broken = ran.misfit
        if not broken and behind is not None and not behind.ok:
            broken = _failure(behind, "fp16")
        one = _Judged(case, found, broken=broken)
        if one.failing(limits.graph) and not broken:
            full = run_models([Job(case.shipped, case.inputs[:1])], driver=driver, enforce_f32=True, timeout=timeout)[0]
            exact, broken = _compare(case, full, "fp32", limits)
            one = replace(one, exact=exact, broken=broken)
        judged.append(one)
    return judged


def _compare(case: GraphCase, run: DelegateRun, precision: str, limits: Fp16Limits) -> tuple[dict[str, Difference], str]:
    """Returns each output's difference from PyTorch's, or why there are none."""
    if not run.ok or not run.outputs:
        return {}, _failure(run, precision)
    expected, produced = case.expected[0], run.outputs[0]
    if {name: value.shape for name, value in expected.items()} != {name: value.shape for name, value in produced.items()}:
        return {}, f"outputs are {sorted(produced)}, expected {sorted(expected)}, or their shapes differ"
    return case.differences(0, produced, expected, residual(limits.graph)), ""


def _failure(run: DelegateRun, precision: str) -> str:
    """Describes why a run gave no outputs."""
    refused = "; ".join(dict.fromkeys(f"{op.op}: {op.reason}" for op in run.refused))
    return f"{run.outcome} in {precision}: {refused or run.error}"


def _detections(chain: Chain, ran: _Ran) -> GateResult:
    """Judges the chain's detections; where it gave NaN, it detects nothing."""
    cases = []
    for scene, scores, outputs in zip_longest(chain.compared_scenes, ran.alone[0].outputs[1:], ran.last):
        try:
            found = scene.decode(outputs).items if outputs is not None else ()
        except ValueError:
            found = ()
        case = DetectionCase(scene.name, scene.reference.items, found, scale=scene.scale)
        # Needed only for an extra detection: it costs a run of both graphs in PyTorch.
        if any(row.status == EXTRA for row in compare_detections(case, chain.limits)):
            case = replace(case, reordered=scene.reorder(scores).items)
        cases.append(case)
    return check_detections(cases, chain.limits)


def _measurements(one: _Judged, limits: Fp16Limits) -> list[Measurement]:
    if one.broken:
        return [Measurement(f"{one.case.name}: fp16 vs PyTorch", "ran", 0.0, limit=1.0)]
    measurements: list[Measurement] = []
    pairs = [(f"{output}: fp16 vs PyTorch", found) for output, found in one.found.items()]
    pairs += [(f"{output}: fp32 on the same adapter vs PyTorch", found) for output, found in one.exact.items()]
    for subject, found in pairs:
        measurements += figures(f"{one.case.name} / {subject}", found, limits.graph)
    return measurements


def _summary(judged: Sequence[_Judged], detections: GateResult | None, limits: Fp16Limits, adapter: str) -> str:
    all_found = [found for one in judged for found in one.found.values()]
    good = sum(name not in one.failing(limits.graph) for one in judged for name in one.found)
    broken = "".join(f"{one.case.name} did not run, " for one in judged if one.broken)
    lowest = min((found.correlation for found in all_found), key=lambda r: (r == r, r), default=float("nan"))
    summary = f"{broken}{good} of {len(all_found)} outputs within limits, lowest correlation {lowest:.6f}"
    return f"{summary}{f'; {detections.summary}' if detections else ''} ({adapter})"


def _explain(one: _Judged, driver: Driver, limits: Fp16Limits, timeout: float) -> tuple[Fault | None, Finding]:
    """Locates the fault of a graph that differs from PyTorch."""
    case = one.case
    if one.broken:
        return None, Finding("fp16", "wrong", f"{case.name}: fp16", one.broken, "see the residency gate and the host gate")
    outputs = one.failing(limits.graph)
    head = "fp16 vs PyTorch: " + ", ".join(f"{name} {describe(one.found[name])}" for name in outputs)
    head += f" (limit {limits.graph})"
    place = f"{case.name} / {', '.join(outputs)}"
    if one.failing_in_fp32(limits.graph):
        return None, Finding("fp16", "wrong", place, f"{head}; {_NOT_FP16}", "see the numerics gate")
    try:
        with scratch_folder() as folder:
            fault = locate_fp16(
                case.shipped, case.inputs[0], outputs[0], driver, limits.graph, limits.max_taps, timeout, folder
            )
    except LocateError as error:
        return None, Finding("fp16", "wrong", place, f"{head}; {error}", "run it on pictures of another kind")
    found = fault.place
    note = f"; {found.note}" if found.note else ""
    message = f"{head}; {fault.kind}: {fault.summary}; first tensor that differs: {found.origin}{note}"
    return fault, Finding(f"fp16-{fault.kind}", "wrong", f"{case.name} {found.place}", message, _ADVICE[fault.kind])
