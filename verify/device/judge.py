"""Judges a device's run on this machine: completion, residency, each stage, silent CPU fallback, detections, times.

Every stage is judged on inputs that are known to be right, so that a fault shows in its own stage and nowhere else: graph A on
the golden picture, the host step on the golden outputs of A, graph B on its golden inputs, all against the golden vectors.
Then the chain, link by link: the host step and graph B are compared with what this machine computes from the inputs that the
device itself gave them, which finds a fault between stages, such as a buffer that is read too early. Graph M, which gives the
masks, is judged like graph B.

A bundle of one graph has one stage. Where its queries are selected by nearly equal scores, a device may rank them differently;
it gives the indices that it selected, and the queries at the same rank in both selections are compared.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from detr2litert.graphs.partition import INDICES
from detr2litert.host_runtime.manifest import Manifest
from detr2litert.verify.device.delegate_log import Delegated
from detr2litert.verify.device.drive import DeviceRun
from detr2litert.verify.device.protocol import TIMED, TIMED_MASKS, TIMED_ONE, Array, Request
from detr2litert.verify.gates import Finding, GateResult, Measurement, Verdict
from detr2litert.verify.parity.detections import DetectionLimits
from detr2litert.verify.parity.figures import figures
from detr2litert.verify.parity.metrics import Difference, difference
from detr2litert.verify.precision import Precision, precision_of

_NAMES = {"a": "graph_a", "host": "host step", "b": "graph_b", "m": "graph_m"}
_ADVICE = {
    "a": "compare with the numerics gate of `convert verify`, and with --precision fp32",
    "host": "the app's host step is at fault, not the GPU: run android_sample/check.sh with this bundle",
    "b": "compare with the numerics gate of `convert verify`, and with --precision fp32",
    "m": "compare with the numerics gate of `convert verify`, and with --precision fp32",
}
_THROTTLED = 2  # PowerManager.THERMAL_STATUS_MODERATE
_THERMAL = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")


@dataclass(frozen=True)
class StageLimits:
    """Lowest correlation per output, each also a limit of sqrt(1 - r²) on the relative error (``verify.parity.metrics``).

    On a software GPU in float16 the demo detectors' outputs meet them with a wide margin (``verify.parity.fp16.Fp16Limits`` has
    the figures). No phone was available.

    Attributes:
        graph: of graphs A and B against their reference, with float16 weights as in the numerics gate, and float16 sums.
        host: of the host step, which is float32 arithmetic everywhere.
        selected: lowest share of the tokens that one graph must select like the reference: float16 moves only those near the
            last score. On a software GPU in float16 the demo detector selects 39 of 40 or more.
    """

    graph: float = 0.999
    host: float = 0.99999
    selected: float = 0.9


def detection_limits(request: Request, threshold: float) -> DetectionLimits:
    """Returns the conversion's limits where the sums are float32; wider ones where the GPU may compute in float16.

    Also wider than the fp16 gate's (IoU 0.98, scores within 0.02): a phone's GPU adds in another order than the software GPU
    on which those were measured.
    """
    if request.accelerator == "cpu" or request.precision == "fp32":
        return DetectionLimits(threshold)
    return DetectionLimits(threshold, iou=0.95, score=0.03, mask_iou=0.95, keypoint=0.02, outlier=0.075)


def check_ran(run: DeviceRun) -> GateResult:
    """Checks that the instrumentation completed; names the form of the graphs that ran, and why not the native one."""
    ended = run.ended
    if ended.status == "ok":
        form, refusal = ("portable", "") if run.result is None else (run.result.form, run.result.refusal)
        why = f"; the native one does not run there: {refusal}" if refusal else ""
        summary = f"{run.request.runs} timed runs after {run.request.warmup} to warm up, {form} form of the graphs{why}"
        return GateResult("run", Verdict.PASSED, summary, data={"form": form, "native_refused": refusal})
    what = {"crashed": "the app's process died", "hung": "the app hung", "failed": "the app reported a failure"}[ended.status]
    message = f"{what} in stage '{ended.stage}': {ended.message}"
    advice = "see the log in report.json, and try --accelerator cpu" if run.request.accelerator == "gpu" else "see report.json"
    if ended.kind == "bundle_manifest":
        # The bundle is sound, since this machine reads it: the app is older, and reads no newer schema, as of keypoints.
        advice = "install this version's app: cd android_sample && ./gradlew :app:installDebug"
    finding = Finding(ended.kind, "refused", ended.stage, ended.message, advice)
    return GateResult("run", Verdict.FAILED, message, advice, findings=(finding,), data={"log": run.log[-8000:]})


def check_delegated(run: DeviceRun, graphs: Mapping[str, str]) -> GateResult:
    """Checks by the delegate's line in logcat that it accepted each graph whole.

    Args:
        run: the device's.
        graphs: ``graph_a``, ``graph_b`` and ``graph_m`` to their files' names, as far as there are such.
    """
    if run.request.accelerator == "cpu":
        return GateResult("residency", Verdict.NOT_RUN, "the CPU was requested", "run it with --accelerator gpu")
    findings, measurements, summaries = [], [], []
    for graph, file in graphs.items():
        lines = [line for line in run.delegated if line.file == file]
        whole = len(lines) == 1 and lines[0].whole
        measurements.append(Measurement(graph, "one line, all nodes, one partition", float(whole), limit=1.0))
        for line in lines:
            summaries.append(f"{graph} {line.taken}/{line.nodes}")
            measurements.append(
                Measurement(graph, "nodes left to the CPU", float(line.nodes - line.taken), 0.0, at_least=False)
            )
            measurements.append(Measurement(graph, "partitions", float(line.partitions), 1.0, at_least=False))
        if not whole:
            findings.append(Finding("residency", "wrong", graph, _why_not(lines), _residency_advice(lines)))
    return GateResult(
        "residency",
        Verdict.FAILED if findings else Verdict.PASSED,
        f"{findings[0].place}: {findings[0].message}" if findings else f"{', '.join(summaries)} nodes, one partition each",
        findings[0].advice if findings else "",
        tuple(measurements),
        tuple(findings),
        data={"delegate_lines": [asdict(line) for line in run.delegated], "log": run.log[-8000:]},
    )


def _why_not(lines: list[Delegated]) -> str:
    if not lines:
        return "logcat has no line of the delegate about it, so there is no evidence that the GPU ran it"
    if len(lines) > 1:
        return f"{len(lines)} lines of delegates about it, where one delegate should accept all of it"
    line = lines[0]
    if line.taken == line.nodes and line.partitions == 1:
        return f"the CPU's own delegate accepted it ({line.delegate})"
    return f"the delegate accepted {line.taken} of {line.nodes} nodes in {line.partitions} partitions"


def _residency_advice(lines: list[Delegated]) -> str:
    if not lines:
        return "check that the app has litert-gpu beside litert, and read the log in report.json"
    return "run `convert check` on the bundle: its lint names the operator"


@dataclass(frozen=True)
class Compared:
    """One tensor of one stage against its reference; ``link`` is ``golden`` or ``chain``."""

    stage: str
    link: str
    name: str
    found: Difference
    limit: float

    @property
    def good(self) -> bool:
        return self.found.within(self.limit)

    @property
    def subject(self) -> str:
        return f"{_NAMES[self.stage]} / {self.name} ({'golden inputs' if self.link == 'golden' else 'in the chain'})"

    def measurements(self) -> tuple[Measurement, ...]:
        """Returns its figures with their limits."""
        return figures(self.subject, self.found, self.limit)


def stage_limits(manifest: Manifest) -> StageLimits:
    """Returns the limits for a bundle's precision: int8 loses as much as the conversion's numerics gate allows it."""
    return StageLimits(graph=0.99) if precision_of(manifest.settings) is Precision.INT8 else StageLimits()


def check_stages(
    run: DeviceRun,
    golden: Mapping[str, Array],
    chain: Mapping[str, Mapping[str, Array]],
    limits: StageLimits | None = None,
) -> GateResult:
    """Compares each stage's outputs; names the first stage that differs from the reference.

    Args:
        run: the device's, with every output of every stage.
        golden: every stage's golden tensors by name.
        chain: what this machine computes from the device's own inputs of ``host``, ``b`` and, with masks, ``m``.
        limits: [default: those of a float bundle].
    """
    limits = limits or StageLimits()
    compared = []
    references: tuple[tuple[str, str, str, Mapping[str, Array]], ...] = (
        ("a", "golden", "a", golden),
        ("host", "golden", "host_given", golden),
        ("b", "golden", "b_given", golden),
        ("host", "chain", "host", chain["host"]),
        ("b", "chain", "b", chain["b"]),
        *_mask_references(golden, chain),
    )
    for stage, link, written, reference in references:
        limit = limits.host if stage == "host" else limits.graph
        for name, values in run.tensors[written].items():
            compared.append(Compared(stage, link, name, difference(values, reference[name]), limit))
    return _stages_result(compared)


def _mask_references(
    golden: Mapping[str, Array], chain: Mapping[str, Mapping[str, Array]]
) -> tuple[tuple[str, str, str, Mapping[str, Array]], ...]:
    if "m" not in chain:
        return ()
    return ("m", "golden", "m_given", golden), ("m", "chain", "m", chain["m"])


def check_one_graph(
    run: DeviceRun,
    golden: Mapping[str, Array],
    chain: Mapping[str, Mapping[str, Array]] | None = None,
    limits: StageLimits | None = None,
    *,
    by_query: Collection[str] = (),
) -> GateResult:
    """Compares the only graph's outputs, query by query where both select the same token at the same rank; and graph M's masks.

    Args:
        run: the device's, with every output.
        golden: golden tensors by name.
        chain: with masks, what this machine computes from the device's own inputs of ``m``.
        limits: [default: those of a float bundle].
        by_query: names of the outputs that have values of each query, ``[1, Q, ...]``, beside those of rank 3, which all have.
    """
    limits, found = limits or StageLimits(), run.tensors["a"]
    masks = [
        Compared(stage, link, name, difference(values, reference[name]), limits.graph)
        for stage, link, written, reference in _mask_references(golden, chain or {})
        for name, values in run.tensors[written].items()
    ]
    if INDICES not in found:  # of another program: nothing tells two selections apart
        whole = [Compared("a", "golden", n, difference(v, golden[n]), limits.graph) for n, v in found.items()]
        return _stages_result([*whole, *masks])
    own, reference = found[INDICES], golden[INDICES]
    same = np.flatnonzero(own == reference)
    share = len(set(own.tolist()) & set(reference.tolist())) / reference.size

    def of_same(name: str, values: Array) -> Array:
        """The queries at the same rank; a map, as of the cells' embeddings, is of no query."""
        return values[:, same] if values.ndim == 3 or name in by_query else values

    compared = [
        Compared("a", "golden", name, difference(of_same(name, values), of_same(name, golden[name])), limits.graph)
        for name, values in found.items()
        if name != INDICES
    ]
    result = _stages_result([*compared, *masks])
    selected = Measurement("graph_a / selected tokens", "share of the reference's", share, limits.selected)
    ranked = f"{len(same)} of {reference.size} queries at the same rank"
    findings = result.findings
    if not selected.passed or not len(same):
        message = f"selects {share:.0%} of the reference's tokens, {ranked} (limit {limits.selected:.0%})"
        findings = (Finding("stage-a", "wrong", "graph_a / selected tokens", message, _ADVICE["a"]), *findings)
        result = replace(result, verdict=Verdict.FAILED, summary=f"graph_a {message}", advice=_ADVICE["a"])
    else:
        result = replace(result, summary=f"{result.summary}; {ranked}")
    return replace(result, measurements=(selected, *result.measurements), findings=findings)


