"""Running models in a child process: outputs, refusals, crashes, time limits, and a machine without an adapter."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from detr2litert.host_runtime.tflite.writer import ModelWriter
from detr2litert.verify.delegate import run as delegate
from detr2litert.verify.delegate.adapters import Driver
from detr2litert.verify.delegate.run import Job, Outcome, run_model, run_models
from detr2litert.verify.delegate.stderr_log import read_log, split_log

SHAPE = (1, 4, 4, 8)


@pytest.fixture
def adder(tmp_path: Path) -> Path:
    w = ModelWriter()
    w.op("ADD", [w.input("in/put:0", SHAPE), w.constant("c", np.ones(SHAPE, np.float32))], {"y": SHAPE})
    return w.write(tmp_path / "adder.tflite", ["y"])


@pytest.fixture
def refused(tmp_path: Path) -> Path:
    w = ModelWriter()
    five = w.op(
        "RESHAPE", [w.input("x", SHAPE), w.constant("s", np.array([1, 2, 2, 4, 8], np.int32))], {"five": (1, 2, 2, 4, 8)}
    )
    w.op("ADD", [five, five], {"y": (1, 2, 2, 4, 8)})
    return w.write(tmp_path / "refused.tflite", ["y"])


@pytest.fixture
def killer(tmp_path: Path) -> Path:
    w = ModelWriter()
    w.op("BATCH_MATMUL", [w.input("x", (1, 8, 8)), "x"], {"y": (1, 8, 8)})
    return w.write(tmp_path / "killer.tflite", ["y"])


@pytest.mark.gpu
def test_several_inputs_on_the_gpu(adder: Path, driver: Driver) -> None:
    x = np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32)
    run = run_model(adder, [{"in/put:0": x}, {"in/put:0": -x}], driver=driver, query_full_acceleration=True, repeats=2)
    assert run.outcome is Outcome.COMPILED and run.fully_on_gpu and run.partitions == 1
    assert run.non_cpu_fully_accelerated is True
    assert run.adapter and not run.error_lines and run.ops_on_cpu is None
    assert len(run.run_seconds) == 4 and run.compile_seconds > 0
    np.testing.assert_allclose(run.outputs[0]["y"], x + 1, atol=1e-6)
    np.testing.assert_allclose(run.outputs[1]["y"], 1 - x, atol=1e-6)


def test_cpu_needs_no_driver(adder: Path) -> None:
    run = run_model(adder, [{"in/put:0": np.zeros(SHAPE, np.float32)}], accelerator="cpu")
    assert run.ok and run.partitions == 0 and not run.fully_on_gpu
    np.testing.assert_array_equal(run.outputs[0]["y"], 1)


@pytest.mark.gpu
def test_refusal_names_operator_reason_and_tensor(refused: Path, driver: Driver) -> None:
    run = run_model(refused, driver=driver)
    assert run.outcome is Outcome.REFUSED and not run.fully_on_gpu and run.partitions == 0
    assert ("RESHAPE", "five") in {(op.op, op.tensor) for op in run.refused}
    assert run.ops_on_gpu == 0 and run.ops_on_cpu == 2
    assert "Some ops are not accelerated" in run.error


@pytest.mark.gpu
def test_a_crash_is_a_result_and_the_next_model_still_runs(adder: Path, killer: Path, driver: Driver) -> None:
    first, second, third = run_models([Job(adder), Job(killer), Job(adder)], driver=driver)
    assert first.ok and third.ok
    assert second.outcome is Outcome.DIED and "code 1" in second.error and second.death == "exit code 1"
    assert any("Check failed" in line for line in second.error_lines)


@pytest.mark.gpu
def test_time_limit(adder: Path, driver: Driver) -> None:
    run = run_model(adder, driver=driver, timeout=0.05)
    assert run.outcome is Outcome.TIMED_OUT and "time limit" in run.error


def test_no_driver_is_no_adapter(adder: Path) -> None:
    assert run_model(adder).outcome is Outcome.NO_ADAPTER


def test_driver_that_finds_nothing_is_no_adapter(adder: Path, tmp_path: Path) -> None:
    nowhere = str(tmp_path / "none.json")
    run = run_model(adder, driver=Driver("environment", {"VK_DRIVER_FILES": nowhere, "VK_ICD_FILENAMES": nowhere}, ()))
    assert run.outcome is Outcome.NO_ADAPTER


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"x": np.zeros(SHAPE, np.float32)}, "the model's inputs are"),
        ({"in/put:0": np.zeros((1, 2), np.float32)}, "float32[1, 4, 4, 8]"),
        ({"in/put:0": np.zeros(SHAPE, np.int32)}, "but int32"),
    ],
)
def test_inputs_that_do_not_fit(adder: Path, given: dict[str, np.ndarray], message: str) -> None:
    run = run_model(adder, [given], accelerator="cpu")
    assert run.outcome is Outcome.FAILED and message in run.error


def test_unreadable_model(tmp_path: Path) -> None:
    (tmp_path / "empty.tflite").write_bytes(b"")
    run = run_model(tmp_path / "empty.tflite", accelerator="cpu")
    assert run.outcome is Outcome.FAILED and run.error


def test_a_name_that_is_not_utf_8_runs_and_is_in_every_message(adder: Path, tmp_path: Path) -> None:
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.tflite"))
    run = run_model(adder.rename(odd), [{"in/put:0": np.zeros(SHAPE, np.float32)}], accelerator="cpu")
    assert run.ok and run.model == odd
    missing = run_model(tmp_path / "none.tflite", accelerator="cpu")
    assert f"Could not open '{tmp_path / 'none.tflite'}'" in missing.log and "model_0" not in missing.log + missing.error


@pytest.mark.gpu
@pytest.mark.parametrize("message", ["boom x", "7 compile", "0 end"])
def test_an_operator_named_like_the_mark_is_a_name(message: str, driver: Driver, tmp_path: Path) -> None:
    w = ModelWriter()
    w.op(f"CUSTOM:\n@@detr2litert {message}\n", [w.input("x", SHAPE)], {"y": SHAPE})
    model = w.write(tmp_path / "marked.tflite", ["y"])
    for run in run_models([Job(model), Job(model)], driver=driver):
        assert run.outcome is Outcome.FAILED and f"@@detr2litert {message}" in run.log


def test_a_mark_followed_by_anything_else_does_not_split() -> None:
    log = "before\n@@m 0 compile\none\n@@m boom x\n@@m 0\ntwo\n@@m 0 run\nthree\n@@m 0 compile\nfour\n"
    assert split_log(log, "@@m") == {0: {"compile": "one\n@@m boom x\n@@m 0\ntwo\nfour\n", "run": "three\n"}}


def test_signal_is_named() -> None:
    assert (delegate._death(-11), delegate._death(-4), delegate._death(-40)) == ("SIGSEGV", "SIGILL", "signal 40")
    assert delegate._death(1) == "exit code 1"


@pytest.mark.parametrize(
    ("code", "error", "death"),
    [
        (-11, "the process died of SIGSEGV", "SIGSEGV"),
        (3, "the process exited with code 3", "exit code 3"),
        (None, "the time limit was reached and the process was killed", ""),
    ],
)
def test_the_end_of_a_process_is_described_and_recorded(code: int | None, error: str, death: str) -> None:
    run = delegate._lost(Job(Path("m.tflite")), "gpu", code, {})
    assert (run.error, run.death) == (error, death)
    assert run.outcome is (Outcome.TIMED_OUT if code is None else Outcome.DIED)


def test_log_of_a_partly_delegated_model() -> None:
    facts = read_log(
        {
            "compile": "ERROR: Following operations are not supported by GPU delegate:\n"
            "GATHER_ND: Operation is not supported.\n"
            'TRANSPOSE: Tensor "x0" has bad input dims size: 6.\n'
            "CUSTOM Resampler: src.b != warp.b\n"
            "RESHAPE: Tensor dimensions must be less than 5. main.W;11\n"
            "10 operations will run on the GPU, and the remaining 6 operations will run on the CPU.\n"
            "I0000 00:00:1.0 1 delegate_kernel.cc:984] Initializing WebGPU-based API from graph.\n",
            "run": "E0000 00:00:1795225299.16 5352 environment.cc:105] Validation error: Texture size\n",
            "query_full_acceleration": "I0000 00:00:1.0 1 delegate_kernel.cc:984] Initializing WebGPU-based API from graph.\n",
        }
    )
    assert [(op.op, op.tensor) for op in facts["refused"]] == [
        ("GATHER_ND", ""),
        ("TRANSPOSE", "x0"),
        ("CUSTOM:Resampler", ""),
        ("RESHAPE", "main.W;11"),
    ]
    assert facts["refused"][2].reason == "src.b != warp.b"
    assert (facts["ops_on_gpu"], facts["ops_on_cpu"], facts["partitions"]) == (10, 6, 1)
    assert len(facts["error_lines"]) == 2
