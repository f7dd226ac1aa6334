"""The gate "second runtime": TensorFlow's own interpreter, on the same files and inputs, computes what LiteRT does.

The other gates trust ai-edge-litert's CPU interpreter as the link between PyTorch and the GPU. Here another build of another
project runs the shipped files, with kernels of its own (LiteRT computes on XNNPACK, this without it), which finds a file that
only LiteRT interprets in this way, or an output that only LiteRT computes so. Where the two disagree, the finding names graph
and output, and which of them differs from PyTorch's values.

The gate is optional. TensorFlow is a download of 270 MB and 1.3 GB on disk, and the numerics gate already compares the bundle
with PyTorch. So the gate is part of a run only where TensorFlow is installed (``tensorflow_run.installed``), and without it
nothing remains unverified: neither ``--strict`` nor the verdict of a report requires it. Where TensorFlow is
installed but cannot run, the verdict is "not run", as for any gate.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from detr2litert.verify.delegate.run import DelegateRun, Job, run_models
from detr2litert.verify.gates import Finding, GateResult, Measurement, Verdict
from detr2litert.verify.parity.figures import describe, figures
from detr2litert.verify.parity.metrics import Difference, difference, residual
from detr2litert.verify.parity.numerics import GraphCase
from detr2litert.verify.parity.tensorflow_run import HOW_TO_GET, TensorFlowRun, run_tensorflow

GATE = "second runtime"
_WITHOUT = "this is not a fault of the file: the numerics gate compares it with PyTorch"
_RUNTIMES, _REFERENCE = "TensorFlow vs LiteRT", "TensorFlow vs PyTorch"


@dataclass(frozen=True)
class Limits:
    """Lowest correlations of an output; each is also a limit of sqrt(1 - r²) on its relative error (see ``metrics``).

    Attributes:
        runtimes: TensorFlow's against LiteRT's. Both compute in float32 and differ only by the order of their sums; measured:
            relative errors of 2e-6 for both demo detectors, 2e-5 for nano.
        reference: TensorFlow's against PyTorch's, which includes the effect of fp16 weights, as in the numerics gate.
    """

    runtimes: float = 0.999999
    reference: float = 0.999


INT8_LIMITS = Limits(runtimes=0.99, reference=0.99)
"""Of files with int8 weights, for which each runtime rounds a layer's input in its own way; measured on tiny: 0.9997 (relative
error 2.5 %) between the two, while each differs from PyTorch by as much."""


def check_second_runtime(
    cases: Sequence[GraphCase], *, limits: Limits | None = None, timeout: float = 1800.0, python: str = sys.executable
) -> GateResult:
    """Runs the shipped graphs on both runtimes and compares every output of every input set.

    Args:
        cases: the graphs with their inputs and PyTorch's outputs.
        limits: bounds [default: the project's].
        timeout: seconds for TensorFlow, all graphs together.
        python: interpreter that has TensorFlow.

    Returns:
        FAILED if an output misses its limit or a runtime cannot run a graph that the other can; else NOT_RUN if TensorFlow is
        not installed, does not load, or lacks a kernel; else PASSED.
    """
    start, limits = time.perf_counter(), limits or Limits()
    answer = run_tensorflow([Job(case.shipped, case.inputs) for case in cases], timeout=timeout, python=python)
    if not answer.version:
        return GateResult(GATE, Verdict.NOT_RUN, answer.error, HOW_TO_GET, seconds=time.perf_counter() - start)
    ours = run_models([Job(case.shipped, case.inputs) for case in cases], accelerator="cpu")
    measured: list[Measurement] = []
    findings: list[Finding] = []
    absent: list[str] = []
    for case, theirs, litert in zip(cases, answer.runs, ours, strict=True):
        if theirs.unable:
            absent.append(f"{case.name}: {theirs.error}")
        elif theirs.error or not litert.ok:
            measured.append(Measurement(f"{case.name}: both runtimes", "ran", 0.0, limit=1.0))
            findings.append(_broken(case, theirs, litert))
        else:
            for index in range(len(case.inputs)):
                judged, off = _compare(case, index, theirs, litert, limits, answer.version)
                measured += judged
                findings += off
    verdict = Verdict.FAILED if findings else Verdict.NOT_RUN if absent else Verdict.PASSED
    return GateResult(
        GATE,
        verdict,
        _summary(cases, measured, findings, absent, answer.version),
        f"{findings[0].place}: {findings[0].advice}" if findings else _WITHOUT if absent else "",
        tuple(measured),
        tuple(findings),
        time.perf_counter() - start,
        {"tensorflow": answer.version, "kernels": "builtin, without delegates"},
    )


def _summary(
    cases: Sequence[GraphCase],
    measured: Sequence[Measurement],
    findings: Sequence[Finding],
    absent: Sequence[str],
    version: str,
) -> str:
    if findings:
        return f"{findings[0].place}: {findings[0].message}"
    if absent:
        return f"TensorFlow {version} cannot run {absent[0]}"
    worst = max((m.value for m in measured if m.metric == "relative_error" and m.subject.endswith(_RUNTIMES)), default=0.0)
    return f"TensorFlow {version} computes LiteRT's outputs of {len(cases)} graphs to {worst:.1e}"


def _compare(
    case: GraphCase, index: int, theirs: TensorFlowRun, litert: DelegateRun, limits: Limits, version: str
) -> tuple[list[Measurement], list[Finding]]:
    """Returns figures and findings of one input set."""
    measured, findings = [], []
    suffix = f" (input set {index})" if len(case.inputs) > 1 else ""
    ours, wanted, found = litert.outputs[index], case.expected[index], theirs.outputs[index]
    sides = (case.aligned(index, *pair) for pair in ((found, ours), (found, wanted), (ours, wanted)))
    between_sides, reference_sides, own_sides = (
        {name: (one[name], other[name]) for name in one if name in other} for one, other in sides
    )
    for name in dict.fromkeys((*wanted, *ours, *found)):
        shapes = [list(values[name].shape) if name in values else "absent" for values in (found, ours, wanted)]
        if any(shape != shapes[0] for shape in shapes):
            measured.append(Measurement(f"{case.name} / {name}{suffix}: all three", "same shape", 0.0, limit=1.0))
            message = "its shape is {} on TensorFlow, {} on LiteRT, {} in PyTorch".format(*shapes)
            findings.append(_finding(case, name, message, "the file does not fit the reference: convert it again"))
            continue
        between = difference(*between_sides[name], tolerance=residual(limits.runtimes))
        reference = difference(*reference_sides[name], tolerance=residual(limits.reference))
        measured += figures(f"{case.name} / {name}{suffix}: {_RUNTIMES}", between, limits.runtimes)
        measured += figures(f"{case.name} / {name}{suffix}: {_REFERENCE}", reference, limits.reference)
        if not between.within(limits.runtimes):
            mine = difference(*own_sides[name], tolerance=residual(limits.reference))
            message = f"TensorFlow {version} and LiteRT compute different values{suffix}: {describe(between)}"
            message += f"; against PyTorch, TensorFlow's {describe(reference)}, LiteRT's {describe(mine)}"
            findings.append(_finding(case, name, message, _who(reference, mine, limits)))
        elif not reference.within(limits.reference):
            message = f"both runtimes agree, and differ from PyTorch{suffix}: {describe(reference)}"
            findings.append(_finding(case, name, message, "see the numerics gate, which names the first tensor that differs"))
    return measured, findings


def _who(theirs: Difference, ours: Difference, limits: Limits) -> str:
    """Returns advice on which runtime to look at."""
    if theirs.within(limits.reference) and not ours.within(limits.reference):
        return "LiteRT differs from PyTorch: see the numerics gate, and try another version of ai-edge-litert"
    if ours.within(limits.reference) and not theirs.within(limits.reference):
        return "TensorFlow differs from PyTorch: it reads the file differently; look for unusual operator options or versions"
    if ours.within(limits.reference):
        return "both are close to PyTorch: an operator is read in two ways, or fp16 weights hide a small fault; tap the graph"
    return "both differ from PyTorch, and from each other: see the numerics gate first"


def _finding(case: GraphCase, output: str, message: str, advice: str) -> Finding:
    return Finding("second-runtime", "wrong", f"{case.name} / {output}", message, advice, graph=case.name)


def _broken(case: GraphCase, theirs: TensorFlowRun, litert: DelegateRun) -> Finding:
    errors = [f"TensorFlow: {theirs.error}" if theirs.error else "", "" if litert.ok else f"LiteRT: {litert.error}"]
    message = f"does not run: {'; '.join(filter(None, errors))}"
    advice = "the file is not valid, or this runtime interprets it differently: see the numerics gate"
    return Finding("second-runtime", "wrong", case.name, message, advice, graph=case.name)