def _stages_result(compared: Sequence[Compared]) -> GateResult:
    """Returns the gate's result, which names the first stage that differs."""
    wrong = [item for item in compared if not item.good]
    findings = tuple(Finding(f"stage-{i.stage}", "wrong", i.subject, _figures(i), _ADVICE[i.stage]) for i in wrong)
    if wrong:
        summary = f"{_NAMES[wrong[0].stage]} differs from the reference: {wrong[0].name} {_figures(wrong[0])}"
        advice = _ADVICE[wrong[0].stage]
        if wrong[0].link == "chain":
            summary = f"{summary}, though it is right on its golden inputs"
            advice = "one stage read something else than the stage before it wrote: buffers are shared or read too early"
    else:
        worst = min(compared, key=lambda item: item.found.correlation)
        summary = f"{len(compared)} outputs agree, lowest correlation {worst.found.correlation:.6f} ({worst.subject})"
        advice = ""
    return GateResult(
        "stages",
        Verdict.FAILED if wrong else Verdict.PASSED,
        summary,
        advice,
        tuple(measurement for item in compared for measurement in item.measurements()),
        findings,
    )


def _figures(item: Compared) -> str:
    found = item.found
    return (
        f"has correlation {found.correlation:.5f}, relative error {found.relative_error:.3g} and largest error "
        f"{found.max_abs_error:.3g} (limit {item.limit:g})"
    )


