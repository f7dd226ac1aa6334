"""Runs graphs on the CPU and on the delegate, a batch in one child, and says of each whether it is right, wrong or deadly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detr2litert.host_runtime.scratch import scratch_folder
from detr2litert.host_runtime.tflite.graph import Graph, Op, read_graph
from detr2litert.verify.delegate.adapters import Driver
from detr2litert.verify.delegate.run import DelegateRun, Job, Outcome, run_models
from detr2litert.verify.fuzz.build import write
from detr2litert.verify.fuzz.spec import IllFormedError, Spec
from detr2litert.verify.lint.op_lint import lint_graph
from detr2litert.verify.numbers.compare import compare, failing, sensitive
from detr2litert.verify.numbers.inputs import moved
from detr2litert.verify.numbers.reference import write_reference
from detr2litert.verify.parity.locate import LocateError, inner_values

LIMIT = 0.9999
"""Lowest correlation of an output: small tensors of a software driver's sine and power differ by more than a model's."""
COARSE = 2.0**-11
"""What Vulkan asks of a sine and a cosine between -pi and pi: absolute error (SPIR-V's precision in its specification).
SwiftShader's use it up to 1.9e-4."""
_ROUNDING = 1e-4
_SLOW = 30.0
_FAILING = ("wrong", "refused")


class Verdict(StrEnum):
    """What the delegate does with a graph."""

    RIGHT = "right"
    WRONG = "wrong"
    DIED = "died"
    REFUSED = "refused"
    INVALID = "invalid"  # ill-formed, or the CPU cannot run it


@dataclass(frozen=True)
class Judged:
    """One graph's result.

    Attributes:
        verdict: what the delegate does.
        rules: of the lint that fire on it as wrong or refused.
        error: the largest absolute error of a wrong output, infinite where only one side is a number; 0 otherwise.
        message: how it died, or why it was refused.
    """

    verdict: Verdict
    rules: tuple[str, ...] = ()
    error: float = 0.0
    message: str = ""

    @property
    def bad(self) -> bool:
        return self.verdict in (Verdict.WRONG, Verdict.DIED, Verdict.REFUSED)

    @property
    def unknown(self) -> bool:
        """True for a fault that no rule knows."""
        return self.bad and not self.rules


def judge(specs: Sequence[Spec], driver: Driver) -> list[Judged]:
    """Runs all graphs in fp32, each on inputs drawn from three ranges."""
    with scratch_folder() as work:
        results: list[Judged] = [Judged(Verdict.INVALID)] * len(specs)
        graphs: dict[int, Graph] = {}
        jobs: dict[int, Job] = {}
        references: dict[int, Job] = {}
        for index, spec in enumerate(specs):
            path = work / f"g{index}.tflite"
            try:
                write(spec, path)
            except IllFormedError:
                continue
            graphs[index] = read_graph(path)
            given = _inputs(graphs[index])
            jobs[index] = Job(path, given)
            again = tuple(moved(values) for values in given)
            references[index] = Job(write_reference(path, work / f"r{index}.tflite"), (*given, *again))
        cpu = dict(zip(references, run_models(list(references.values()), accelerator="cpu", timeout=_SLOW), strict=True))
        ran = [index for index in jobs if cpu[index].ok]
        gpu = run_models([jobs[i] for i in ran], driver=driver, enforce_f32=True, settle=False, timeout=_SLOW)
        for index, run in zip(ran, gpu, strict=True):
            rules = tuple(sorted({f.rule for f in lint_graph(graphs[index]) if f.severity in _FAILING}))
            results[index] = _judged(run, cpu[index], rules, references[index], graphs[index])
    return results


def _judged(run: DelegateRun, cpu: DelegateRun, rules: tuple[str, ...], job: Job, graph: Graph) -> Judged:
    if run.outcome is Outcome.TIMED_OUT:  # a busy machine, or a slow driver: no fault of the graph
        return Judged(Verdict.INVALID, message="time limit")
    if run.outcome is Outcome.DIED:
        return Judged(Verdict.DIED, rules, message=run.death)
    if not run.ok:
        message = f"{run.refused[0].op}: {run.refused[0].reason}" if run.refused else run.error
        return Judged(Verdict.REFUSED, rules, message=message)
    error = 0.0
    count = len(run.outputs)
    rounding = COARSE if any(op.name in ("SIN", "COS") for op in graph.ops) else _ROUNDING
    for index, outputs in enumerate(run.outputs):
        reference, *others = cpu.outputs[index::count]
        found = compare(outputs, reference, LIMIT)
        wrong = set(failing(found, LIMIT)).difference(*(sensitive(reference, again, LIMIT) for again in others))
        # A difference that is rounding although the correlation is low: the values are nearly equal to each other.
        wrong = {n for n in wrong if found[n].max_abs_error > rounding * max(1.0, found[n].reference_max)}
        if wrong and _defined(job, graph, index):
            error = max([error, *(found[name].max_abs_error for name in wrong)])
    return Judged(Verdict.WRONG, rules, error) if error else Judged(Verdict.RIGHT, rules)


def _defined(job: Job, graph: Graph, index: int) -> bool:
    """False where the result is nobody's promise.

    That is where a value on the way is NaN or infinite; where a step is taken so near to its edge that what is computed before
    it may fall on either side; and where an angle is taken of a zero, whose sign the delegate does not keep.
    """
    try:
        values = inner_values(job.model, graph, job.inputs[index])
    except LocateError:
        return True
    if not all(bool(np.isfinite(value).all()) for value in values.values() if value.dtype.kind == "f"):
        return False
    return not any(_on_an_edge(op, [values[t] for t in op.inputs if t in values]) for op in graph.ops)


def _on_an_edge(op: Op, operands: list[NDArray[Any]]) -> bool:
    """Whether an operator with jumps is at one of them, but not exactly: whole numbers are the same on both sides."""
    if not operands:
        return False
    first = operands[0].astype(np.float64)
    if op.name == "ATAN2":
        return bool((first == 0).any())
    if op.name == "SIGN":
        distance = np.abs(first)
    elif op.name in ("FLOOR", "CEIL", "ROUND"):
        steps = first + (0.5 if op.name == "ROUND" else 0.0)
        distance = np.abs(steps - np.round(steps))
    elif op.name in ("FLOOR_DIV", "FLOOR_MOD") and len(operands) > 1:
        with np.errstate(divide="ignore", invalid="ignore"):
            steps = first / operands[1]
        distance = np.abs(steps - np.round(steps))
    elif op.name in ("GREATER", "LESS_EQUAL", "EQUAL") and len(operands) > 1:
        distance = np.abs(first - operands[1])
    else:
        return False
    return bool(((distance > 0) & (distance < COARSE)).any())


def _inputs(graph: Graph) -> tuple[dict[str, NDArray[np.float32]], ...]:
    rng = np.random.default_rng(7)
    names = {name: graph.tensors[index].shape for name, index in graph.signature_inputs.items()}
    return (
        {name: rng.standard_normal(shape).astype(np.float32) for name, shape in names.items()},
        {name: rng.uniform(0.3, 2.0, shape).astype(np.float32) for name, shape in names.items()},
        {name: rng.uniform(-2.0, -0.3, shape).astype(np.float32) for name, shape in names.items()},
    )
