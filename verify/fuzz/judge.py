"""Runs graphs on the CPU and on the delegate, a batch in one child, and says of each whether it is right, wrong or deadly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from detr2litert.host_runtime.scratch import scratch_folder
from detr2litert.host_runtime.tflite.graph import Graph, read_graph
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
            references[index] = Job(
                write_reference(path, work / f"r{index}.tflite"), (*given, *(moved(values) for values in given))
            )
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
    for index, outputs in enumerate(run.outputs):
        reference, again = cpu.outputs[index], cpu.outputs[count + index]
        found = compare(outputs, reference, LIMIT)
        wrong = set(failing(found, LIMIT)) - sensitive(reference, again, LIMIT)
        wrong = {name for name in wrong if not _tiny(found[name].max_abs_error, found[name].reference_max)}
        if wrong and _defined(job, graph, index):
            error = max([error, *(found[name].max_abs_error for name in wrong)])
    return Judged(Verdict.WRONG, rules, error) if error else Judged(Verdict.RIGHT, rules)


def _defined(job: Job, graph: Graph, index: int) -> bool:
    """False if a value on the way is NaN or infinite: what a maximum or a comparison makes of it is nobody's promise."""
    try:
        values = inner_values(job.model, graph, job.inputs[index])
    except LocateError:
        return True
    return all(bool(np.isfinite(value).all()) for value in values.values() if value.dtype.kind == "f")


def _tiny(error: float, largest: float) -> bool:
    """A difference that is rounding although the correlation is low: the values are nearly equal to each other."""
    return error <= 1e-4 * max(1.0, largest)


def _inputs(graph: Graph) -> tuple[dict[str, NDArray[np.float32]], ...]:
    rng = np.random.default_rng(7)
    names = {name: graph.tensors[index].shape for name, index in graph.signature_inputs.items()}
    return (
        {name: rng.standard_normal(shape).astype(np.float32) for name, shape in names.items()},
        {name: rng.uniform(0.3, 2.0, shape).astype(np.float32) for name, shape in names.items()},
        {name: rng.uniform(-2.0, -0.3, shape).astype(np.float32) for name, shape in names.items()},
    )
