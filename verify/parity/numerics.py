"""The numerics gate: every graph computes the right values, judged on identical inputs, one link of the chain at a time.

- "CPU vs PyTorch": the float32 file on LiteRT's CPU against PyTorch. A fault here is a rewrite's or the converter's.
- "shipped vs float32": the shipped (fp16 weights) file on the CPU against the float32 one. A fault here is the quantisation's.
- "GPU vs CPU": the shipped file on the delegate in fp32 against the CPU. A fault here is the delegate's.
- "native vs portable": a file in the delegate's own operators, which the CPU cannot run, on the delegate in fp32 against its
  portable twin on the CPU, its activations unrounded floats. A fault is the delegate's, or a rewrite's to such an operator.

The CPU and the delegate compute a file with int8 weights differently (``verify.parity.float_twin``), so its float form, on the
CPU, stands between them: "unpacked vs float32" is what the rounding of the weights loses, "CPU vs unpacked" what the CPU's
integers lose beyond that, and "GPU vs unpacked" keeps the delegate's limit, unless the activations are int8 as well.

Where a link fails, the first tensor that differs is named, with its operator, module and rewrites.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from detr2litert.host_runtime.scratch import scratch_folder
from detr2litert.verify.delegate.adapters import Driver
from detr2litert.verify.delegate.dispatches import NotCounted, describe_counts, find_counter
from detr2litert.verify.delegate.driver import NO_ADAPTER, NoGpu
from detr2litert.verify.delegate.run import DelegateRun, Job, Outcome, run_models
from detr2litert.verify.gates import Doing, Finding, GateResult, Measurement, Verdict, unheard
from detr2litert.verify.parity.figures import describe
from detr2litert.verify.parity.float_twin import FloatTwin, write_float_twins
from detr2litert.verify.parity.locate import Located, LocateError
from detr2litert.verify.parity.metrics import Difference, difference, residual
from detr2litert.verify.parity.numerics_limits import Limits
from detr2litert.verify.parity.numerics_names import (
    ADVICE,
    CPU,
    GPU,
    INT8_CPU,
    INT8_GPU,
    NATIVE,
    RULES,
    SHIPPED,
    SHIPPED_DIRECT,
    UNPACKED,
    UNPACKED_DIRECT,
)
from detr2litert.verify.parity.numerics_places import locate_gpu, locate_shipped, locate_traced
from detr2litert.verify.parity.selection import SelectionInside

Arrays = dict[str, NDArray[Any]]
Trace = Callable[[Arrays], Arrays]
CpuRuns = dict[tuple[str, Path], DelegateRun]


@dataclass(frozen=True)
class GraphCase:
    """One graph and its expected outputs.

    Attributes:
        name: ``"graph_a"``, for the report.
        float32: the file with float32 weights; None where only the shipped one is available.
        shipped: the file of the bundle.
        inputs: input sets, by signature name.
        expected: PyTorch's outputs for each input set, by signature name.
        trace: PyTorch's value of every fx node for an input set; None if a fault need not be traced to its module.
        sets: what each input set is, for messages; numbered without names.
        twin: the name of the graph that computes the same on the CPU, for a file that only the GPU can run; else "".
        selection: of a graph that selects its queries inside; None for another.
        natural: how many input sets, the first ones, are of pictures; None for all. Static int8 clips the others, which are
            far out of its calibrated ranges, so it is not compared with float32 on them.
    """

    name: str
    float32: Path | None
    shipped: Path
    inputs: tuple[Arrays, ...]
    expected: tuple[Arrays, ...]
    trace: Trace | None = None
    sets: tuple[str, ...] = ()
    twin: str = ""
    selection: SelectionInside | None = None
    natural: int | None = None

    def __post_init__(self) -> None:
        if self.sets and len(self.sets) != len(self.inputs):
            raise ValueError(f"{self.name}: {len(self.inputs)} input sets and {len(self.sets)} names")
        if not self.inputs or len(self.inputs) != len(self.expected):
            raise ValueError(f"{self.name}: {len(self.inputs)} input sets and {len(self.expected)} sets of expected outputs")

    def aligned(self, index: int, found: Arrays, reference: Arrays) -> tuple[Arrays, Arrays]:
        """Returns both sides' outputs on one input set in the form to compare element by element: at the same selection."""
        if self.selection is None:
            return found, reference
        own, other = self.selection.aligned(self.inputs[index], found, reference)
        return dict(own), dict(other)

    def differences(self, index: int, found: Arrays, reference: Arrays, tolerance: float) -> dict[str, Difference]:
        """Returns each output's difference on one input set; the two sides have the same names and shapes."""
        found, reference = self.aligned(index, found, reference)
        return {name: difference(found[name], value, tolerance=tolerance) for name, value in reference.items()}