def check_fallback(gpu: DeviceRun, cpu: DeviceRun | None) -> GateResult:
    """Flags a graph whose every output equals the device's own CPU run bit by bit: most likely it did not run on the GPU."""
    if cpu is None or not cpu.tensors:
        why = "not requested" if cpu is None else f"the device's CPU run {cpu.ended.status} ({cpu.ended.message})"
        return GateResult("fallback", Verdict.NOT_RUN, f"no CPU run to compare with: {why}", "look at the report's log")
    findings, measurements = [], []
    for stage, written in (("a", "a"), ("b", "b_given"), ("m", "m_given")):
        if written not in gpu.tensors:
            continue  # there is no such graph
        pairs = [(gpu.tensors[written][name], cpu.tensors[written].get(name)) for name in gpu.tensors[written]]
        same = sum(other is not None and values.tobytes() == other.tobytes() for values, other in pairs)
        alike = bool(pairs) and same == len(pairs)
        measurements.append(Measurement(_NAMES[stage], "outputs bit-identical to the CPU's", float(same)))
        measurements.append(Measurement(_NAMES[stage], "all of them", float(alike), 0.0, at_least=False))
        if alike:
            message = "every output is bit-identical to the CPU run: suspected fallback to the CPU"
            findings.append(Finding("suspected-fallback", "risk", _NAMES[stage], message, "check the GPU options and the log"))
    if findings:
        summary, advice = f"{findings[0].place}: {findings[0].message}", findings[0].advice
    else:
        summary, advice = "the GPU's outputs are not bit-identical to the device's CPU's, as expected", ""
    verdict = Verdict.FAILED if findings else Verdict.PASSED
    return GateResult("fallback", verdict, summary, advice, tuple(measurements), tuple(findings))


