"""Runs .tflite models on the LiteRT GPU delegate, or on the CPU, in a child process whose stderr is parsed.

A child process, because some models kill the process that compiles them, and because the delegate names the operators it
refuses on stderr only. The GPU alone is requested: with the CPU as well, the runtime would run what the delegate refuses on
XNNPACK and still call the model fully accelerated. Nothing here raises because of what a model does; see ``Outcome``.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from numpy.typing import NDArray

from detr2litert.host_runtime.interrupt import uninterrupted
from detr2litert.host_runtime.scratch import scratch_folder
from detr2litert.verify.arrays import Arrays, load_arrays, save_arrays
from detr2litert.verify.delegate.adapters import Driver
from detr2litert.verify.delegate.dispatches import Counter, NotCounted, new_counts
from detr2litert.verify.delegate.stderr_log import NO_ADAPTER_LINE, RefusedOp, read_log, split_log
from detr2litert.verify.printable import printable

_CHILD = Path(__file__).with_name("child.py")
_POLL_SECONDS = 0.02


class Outcome(StrEnum):
    """The outcome of compiling and running a model. Only ``COMPILED`` has outputs."""

    COMPILED = "compiled"
    REFUSED = "refused"  # the delegate named operators it does not accept
    FAILED = "failed"  # an exception for another reason
    DIED = "died"  # the model killed the process
    TIMED_OUT = "timed out"
    NO_ADAPTER = "no adapter"  # nothing to run on


@dataclass(frozen=True)
class Job:
    """One model and the input sets to run it on, by signature name; without input sets it is only compiled."""

    model: Path
    inputs: tuple[Arrays, ...] = ()


@dataclass(frozen=True)
class DelegateRun:
    """The result of one model.

    Attributes:
        model: its path.
        accelerator: ``"gpu"`` or ``"cpu"``.
        outcome: see ``Outcome``.
        partitions: how often the delegate built a graph; 1 for a model that is entirely on the GPU, 0 on the CPU.
        refused: operators the delegate does not accept.
        ops_on_gpu, ops_on_cpu: the delegate's own count; None where it printed none, as for a fully delegated graph.
        non_cpu_fully_accelerated: the C API's answer, None unless requested with ``query_full_acceleration``.
        error: the exception's text, or how the process died; "" without an error.
        death: the signal or exit code with which the process ended by itself, ``"SIGSEGV"`` or ``"exit code 1"``; "" if it did
            not, and where it was killed at the time limit.
        error_lines: stderr lines of error or fatal level.
        adapter: the adapter the delegate chose, as it names it; "" if it did not get that far.
        outputs: for each input set, signature name to array.
        compile_seconds, run_seconds: wall times; a run includes reading its outputs.
        dispatches: GPU dispatches of one run, the last; None unless requested with ``counter``, and where nothing was run.
        log: the child's stderr for this model.
    """

    model: Path
    accelerator: str
    outcome: Outcome
    partitions: int = 0
    refused: tuple[RefusedOp, ...] = ()
    ops_on_gpu: int | None = None
    ops_on_cpu: int | None = None
    non_cpu_fully_accelerated: bool | None = None
    error: str = ""
    death: str = ""
    error_lines: tuple[str, ...] = ()
    adapter: str = ""
    outputs: tuple[dict[str, NDArray[Any]], ...] = field(default=(), repr=False)
    compile_seconds: float = 0.0
    run_seconds: tuple[float, ...] = ()
    dispatches: int | None = None
    log: str = field(default="", repr=False)

    @property
    def ok(self) -> bool:
        """True if the model compiled and every input set was run."""
        return self.outcome is Outcome.COMPILED

    @property
    def fully_on_gpu(self) -> bool:
        """True if compiled for the GPU alone, in at least one partition, with no operator on the CPU by count or C API."""
        return self.ok and self.partitions > 0 and not self.ops_on_cpu and self.non_cpu_fully_accelerated is not False


def run_model(model: Path, inputs: Sequence[Arrays] = (), **options: Any) -> DelegateRun:
    """Calls ``run_models`` for one model."""
    return run_models([Job(model, tuple(inputs))], **options)[0]


def run_models(jobs: Sequence[Job], **options: Any) -> list[DelegateRun]:
    """Compiles and runs models, one after another in one child; ``start_models`` lists the options."""
    return side_by_side(start_models(jobs, **options))[0]


Running = Generator[None, None, list[DelegateRun]]
"""Models being run: every step polls their child once; closing the generator kills it."""


def side_by_side(*running: Running) -> list[list[DelegateRun]]:
    """Runs several ``start_models`` concurrently and returns their runs.

    The caller's thread polls all of their children: an interrupt reaches it, and no child outlives it.
    """
    ended: dict[int, list[DelegateRun]] = {}
    try:
        while len(ended) < len(running):
            for index, one in enumerate(running):
                if index not in ended:
                    try:
                        next(one)
                    except StopIteration as end:
                        ended[index] = end.value
            if len(ended) < len(running):
                time.sleep(_POLL_SECONDS)
    finally:
        with uninterrupted():
            for one in running:
                one.close()
    return [ended[index] for index in range(len(running))]


def start_models(
    jobs: Sequence[Job],
    *,
    driver: Driver | None = None,
    accelerator: Literal["gpu", "cpu"] = "gpu",
    enforce_f32: bool = False,
    threads: int = 2,
    repeats: int = 1,
    query_full_acceleration: bool = False,
    settle: bool = True,
    timeout: float = 900.0,
    budget: float | None = None,
    counter: Counter | NotCounted | None = None,
) -> Running:
    """Runs models one after another in one child, with a fresh child after each one that died; for ``side_by_side``.

    Args:
        jobs: models and inputs. An input set that does not fit the signature gives ``Outcome.FAILED``.
        driver: how to reach the GPU (``driver.find_driver()``); None means there is none, and every GPU job ends as
            ``NO_ADAPTER``.
        accelerator: the GPU alone, or the CPU.
        enforce_f32: compute in fp32 even where the adapter could in fp16; by default the delegate prefers fp16.
        threads: CPU threads, for the CPU only.
        repeats: runs per input set, for timing.
        query_full_acceleration: also ask the C API whether nothing runs on the CPU, by compiling through it; what it accepts
            whole and is only compiled is compiled by it alone.
        settle: wait until a software driver is idle before its outputs are read, which large graphs need (child.py) and which
            takes 0.2 s per run; not after a run of a few seconds.
        timeout: seconds for each model.
        budget: seconds after which no further input set of a model is begun; the others have no outputs. None for all.
        counter: counts the dispatches of GPU runs (``dispatches.find_counter(driver)``).
    """
    if accelerator == "gpu" and driver is None:
        return [DelegateRun(job.model, accelerator, Outcome.NO_ADAPTER, error="no Vulkan adapter was found") for job in jobs]
    with scratch_folder() as work:
        # Random, so that a model's author cannot forge it: the delegate writes the model's names into the same log.
        mark = f"@@detr2litert-{secrets.token_hex(8)}"
        settings = {
            "mark": mark,
            "accelerator": accelerator,
            "enforce_f32": enforce_f32,
            "settle": settle and driver is not None and not any(adapter.hardware for adapter in driver.adapters),
            "threads": threads,
            "repeats": repeats,
            "query_full_acceleration": query_full_acceleration,
            "budget": budget,
            "count": None,
            "first": 0,
            "jobs": [
                {
                    "model": str(_linked(job.model, _link(work, i))),
                    "inputs": [str(save_arrays(values, work / f"in_{i}_{j}.npz")) for j, values in enumerate(job.inputs)],
                }
                for i, job in enumerate(jobs)
            ],
        }
        environment = _environment(driver, work)
        if isinstance(counter, Counter) and accelerator == "gpu":
            count = new_counts(work / "dispatches")
            settings["count"] = str(count)
            environment |= counter.environment(environment, count)
        runs: list[DelegateRun] = []
        while len(runs) < len(jobs):
            settings["first"] = len(runs)
            (work / "jobs.json").write_text(json.dumps(settings))
            code, log = yield from _spawn(work, environment, len(runs), len(jobs), timeout)
            sections = _named_sections(log, mark, jobs, work)
            while len(runs) < len(jobs) and (work / f"result_{len(runs)}.json").exists():
                index = len(runs)
                runs.append(_finished(jobs[index], index, work, accelerator, sections.get(index, {})))
            if len(runs) < len(jobs):
                # The child ended before writing this model's result: this model is the cause.
                runs.append(_lost(jobs[len(runs)], accelerator, code, sections.get(len(runs), {"compile": log})))
        # The delegate names its adapter once per process.
        chosen = next((run.adapter for run in runs if run.adapter), "")
        return [run if run.outcome is Outcome.NO_ADAPTER else replace(run, adapter=chosen) for run in runs]


def _environment(driver: Driver | None, work: Path) -> dict[str, str]:
    """Returns the child's environment: the caller's, the driver's, and the runtime's library folder for the C API."""
    added = dict(driver.environment) if driver else {}
    spec = find_spec("ai_edge_litert")
    runtime = list(spec.submodule_search_locations or ()) if spec else []
    paths = [added.get("LD_LIBRARY_PATH", ""), *runtime, os.environ.get("LD_LIBRARY_PATH", "")]
    added["LD_LIBRARY_PATH"] = os.pathsep.join(dict.fromkeys(p for p in paths if p))
    # Without it the Vulkan loader writes a warning to stderr, which is parsed here.
    return {**os.environ, "XDG_RUNTIME_DIR": os.environ.get("XDG_RUNTIME_DIR") or str(work), **added}


def _spawn(
    work: Path, environment: Mapping[str, str], first: int, total: int, timeout: float
) -> Generator[None, None, tuple[int | None, str]]:
    """Runs the child until it ends or one model takes longer than ``timeout``; returns its exit code and its stderr.

    The code is negative for a signal, and None where the time limit was reached and the child was killed.
    """
    log = work / f"stderr_{first}.txt"
    with log.open("wb") as sink:
        command = [sys.executable, str(_CHILD), str(work / "jobs.json")]
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, env=environment, cwd=work)
        try:
            done, deadline = first, time.monotonic() + timeout
            while child.poll() is None:
                if done < total and (work / f"result_{done}.json").exists():
                    done, deadline = done + 1, time.monotonic() + timeout
                if time.monotonic() > deadline:
                    return None, log.read_text(errors="replace")
                yield
        finally:
            if child.poll() is None:
                child.kill()
            code = child.wait()
    return code, log.read_text(errors="replace")


def _death(code: int) -> str:
    """Describes an exit code: ``"exit code 1"``, ``"SIGSEGV"``, or ``"signal 40"`` for a signal without a name."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def _link(work: Path, index: int) -> Path:
    return work / f"model_{index}.tflite"