@dataclass(frozen=True)
class _Link:
    """One comparison of one graph: each input set's differences by output, or why there are none."""

    case: GraphCase
    kind: str
    limit: float
    sets: tuple[dict[str, Difference], ...] = ()
    broken: str = ""

    def worst(self, output: str) -> Difference:
        """Returns the worst figure of each metric over the input sets; NaN is the worst of all."""
        found = [by_name[output] for by_name in self.sets]
        worst: dict[str, Any] = {
            name: max((getattr(d, name) for d in found), key=_badness) for name in ("relative_error", "max_abs_error")
        }
        correlation = min((d.correlation for d in found), key=lambda value: -math.inf if math.isnan(value) else value)
        return replace(found[0], correlation=correlation, **worst)

    @property
    def failing(self) -> tuple[int, tuple[str, ...]] | None:
        """Returns the first input set with failing outputs, and those outputs."""
        for index, by_name in enumerate(self.sets):
            if names := tuple(name for name, found in by_name.items() if not found.within(self.limit)):
                return index, names
        return None

    @property
    def passed(self) -> bool:
        return not self.broken and self.failing is None


def check_numerics(
    cases: Sequence[GraphCase],
    *,
    gpu: Driver | NoGpu = NO_ADAPTER,
    limits: Limits | None = None,
    timeout: float = 900.0,
    doing: Doing = unheard,
) -> GateResult:
    """Compares every output of every graph along the chain and locates the first difference.

    Args:
        cases: the graphs, each with a name of its own.
        gpu: how to reach it (``driver.find_driver()``), or why there is none.
        limits: bounds [default: the project's].
        timeout: seconds for each run of a graph: one has two or three, and a software GPU needs minutes for a large graph's.
        doing: called with a description of each computation.

    Returns:
        FAILED if any comparison that could be made failed; else NOT_RUN if there was no adapter; else PASSED.
    """
    with scratch_folder() as folder:
        shipped = {case.name: case.shipped for case in cases if not case.twin}
        return _check(cases, write_float_twins(shipped, folder), gpu, limits or Limits(), timeout, doing)


def _check(
    cases: Sequence[GraphCase],
    twins: Mapping[str, FloatTwin],
    gpu: Driver | NoGpu,
    limits: Limits,
    timeout: float,
    doing: Doing,
) -> GateResult:
    start = time.perf_counter()
    model_timeout = timeout * max((len(case.inputs) for case in cases), default=1)
    portable = {case.name: case for case in cases if not case.twin}
    forms = {name: (twin.path, twin.exact) for name, twin in twins.items()}
    files = {case.name: (case.float32, case.shipped, *forms.get(case.name, ())) for case in portable.values()}
    wanted = [(case, path) for case in portable.values() for path in dict.fromkeys(files[case.name]) if path is not None]
    doing("the graphs on the CPU")
    runs = run_models([Job(path, case.inputs) for case, path in wanted], accelerator="cpu", timeout=model_timeout)
    cpu = {(case.name, path): run for (case, path), run in zip(wanted, runs, strict=True)}
    # An adapter that was found may still not open for the delegate.
    driver, no_gpu = (None, gpu) if isinstance(gpu, NoGpu) else (gpu, NO_ADAPTER)
    if driver is not None:
        doing(f"the graphs in fp32 on {driver.adapter.name}")
    counter = find_counter(driver) if driver is not None else NotCounted(no_gpu.reason)
    gpu_runs = run_models(
        [Job(case.shipped, case.inputs) for case in cases],
        driver=driver,
        enforce_f32=True,
        timeout=model_timeout,
        counter=counter,
    )
    dispatches = {case.name: run.dispatches for case, run in zip(cases, gpu_runs, strict=True)}
    links: list[_Link] = []
    for case, gpu_run in zip(cases, gpu_runs, strict=True):
        if case.twin:
            links += _native_links(case, portable[case.twin], cpu, gpu_run, limits, twins.get(case.twin))
        elif case.name in twins:
            links += _int8_links(case, cpu, gpu_run, limits, twins[case.name])
        else:
            links += _links(case, cpu, gpu_run, limits)
    findings: list[Finding] = []
    places: list[dict[str, Any]] = []
    for link in links:
        if not link.passed:
            doing(f"{link.case.name}: finding the first tensor that differs")
            place, found = _explain(link, cpu, driver, limits, timeout, twins.get(link.case.name))
            findings.append(found)
            if place:
                places.append({"graph": link.case.name, "comparison": link.kind, "place": place.place, **asdict(place)})
    absent = any(run.outcome is Outcome.NO_ADAPTER for run in gpu_runs)
    adapter = next((run.adapter for run in gpu_runs if run.adapter), "")
    verdict = Verdict.FAILED if findings else Verdict.NOT_RUN if absent else Verdict.PASSED
    return GateResult(
        gate="numerics",
        verdict=verdict,
        summary=_summary(links, verdict, no_gpu.reason if absent else "", adapter, describe_counts(dispatches)),
        advice=f"{findings[0].place}: {findings[0].advice}" if findings else no_gpu.advice if absent else "",
        measurements=tuple(measurement for link in links for measurement in _measurements(link)),
        findings=tuple(findings),
        seconds=time.perf_counter() - start,
        data={
            "limits": asdict(limits),
            "comparisons": [_record(link) for link in links],
            "located": places,
            "gpu": {case.name: {"outcome": str(run.outcome), "run_seconds": list(run.run_seconds), "adapter": run.adapter,
                                "dispatches": run.dispatches}
                    for case, run in zip(cases, gpu_runs, strict=True)},
            "not_counted": counter.reason if isinstance(counter, NotCounted) else "",
        },
    )  # fmt: skip


