"""Measures every operator of a .tflite file by itself: its range, its error on the GPU, and its dispatches.

Each operator is cut out with its constants (``verify.numbers.extract``) and run on the inputs that LiteRT's CPU kernels compute
for it, so that its error is its own and not that of the operators before it. Two things follow. What the delegate gets wrong by
fusing operators is not here: the gate ``numerics`` shows it. And the dispatches of a graph are fewer than the sum of these, as
the delegate fuses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from detr2litert.host_runtime.scratch import scratch_folder
from detr2litert.host_runtime.tflite.graph import Graph, Op
from detr2litert.verify.arrays import Arrays
from detr2litert.verify.delegate.adapters import Driver
from detr2litert.verify.delegate.dispatches import Counter
from detr2litert.verify.delegate.run import DelegateRun, Job, run_models
from detr2litert.verify.gates import Doing, unheard
from detr2litert.verify.numbers.extract import PartWriter
from detr2litert.verify.parity.locate import LocateError, inner_values
from detr2litert.verify.parity.metrics import difference
from detr2litert.verify.parity.origins import GraphOrigins, TensorOrigin

_TIME_LIMIT = 900.0


@dataclass(frozen=True)
class OperatorData:
    """What is known of one operator.

    Attributes:
        index: in the file.
        name: TFLite's.
        outputs: names of its output tensors.
        module: path of the PyTorch module that it came from; "" where the tensors' names do not tell.
        rewrites: the rewrites that made it, in order.
        magnitude: largest absolute value of its outputs on the CPU; None where it was not computed.
        errors: precision ("fp32", "fp16") to the largest difference from the CPU, relative to ``magnitude``; infinite where one
            side alone is not finite.
        dispatches: GPU dispatches of this operator alone; None where they were not counted.
    """

    index: int
    name: str
    outputs: tuple[str, ...]
    module: str
    rewrites: tuple[str, ...]
    magnitude: float | None
    errors: Mapping[str, float]
    dispatches: int | None


@dataclass(frozen=True)
class Measured:
    """The operators of a file, without the DEQUANTIZE of constants, which no delegate runs by itself.

    Attributes:
        operators: in the file's order.
        missing: why there are no ranges and no errors; "" if there are.
    """

    operators: tuple[OperatorData, ...]
    missing: str = ""


def measure_operators(
    path: Path,
    inputs: Arrays,
    drivers: Mapping[str, Driver],
    counter: Counter | None = None,
    doing: Doing = unheard,
) -> Measured:
    """Measures a file's first entry.

    Args:
        path: of the file.
        inputs: of its signature, on which the operators are compared.
        drivers: precision to the GPU that computes in it; empty for none.
        counter: of dispatches, in the first precision.
        doing: called with a description of the progress.

    Raises:
        UserError: the file is no readable LiteRT model.
    """
    writer = PartWriter(path)
    graph = writer.graph
    chosen = [op for op in graph.ops if any(graph.is_runtime(tensor) for tensor in op.outputs)]
    missing = ""
    values: dict[int, Any] = {}
    doing("every tensor on the CPU")
    try:
        values = {**inner_values(path, graph, inputs), **{t: inputs[name] for name, t in graph.signature_inputs.items()}}
    except LocateError as error:
        missing = str(error)
    with scratch_folder() as work:
        cut = chosen if drivers else []
        jobs = {op.index: job for op in cut if (job := _job(writer, op, values, work)) is not None}
        runs: dict[str, dict[int, DelegateRun]] = {}
        for position, (precision, driver) in enumerate(drivers.items()):
            doing(f"{len(jobs)} operators, each by itself, in {precision} on {driver.adapter.name}")
            found = run_models(
                list(jobs.values()),
                driver=driver,
                enforce_f32=precision == "fp32",
                timeout=_TIME_LIMIT,
                counter=None if position else counter,
            )
            runs[precision] = dict(zip(jobs, found, strict=True))
    origins = GraphOrigins.of(graph).operators
    measured = (_operator(graph, op, origins.get(op.index), values, jobs.get(op.index), runs) for op in chosen)
    return Measured(tuple(measured), missing)


def _job(writer: PartWriter, op: Op, values: Mapping[int, Any], work: Path) -> Job | None:
    """Writes one operator as a file; None if an input has no value."""
    path = work / f"{op.index}.tflite"
    names = writer.write([op.index], op.outputs, path)
    if any(tensor not in values for tensor in names.values()):
        return None
    return Job(path, ({name: np.asarray(values[tensor]) for name, tensor in names.items()},))


def _operator(
    graph: Graph,
    op: Op,
    origin: TensorOrigin | None,
    values: Mapping[int, Any],
    job: Job | None,
    runs: Mapping[str, Mapping[int, DelegateRun]],
) -> OperatorData:
    own = {precision: found[op.index] for precision, found in runs.items() if op.index in found and found[op.index].ok}
    references = [np.asarray(values[tensor]) for tensor in op.outputs if tensor in values]
    # Each input and output of a file costs a dispatch more, for the conversion of its layout.
    interface = len(op.outputs) + (0 if job is None else len(job.inputs[0]))
    counts = [run.dispatches - interface for run in own.values() if run.dispatches is not None]
    return OperatorData(
        index=op.index,
        name=op.name,
        outputs=tuple(graph.tensors[tensor].name for tensor in op.outputs),
        module=origin.module if origin else "",
        rewrites=origin.rewrites if origin else (),
        magnitude=max((_largest(value) for value in references), default=None),
        errors={precision: _error(run, references) for precision, run in own.items() if len(references) == len(op.outputs)},
        dispatches=next(iter(counts), None),
    )


def _error(run: DelegateRun, references: Sequence[Any]) -> float:
    found = [difference(run.outputs[0][f"y{position}"], wanted) for position, wanted in enumerate(references)]
    # A reference of zeros has no magnitude to be relative to.
    return max(one.max_abs_error / (one.reference_max or 1.0) for one in found)


def _largest(value: Any) -> float:
    finite = (
        np.abs(value[np.isfinite(value)].astype(np.float64)) if value.dtype.kind == "f" else np.abs(value.astype(np.float64))
    )
    return float(finite.max(initial=0.0))
