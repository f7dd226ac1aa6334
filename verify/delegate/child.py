"""The child process of ``run.py``: compiles models, runs them, and records what happened.

It is run as a script with one argument, a job file, and may be killed at any moment by the model it compiles; so every
result is a file of its own, written as soon as it is known, and a mark on stderr assigns the lines after it to a job.
Imports nothing of this project.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ai_edge_litert
import numpy as np
from ai_edge_litert.compiled_model import CompiledModel
from ai_edge_litert.environment import Environment, EnvironmentOptions
from ai_edge_litert.hardware_accelerator import HardwareAccelerator
from ai_edge_litert.options import CpuOptions, GpuOptions, Options

_GPU_BIT = 2  # kLiteRtHwAcceleratorGpu
_QUIET_SECONDS = 0.05
_QUIET_WINDOWS = 3
_SHORT_SECONDS = 20.0


def _mark(mark: str, text: str) -> None:
    """Writes the line at which run.py splits stderr."""
    sys.stdout.flush()
    os.write(2, f"\n{mark} {text}\n".encode())


def _options(settings: dict[str, Any]) -> Options:
    if settings["accelerator"] == "gpu":
        return Options(HardwareAccelerator.GPU, gpu_options=GpuOptions(enforce_f32=settings["enforce_f32"]))
    return Options(HardwareAccelerator.CPU, cpu_options=CpuOptions(num_threads=settings["threads"]))


def _dispatches(count: str | None) -> int | None:
    """Returns the GPU dispatches so far, from the file of ``count_dispatches.c``; None without it or without that layer."""
    if count is None:
        return None
    dispatches, instances = np.fromfile(count, np.uint64).tolist()
    return dispatches if instances else None


def _run(
    model: CompiledModel, signature: str, given: dict[str, np.ndarray], repeats: int, settle: bool, count: str | None
) -> tuple[dict[str, np.ndarray], list[float], int | None]:
    """Returns the outputs, the seconds of each run, and the dispatches of the last one."""
    wanted = model.get_input_tensor_details(signature)
    if set(given) != set(wanted):
        raise ValueError(f"the model's inputs are {sorted(wanted)}, but {sorted(given)} were given")
    inputs = {}
    for name, details in wanted.items():
        value = np.asarray(given[name])
        if value.dtype != np.dtype(details["dtype"]) or not _fits(model, signature, name, details["shape"], value.shape):
            raise ValueError(
                f"input {name} is {details['dtype']}{details['shape']}, but {value.dtype}{list(value.shape)} was given"
            )
        inputs[name] = model.create_input_buffer_by_name(signature, name)
        inputs[name].write(value)
    produced = model.get_output_tensor_details(signature)
    outputs = {name: model.create_output_buffer_by_name(signature, name) for name in produced}
    seconds = []
    dispatches = None
    for _ in range(repeats):
        before = _dispatches(count)
        start = time.perf_counter()
        model.run_by_name(signature, inputs, outputs)
        # Reading is part of the measurement: the GPU runs asynchronously and finishes when it is read.
        if settle:
            _settle()
        values = {
            name: outputs[name].read(int(np.prod(d["shape"], dtype=np.int64)), np.dtype(d["dtype"])).reshape(d["shape"])
            for name, d in produced.items()
        }
        seconds.append(time.perf_counter() - start)
        after = _dispatches(count)
        dispatches = None if before is None or after is None else after - before
    return values, seconds, dispatches


def _settles(settings: dict[str, Any], seconds: list[float]) -> bool:
    """Returns whether to wait before reading: not once a run took much less than the delegate itself waits."""
    return bool(settings["settle"]) and not (seconds and max(seconds) < _SHORT_SECONDS)


def _fits(model: CompiledModel, signature: str, name: str, shape: Sequence[int], given: Sequence[int]) -> bool:
    """Returns whether the input has the given shape, or accepts it because its signature leaves that dimension open."""
    if list(shape) == list(given):
        return True
    try:
        model.resize_input_tensor_by_name(signature, name, list(given))
    except RuntimeError:
        return False
    return True


def _settle() -> None:
    """Waits until a software driver's threads are idle.

    When an output is read, the delegate waits about three minutes for the run and then fails for good ("Failed to lock custom
    tensor buffer"); a software driver needs longer for a large graph. A run has ended when this process uses no CPU time and
    none of its threads is waiting for a CPU, as they all do for seconds on a busy machine.
    """
    quiet = 0
    while quiet < _QUIET_WINDOWS:
        before = time.process_time()
        time.sleep(_QUIET_SECONDS)
        idle = time.process_time() - before < _QUIET_SECONDS / 10 and not _others_runnable()
        quiet = quiet + 1 if idle else 0


def _others_runnable() -> bool:
    """Returns whether a thread other than this one is running or runnable (proc(5): state R, or D: waiting for a disk)."""
    own = threading.get_native_id()
    for task in Path("/proc/self/task").glob("[0-9]*"):
        try:
            state = (task / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:  # it ended meanwhile
            continue
        if state in "RD" and int(task.name) != own:
            return True
    return False


class _FullAcceleration:
    """Asks the C API whether a model runs on the GPU alone, by compiling it through that API.

    Python's ``is_fully_accelerated`` counts XNNPACK as an accelerator (measured: True with no operator on the GPU); the symbol
    used here does not, and is not in the Python wrapper. Needs the package's folder in LD_LIBRARY_PATH. All models share an
    environment: with one each, the delegate compiles every shader again.
    """

    def __init__(self) -> None:
        self._lib = ctypes.CDLL(str(Path(ai_edge_litert.__file__).parent / "libLiteRt.so"))
        self._environment = ctypes.c_void_p()
        self._created = int(self._lib.LiteRtCreateEnvironment(0, None, ctypes.byref(self._environment))) == 0

    def of(self, path: str) -> bool | None:
        """Returns the answer; None if a call fails."""
        lib = self._lib
        model, options, compiled = (ctypes.c_void_p() for _ in range(3))
        answer = ctypes.c_bool(False)
        steps: tuple[Callable[[], int], ...] = (
            lambda: int(lib.LiteRtCreateModelFromFile(self._environment, path.encode(), ctypes.byref(model))),
            lambda: int(lib.LiteRtCreateOptions(ctypes.byref(options))),
            lambda: int(lib.LiteRtSetOptionsHardwareAccelerators(options, _GPU_BIT)),
            lambda: int(lib.LiteRtCreateCompiledModel(self._environment, model, options, ctypes.byref(compiled))),
            lambda: int(lib.LiteRtCompiledModelIsNonCpuFullyAccelerated(compiled, ctypes.byref(answer))),
        )
        # Not freed: the process ends soon, and the release order of these handles is not documented.
        return answer.value if self._created and all(step() == 0 for step in steps) else None


def _job(
    index: int,
    job: dict[str, Any],
    settings: dict[str, Any],
    environment: Environment,
    full: _FullAcceleration | None,
    work: Path,
) -> dict[str, Any]:
    result: dict[str, Any] = {
        "compiled": False,
        "error": "",
        "compile_seconds": 0.0,
        "run_seconds": [],
        "dispatches": None,
        "outputs": 0,
        "query_full_acceleration": None,
    }
    start = time.perf_counter()
    try:
        if full is not None:
            _mark(settings["mark"], f"{index} query_full_acceleration")
            result["query_full_acceleration"] = full.of(job["model"])
            if result["query_full_acceleration"] and not job["inputs"]:
                return {**result, "compiled": True, "compile_seconds": time.perf_counter() - start}
        # Also for what that API refused: it does not say why.
        start = time.perf_counter()
        _mark(settings["mark"], f"{index} compile")
        model = CompiledModel.from_file(job["model"], options=_options(settings), environment=environment)
        result["compile_seconds"] = time.perf_counter() - start
        result["compiled"] = True
        signature = next(iter(model.get_signature_list()))
        begun = time.perf_counter()
        for position, path in enumerate(job["inputs"]):
            if position and settings["budget"] is not None and time.perf_counter() - begun > settings["budget"]:
                break
            _mark(settings["mark"], f"{index} run")
            # Read and written as verify/arrays.py does: the two must agree.
            with np.load(path) as archive:
                names = json.loads(str(archive["names"]))
                given = {name: archive[f"v{n}"] for n, name in enumerate(names)}
            settle = _settles(settings, result["run_seconds"])
            values, seconds, result["dispatches"] = _run(
                model, signature, given, settings["repeats"], settle, settings["count"]
            )
            members: dict[str, Any] = {f"v{n}": value for n, value in enumerate(values.values())}
            np.savez(work / f"out_{index}_{position}.npz", names=np.array(json.dumps(list(values))), **members)
            result["outputs"] = position + 1
            result["run_seconds"] += seconds
    except Exception as error:
        result["error"] = " ".join(str(error).split()) or type(error).__name__
    return result


def main() -> None:
    """Runs the job file's jobs from its ``first`` on; writes ``result_<i>.json`` and ``out_<i>_<input>.npz`` beside it."""
    path = Path(sys.argv[1])
    settings = json.loads(path.read_text())
    work = path.parent
    # Folders without plug-ins are named: left empty, the wrapper would search the package for NPU vendors and log an error.
    nothing = str(work)
    environment = Environment.create(
        options=EnvironmentOptions(
            runtime_path=str(Path(ai_edge_litert.__file__).parent), compiler_plugin_path=nothing, dispatch_library_path=nothing
        )
    )
    full = _FullAcceleration() if settings["query_full_acceleration"] and settings["accelerator"] == "gpu" else None
    for index in range(settings["first"], len(settings["jobs"])):
        result = _job(index, settings["jobs"][index], settings, environment, full, work)
        _mark(settings["mark"], f"{index} end")
        partial = work / f"result_{index}.part"
        partial.write_text(json.dumps(result))
        partial.replace(work / f"result_{index}.json")


if __name__ == "__main__":
    main()