def _badness(value: float) -> float:
    return math.inf if math.isnan(value) else value


def _links(case: GraphCase, cpu: CpuRuns, gpu: DelegateRun, limits: Limits) -> list[_Link]:
    """Returns the comparisons that can be made for one graph."""
    shipped = cpu[case.name, case.shipped]
    links = []
    if case.float32 is not None:
        full = cpu[case.name, case.float32]
        links.append(_link(case, CPU, limits.cpu, full, case.expected))
        if full.ok:
            links.append(_link(case, SHIPPED, limits.shipped, shipped, full.outputs))
    else:
        links.append(_link(case, SHIPPED_DIRECT, limits.shipped, shipped, case.expected))
    if shipped.ok and gpu.outcome is not Outcome.NO_ADAPTER:
        links.append(_link(case, GPU, limits.gpu, gpu, shipped.outputs))
    return links


def _int8_links(case: GraphCase, cpu: CpuRuns, gpu: DelegateRun, limits: Limits, twin: FloatTwin) -> list[_Link]:
    """Returns the comparisons of a graph with int8 weights, whose float form is between the CPU and the delegate."""
    shipped, unpacked = cpu[case.name, case.shipped], cpu[case.name, twin.path]
    links, count = [], case.natural if twin.steps else None
    if case.float32 is not None:
        full = cpu[case.name, case.float32]
        links.append(_link(case, CPU, limits.cpu, full, case.expected))
        if full.ok:
            links.append(_link(case, UNPACKED, limits.unpacked, unpacked, full.outputs, count))
    else:
        links.append(_link(case, UNPACKED_DIRECT, limits.unpacked, unpacked, case.expected, count))
    if unpacked.ok:
        links.append(_link(case, INT8_CPU, limits.unpacked, shipped, unpacked.outputs))
        if gpu.outcome is not Outcome.NO_ADAPTER:
            links.append(_link(case, INT8_GPU, limits.steps if twin.steps else limits.gpu, gpu, unpacked.outputs))
    return links


def _native_links(
    case: GraphCase, portable: GraphCase, cpu: CpuRuns, gpu: DelegateRun, limits: Limits, twin: FloatTwin | None
) -> list[_Link]:
    """Returns the comparison of a native graph, whose activations are floats, with its portable twin, if both ran."""
    run = cpu[portable.name, twin.exact if twin else portable.shipped]
    if not run.ok or gpu.outcome is Outcome.NO_ADAPTER:
        return []
    return [_link(case, NATIVE, limits.gpu, gpu, run.outputs)]


def _link(
    case: GraphCase, kind: str, limit: float, run: DelegateRun, reference: Sequence[Arrays], count: int | None = None
) -> _Link:
    if not run.ok:
        refused = "; ".join(dict.fromkeys(f"{op.op}: {op.reason}" for op in run.refused))
        return _Link(case, kind, limit, broken=f"{run.outcome}: {refused or run.error}")
    sets = []
    for index, (produced, wanted) in enumerate(zip(run.outputs[:count], reference[:count], strict=True)):
        if produced.keys() != wanted.keys():
            return _Link(case, kind, limit, broken=f"outputs are {sorted(produced)}, expected {sorted(wanted)}")
        for name, value in wanted.items():
            if produced[name].shape != value.shape:
                shapes = f"{list(produced[name].shape)}, expected {list(value.shape)}"
                return _Link(case, kind, limit, broken=f"output {name} has shape {shapes}")
        sets.append(case.differences(index, produced, wanted, residual(limit)))
    return _Link(case, kind, limit, tuple(sets))


