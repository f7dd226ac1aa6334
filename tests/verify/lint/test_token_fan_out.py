"""The rule ``token-fan-out`` on the smallest graphs that it is about, on paper and on the delegate at hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from convert.targets import TARGETS
from verify.delegate.adapters import Driver
from verify.delegate.run import Job, run_models
from verify.gates import Verdict
from verify.lint.op_lint import check_lint, lint_file
from verify.lint.op_support import load_support
from verify.tflite.writer import ModelWriter

TOKENS, MAP = (1, 6, 8), (1, 2, 3, 8)
Shape = tuple[int, ...]
Build = Callable[[ModelWriter, Shape], Sequence[str]]


def _made(w: ModelWriter, shape: Shape) -> str:
    return w.op("MUL", [w.input("x", shape), w.input("z", shape)], {"t": shape})


def output_and_read(w: ModelWriter, shape: Shape) -> Sequence[str]:
    tokens = _made(w, shape)
    return [w.op("SIN", [tokens], {"y": shape}), tokens]


def two_readers(w: ModelWriter, shape: Shape) -> Sequence[str]:
    tokens = _made(w, shape)
    return [w.op("SIN", [tokens], {"y": shape}), w.op("COS", [tokens], {"u": shape})]


def leaf(w: ModelWriter, shape: Shape) -> Sequence[str]:
    return [_made(w, shape)]


def one_reader(w: ModelWriter, shape: Shape) -> Sequence[str]:
    return [w.op("SIN", [_made(w, shape)], {"y": shape})]


def one_reader_twice(w: ModelWriter, shape: Shape) -> Sequence[str]:
    tokens = _made(w, shape)
    return [w.op("MUL", [tokens, tokens], {"y": shape})]


def input_fans_out(w: ModelWriter, shape: Shape) -> Sequence[str]:
    x = w.input("x", shape)
    return [w.op("SIN", [x], {"y": shape}), w.op("COS", [x], {"u": shape})]


def constant_fans_out(w: ModelWriter, shape: Shape) -> Sequence[str]:
    half = w.constant("h", np.linspace(0, 1, int(np.prod(shape)), dtype=np.float16).reshape(shape))
    unpacked = w.op("DEQUANTIZE", [half], {"c": shape})
    x = w.input("x", shape)
    return [w.op("ADD", [x, unpacked], {"y": shape}), w.op("MUL", [x, unpacked], {"u": shape})]


WRONG: tuple[Build, ...] = (output_and_read, two_readers)
RIGHT: tuple[Build, ...] = (leaf, one_reader, one_reader_twice, input_fans_out, constant_fans_out)


def write(build: Build, shape: Shape, folder: Path) -> Path:
    writer = ModelWriter()
    return writer.write(folder / f"{build.__name__}{len(shape)}.tflite", build(writer, shape))


def fired(model: Path) -> list[str]:
    return [f.rule for f in lint_file(model, add=["token-fan-out"]) if f.rule == "token-fan-out"]


@pytest.mark.parametrize("build", WRONG, ids=lambda b: b.__name__)
def test_fires_on_the_smallest_failing_graphs(build: Build, tmp_path: Path) -> None:
    assert fired(write(build, TOKENS, tmp_path)) == ["token-fan-out"]


@pytest.mark.parametrize("build", RIGHT, ids=lambda b: b.__name__)
def test_does_not_fire_on_what_is_in_no_danger(build: Build, tmp_path: Path) -> None:
    assert fired(write(build, TOKENS, tmp_path)) == []


@pytest.mark.parametrize("shape", [MAP, (6, 8), (2, 3, 8), (1, 1, 8)], ids=str)
@pytest.mark.parametrize("build", WRONG, ids=lambda b: b.__name__)
def test_does_not_fire_on_other_shapes(build: Build, shape: Shape, tmp_path: Path) -> None:
    assert fired(write(build, shape, tmp_path)) == []


def test_says_how_the_tensor_is_used(tmp_path: Path) -> None:
    (first,) = lint_file(write(output_and_read, TOKENS, tmp_path), add=["token-fan-out"])
    assert first.message == "token tensor [1, 6, 8] is an output and is read by 1 operator" and "(t)" in first.place
    (second,) = lint_file(write(two_readers, TOKENS, tmp_path), add=["token-fan-out"])
    assert second.message == "token tensor [1, 6, 8] is read by 2 operators"
    assert "lift_tokens" in second.advice and "litert-samples" in second.advice


def test_fails_the_gate_of_targets_with_the_fault_alone(tmp_path: Path) -> None:
    model = write(two_readers, TOKENS, tmp_path)
    for target in TARGETS.values():
        verdict = check_lint({"graph": model}, add=target.lint_rules).verdict
        # A target that checks the rule is one whose profile keeps it.
        assert (verdict is Verdict.FAILED) == ("token-fan-out" in target.lint_rules) == target.profile.token_maps
    assert "token-fan-out" in TARGETS["pixel"].lint_rules


def test_the_table_tells_what_was_published_from_what_was_measured() -> None:
    row = next(row for row in load_support().rules if row.rule == "token-fan-out")
    assert row.severity == "wrong" and not row.default
    assert "published for Mali" in row.evidence and "Not reproduced on WebGPU" in row.evidence


@pytest.mark.gpu
def test_webgpu_does_not_have_the_fault(driver: Driver, tmp_path: Path) -> None:
    models = [write(build, shape, tmp_path) for build in WRONG for shape in (TOKENS, MAP)]
    rng = np.random.default_rng(3)
    jobs = []
    for model, shape in zip(models, (TOKENS, MAP) * len(WRONG), strict=True):
        values = {name: rng.standard_normal(shape).astype(np.float32) for name in ("x", "z")}
        jobs.append(Job(model, (values,)))
    on_gpu, on_cpu = run_models(jobs, driver=driver, timeout=120), run_models(jobs, accelerator="cpu")
    for gpu, cpu in zip(on_gpu, on_cpu, strict=True):
        assert gpu.fully_on_gpu and cpu.ok
        for name, value in cpu.outputs[0].items():
            np.testing.assert_allclose(gpu.outputs[0][name], value, atol=1e-3)  # the delegate's sine is good to 2e-4