def check_latency(run: DeviceRun) -> GateResult:
    """Reports times after warm-up, in milliseconds, with the thermal status; figures without limits."""
    if run.result is None:
        return GateResult("latency", Verdict.NOT_RUN, "no times")
    times = {stage: np.array(values, np.float64) for stage, values in run.result.milliseconds.items()}
    two, masks = "b" in run.tensors, "m" in run.tensors
    timed = (TIMED if two else TIMED_ONE) + (TIMED_MASKS if masks else ())
    if not all(len(times.get(stage, ())) == run.request.runs for stage in timed):
        return GateResult("latency", Verdict.FAILED, f"not {run.request.runs} times for every stage", "install a current app")
    groups = {
        "whole chain": sum((times[stage] for stage in timed), np.zeros(run.request.runs)),
        "graph_a (write, run, read)": times["write_a"] + times["run_a"] + times["read_a"],
    }
    if two:
        groups |= {
            "host step": times["host"],
            "graph_b (write, run, read)": times["write_b"] + times["run_b"] + times["read_b"],
        }
    if masks:
        groups["graph_m (write, run, read)"] = times["write_m"] + times["run_m"] + times["read_m"]
    shown = {name: {q: float(np.percentile(v, p)) for q, p in _QUANTILES.items()} for name, v in groups.items()}
    chain = shown["whole chain"]
    reach = ("A to M" if masks else "A to B") if two else "A and M" if masks else "one graph"
    before, after = run.result.thermal
    hot = max(value or 0 for value in (before, after)) >= _THROTTLED
    note = "; the device was throttled, so let it cool and run again" if hot else ""
    return GateResult(
        "latency",
        Verdict.PASSED,
        f"median {chain['median']:.1f} ms, p95 {chain['p95']:.1f}, p99 {chain['p99']:.1f}, {reach} without decoding; "
        f"thermal {_thermal(before)} to {_thermal(after)}{note}",
        measurements=tuple(
            Measurement(name, f"{quantile} ms", value) for name, values in shown.items() for quantile, value in values.items()
        ),
        data={"milliseconds": shown, "thermal": {"before": before, "after": after}, "throttled": hot},
    )


_QUANTILES = {"median": 50, "p95": 95, "p99": 99}


def _thermal(status: int | None) -> str:
    return "unknown" if status is None else _THERMAL[min(max(status, 0), len(_THERMAL) - 1)]