def _measurements(link: _Link) -> list[Measurement]:
    if link.broken:
        return [Measurement(f"{link.case.name}: {link.kind}", "ran", 0.0, limit=1.0)]
    found = []
    for output in link.sets[0]:
        subject, worst = f"{link.case.name} / {output}: {link.kind}", link.worst(output)
        found += [
            Measurement(subject, "correlation", worst.correlation, limit=link.limit),
            Measurement(subject, "relative_error", worst.relative_error, limit=residual(link.limit), at_least=False),
            Measurement(subject, "max_abs_error", worst.max_abs_error, at_least=False),
        ]
    return found


def _record(link: _Link) -> dict[str, Any]:
    return {
        "graph": link.case.name,
        "comparison": link.kind,
        "limit": link.limit,
        "passed": link.passed,
        "broken": link.broken,
        "sets": [{name: found.as_dict() for name, found in by_name.items()} for by_name in link.sets],
    }


def _summary(links: Sequence[_Link], verdict: Verdict, absent: str, adapter: str, dispatches: str) -> str:
    good = sum(link.passed for link in links)
    figures = [link.worst(output).correlation for link in links for output in (link.sets[0] if link.sets else {})]
    lowest = "nan" if any(map(math.isnan, figures)) else f"{min(figures, default=math.nan):.7f}"
    summary = f"{good} of {len(links)} comparisons within limits, lowest correlation {lowest}"
    if absent:
        return f"{summary}; {absent}, so nothing was compared on it"
    summary += f"; {dispatches}" if dispatches else ""
    return f"{summary} ({adapter})" if verdict is Verdict.PASSED and adapter else summary


def _explain(
    link: _Link, cpu: CpuRuns, driver: Driver | None, limits: Limits, timeout: float, twin: FloatTwin | None
) -> tuple[Located | None, Finding]:
    """Locates the fault of a failed comparison."""
    rule, advice = RULES[link.kind], ADVICE[link.kind]
    if link.failing is None:
        advice = (
            "see the residency gate"
            if link.kind in (GPU, INT8_GPU, NATIVE)
            else "the file does not fit the reference: convert it again"
        )
        return None, Finding(rule, "wrong", f"{link.case.name}: {link.kind}", link.broken, advice)
    index, outputs = link.failing
    given, case = link.case.inputs[index], link.case
    worst = ", ".join(f"{name} {describe(link.sets[index][name])}" for name in outputs)
    head = f"{link.kind}, {case.sets[index] if case.sets else f'input set {index}'}: {worst} (limit {link.limit})"
    if link.kind == NATIVE:
        return None, Finding(rule, "wrong", f"{case.name} / {', '.join(outputs)}", head, advice)
    try:
        if link.kind in (GPU, INT8_GPU):
            assert driver is not None  # the comparison would not have been made
            correct = case.shipped if twin is None else twin.path
            with scratch_folder() as folder:
                place = locate_gpu(
                    case.shipped, correct, given, outputs[0], driver, link.limit, limits.max_taps, timeout, folder
                )
        elif link.kind == INT8_CPU:
            assert twin is not None
            place = locate_shipped(case.shipped, twin.path, given, outputs, link.limit)
        elif link.kind == UNPACKED:
            assert twin is not None and case.float32 is not None
            place = locate_shipped(twin.path, case.float32, given, outputs, link.limit)
        elif link.kind == SHIPPED:
            assert case.float32 is not None
            place = locate_shipped(case.shipped, case.float32, given, outputs, limits.shipped)
        else:
            traced = case.trace(given) if case.trace else {}
            file = case.float32 or (case.shipped if twin is None else twin.path)
            place = locate_traced(
                file, given, traced, case.expected[index], cpu[case.name, file].outputs[index], outputs, link.limit
            )
    except LocateError as error:
        return None, Finding(rule, "wrong", f"{case.name} / {', '.join(outputs)}", f"{head}; {error}", advice)
    between = f", last right before {' > '.join(place.since[-6:])}" if len(place.since) > 1 else ""
    found = f" {describe(place.difference)}" if place.difference else ""
    note = f"; {place.note}" if place.note else ""
    message = f"{head}; first tensor that differs{found}: {place.origin}{between}{note}"
    return place, Finding(rule, "wrong", f"{case.name} {place.place}", message, advice)