def _linked(model: Path, link: Path) -> Path:
    """Links the model under an ASCII name: the runtime accepts only UTF-8 paths, and Linux allows others."""
    link.symlink_to(model.absolute())
    return link


def _named(text: str, model: Path, link: Path) -> str:
    """Replaces the link's name in the runtime's output by the model's own."""
    return text.replace(str(link), printable(str(model)))


def _named_sections(log: str, mark: str, jobs: Sequence[Job], work: Path) -> dict[int, dict[str, str]]:
    """Splits the log by job and phase, with the models' own names."""
    return {
        index: {phase: _named(text, jobs[index].model, _link(work, index)) for phase, text in phases.items()}
        for index, phases in split_log(log, mark).items()
    }


def _finished(job: Job, index: int, work: Path, accelerator: str, phases: Mapping[str, str]) -> DelegateRun:
    result = json.loads((work / f"result_{index}.json").read_text())
    phases = _of_the_compilation(phases)
    facts = read_log(phases)
    if NO_ADAPTER_LINE in phases.get("compile", ""):
        outcome = Outcome.NO_ADAPTER
    elif result["compiled"] and not result["error"]:
        outcome = Outcome.COMPILED
    else:
        outcome = Outcome.REFUSED if facts["refused"] else Outcome.FAILED
    outputs = tuple(load_arrays(work / f"out_{index}_{position}.npz") for position in range(result["outputs"]))
    return DelegateRun(
        job.model,
        accelerator,
        outcome,
        error=_named(result["error"], job.model, _link(work, index)),
        non_cpu_fully_accelerated=result["query_full_acceleration"],
        outputs=outputs,
        compile_seconds=result["compile_seconds"],
        run_seconds=tuple(result["run_seconds"]),
        dispatches=result["dispatches"],
        **facts,
    )


def _of_the_compilation(phases: Mapping[str, str]) -> Mapping[str, str]:
    """Returns a log's phases with the query as the compilation, where there was no other."""
    return phases if "compile" in phases else {"compile": phases.get("query_full_acceleration", "")}


def _lost(job: Job, accelerator: str, code: int | None, phases: Mapping[str, str]) -> DelegateRun:
    """Returns the run of a model whose child ended without a result: with ``code``, or None at the time limit."""
    facts = read_log(_of_the_compilation(phases))
    if code is None:
        error = "the time limit was reached and the process was killed"
        return DelegateRun(job.model, accelerator, Outcome.TIMED_OUT, error=error, **facts)
    death = _death(code)
    error = f"the process died of {death}" if code < 0 else f"the process exited with code {code}"
    return DelegateRun(job.model, accelerator, Outcome.DIED, error=error, death=death, **facts)
