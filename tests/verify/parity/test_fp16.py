"""The fp16 gate on small models: passes what fp16 can represent, names the place and kind of a fault."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from detr2litert.host_runtime.decode import Detection, Detections
from detr2litert.host_runtime.tflite.writer import ModelWriter
from detr2litert.verify.delegate.adapters import Driver
from detr2litert.verify.delegate.driver import NO_FP16
from detr2litert.verify.delegate.run import DelegateRun, Job, Outcome, Running, run_models, side_by_side, start_models
from detr2litert.verify.gates import GateResult, Verdict
from detr2litert.verify.parity import fp16
from detr2litert.verify.parity.detections import DetectionLimits
from detr2litert.verify.parity.fp16 import Chain, ChainScene, Fp16Limits, check_fp16
from detr2litert.verify.parity.fp16_places import Kind, classify, locate_fp16
from detr2litert.verify.parity.metrics import Difference, difference
from detr2litert.verify.parity.numerics import GraphCase
from detr2litert.verify.report.report import rejudge
from tests.verify.parity.numerics_models import (
    WEIGHTS,
    Arrays,
    C,
    N,
    image,
    reference,
    tensor_named,
    write_lost_output,
    write_net,
)

LIMIT = Fp16Limits().graph


def on_cpu(model: Path, inputs: Arrays | None = None, name: str = "graph_b") -> GraphCase:
    """A case in which only the delegate can be wrong."""
    given = (inputs or image(),)
    return GraphCase(name, None, model, given, run_models([Job(model, given)], accelerator="cpu")[0].outputs)


def chained(path: Path, *steps: tuple[str, str, float], input_shape: tuple[int, ...] = (1, N, C)) -> Path:
    """Operators with a number each, one after another: kind, tensor name and number; the last one is the output."""
    w = ModelWriter()
    last = w.input("x", input_shape)
    for place, (kind, name, number) in enumerate(steps):
        last = w.op(kind, [last, w.constant(f"c{place}", np.array([number], np.float32))], {name: input_shape})
    return w.write(path, [last])


def sample(seed: int = 0) -> Arrays:
    return {"x": image(seed)["x"][None]}


@pytest.mark.gpu
def test_right_net_passes_with_figures(tmp_path: Path, fp16_driver: Driver) -> None:
    model = write_net(tmp_path / "net.tflite", half=True)
    case = GraphCase("graph_a", None, model, (image(),), (reference(image())[0],))
    result = check_fp16([case], gpu=fp16_driver)
    assert result.verdict is Verdict.PASSED and rejudge(result) is Verdict.PASSED and not result.advice
    figures = {(m.subject, m.metric): m for m in result.measurements}
    found = figures["graph_a / boxes: fp16 vs PyTorch", "correlation"]
    assert found.limit == LIMIT and LIMIT < found.value < 1
    assert figures["graph_a / boxes: fp16 vs PyTorch", "max_abs_error"].value > 1e-4  # it did compute in fp16
    assert result.data["adapter"] and "2 of 2 outputs within limits" in result.summary
    json.dumps(result.to_json())


def test_without_such_an_adapter_it_is_not_run() -> None:
    result = check_fp16([], gpu=NO_FP16)
    assert result.verdict is Verdict.NOT_RUN
    assert "no adapter that computes in fp16" in result.summary and "--fp16" in result.advice


@pytest.mark.gpu
def test_overflow_is_named(tmp_path: Path, fp16_driver: Driver) -> None:
    model = chained(
        tmp_path / "m.tflite",
        *(("MUL", "net.a||_mul;", 100.0), ("ADD", "net.a||_add;", 1.0)),
        *(("MUL", "net.norm|protect|_square;", 1000.0), ("ADD", "net.norm||_shift;", 3.0)),
        *(("MUL", "net.b||_mul_1;", 1e-4), ("ADD", "boxes", 0.5)),
    )
    result = check_fp16([on_cpu(model, sample())], gpu=fp16_driver)
    assert result.verdict is Verdict.FAILED
    (finding,) = result.findings
    assert finding.rule == "fp16-overflow" and "module net.norm, node square, made by protect" in finding.message
    assert "not finite" in finding.message and "fp16's largest is 65504" in finding.message
    (place,) = result.data["located"]
    assert place["name"] == "net.norm|protect|_square;" and place["kind"] == "overflow" and place["graph"] == "graph_b"


@pytest.mark.gpu
def test_cancellation_is_distinguished_from_overflow(tmp_path: Path, fp16_driver: Driver) -> None:
    w = ModelWriter()
    x = w.input("x", (1, N, C))
    gain, large = w.constant("gain", np.array([1.5], np.float32)), w.constant("large", np.array([3000], np.float32))
    high = w.op("ADD", [w.op("MUL", [x, gain], {"net||_mul;": (1, N, C)}), large], {"net.far||_add;": (1, N, C)})
    # A reader in between, so that no compiler fuses the two.
    clipped = w.op("MAXIMUM", [high, w.constant("zero", np.array([0], np.float32))], {"net.far||_relu;": (1, N, C)})
    w.op("SUB", [clipped, large], {"boxes": (1, N, C)})
    result = check_fp16([on_cpu(w.write(tmp_path / "m.tflite", ["boxes"]), sample())], gpu=fp16_driver)
    (finding,) = result.findings
    assert finding.rule == "fp16-precision" and "times that of its inputs" in finding.message


@pytest.mark.gpu
def test_file_that_is_wrong_in_fp32_too_is_not_an_fp16_fault(tmp_path: Path, fp16_driver: Driver) -> None:
    model = write_lost_output(tmp_path / "m.tflite")
    result = check_fp16([on_cpu(model)], gpu=fp16_driver)
    (finding,) = result.findings
    assert finding.rule == "fp16" and "differs in fp32 on this adapter as well" in finding.message


@pytest.mark.gpu
def test_tap_that_is_wrong_in_fp32_too_is_no_evidence(tmp_path: Path, fp16_driver: Driver) -> None:
    """A constant added to a low-rank tensor is wrong at any precision, so it is no evidence about fp16."""
    w = ModelWriter()
    linear = w.op("FULLY_CONNECTED", [w.input("x", (N, C)), w.constant("w1", WEIGHTS["w1"]), w.constant("b1", WEIGHTS["b1"])],
                  {"net||_linear;": (N, C)})  # fmt: skip
    w.op("ADD", [linear, w.constant("pos", 3 * image(9)["x"][None])], {"boxes": (1, N, C)})
    model = w.write(tmp_path / "m.tflite", ["boxes"])
    fault = locate_fp16(model, image(), "boxes", fp16_driver, LIMIT, 8, 300.0, tmp_path)
    assert "differs in fp32 as well" in fault.summary
    assert [index for index, _ in fault.drift] == [0] and tensor_named(model, "net||_linear;") == 3


@pytest.mark.gpu
def test_graph_that_does_not_run_is_a_failure(tmp_path: Path, fp16_driver: Driver) -> None:
    case = on_cpu(write_net(tmp_path / "net.tflite"))
    foreign = GraphCase("graph_a", None, case.shipped, ({"y": image()["x"]},), case.expected)
    result = check_fp16([foreign], gpu=fp16_driver)
    assert result.verdict is Verdict.FAILED and "but ['y'] were given" in result.findings[0].message


def test_kinds_of_fault() -> None:
    rng = np.random.default_rng(0)
    expected = rng.standard_normal((8, 64)).astype(np.float32)

    def kind(seen: np.ndarray, expected: np.ndarray, before: float) -> Kind:
        return classify(seen, expected, difference(seen, expected), before)[0]

    holed = expected.copy()
    holed[2] = 0
    assert kind(holed, expected, 1e-3) is Kind.OVERFLOW  # one row of zeros, the result of an infinite variance
    assert kind(np.where(expected > 2, np.inf, expected), expected, 1e-3) is Kind.OVERFLOW
    assert kind(np.minimum(expected * 1e5, 65504), expected * 1e5, 1e-3) is Kind.OVERFLOW
    noise = 0.05 * rng.standard_normal(expected.shape).astype(np.float32)
    assert kind(expected + noise, expected, 1e-4) is Kind.PRECISION
    assert kind(expected + noise, expected, 0.03) is Kind.COMPOUNDING
    # True zeros, and values below fp16's range, are not holes.
    rectified = np.maximum(expected, 0)
    assert kind(rectified + np.abs(noise) * (rectified > 0), rectified, 0.03) is Kind.COMPOUNDING
    lost = classify(np.zeros(4), np.full(4, 1e-6), Difference(0.0, 1.0, 1e-6, 1e-6), 0.5)
    assert lost[0] is Kind.COMPOUNDING


@pytest.mark.gpu
def test_a_part_that_hardly_varies_is_distinguished_from_a_lossy_step(tmp_path: Path, fp16_driver: Driver) -> None:
    """Near 100 fp16 has steps of a sixteenth, which matters only once the channel near 100 is sliced out."""
    w = ModelWriter()
    spread = np.array([0.05] + [500.0] * (C - 1), np.float32)
    scaled = w.op("MUL", [w.input("x", (1, N, C)), w.constant("s", spread)], {"scaled": (1, N, C)})
    moved = w.op("ADD", [scaled, w.constant("m", np.float32([100.0] + [0.0] * (C - 1)))], {"moved": (1, N, C)})
    begin, size = w.constant("b", np.zeros(3, np.int32)), w.constant("z", np.array([1, N, 1], np.int32))
    model = w.write(tmp_path / "part.tflite", [w.op("SLICE", [moved, begin, size], {"y": (1, N, 1)})])
    (finding,) = check_fp16([on_cpu(model, sample())], gpu=fp16_driver).findings
    assert finding.rule == "fp16-precision" and "SLICE computes nothing" in finding.message, finding


NOTHING = Detections((), 100, 100)


class Pair:
    """Two graphs of one operator with a host step between, and pictures whose one detection is their result."""

    def __init__(self, folder: Path) -> None:
        self.a = chained(folder / "a.tflite", ("MUL", "score", 0.5))
        self.b = chained(folder / "b.tflite", ("MUL", "boxes", 4.0))

    def check(
        self,
        driver: Driver,
        *references: float,
        gain: float = 1.0,
        scores: tuple[float, ...] = (0.8,),
        more: Detections = NOTHING,
        reorder: Callable[[Arrays], Detections] = lambda _: NOTHING,
    ) -> GateResult:
        def decode(outputs: Arrays) -> Detections:
            return Detections((*self.decode(outputs).items, *more.items), 100, 100)

        given = {"x": np.full((1, N, C), 0.5, np.float32)}
        scenes = tuple(
            ChainScene(f"scene {i}", {"x": np.full((1, N, C), score, np.float32)}, detections(reference), decode, reorder)
            for i, (score, reference) in enumerate(zip(scores, references, strict=True))
        )
        chain = Chain(lambda a: {"x": gain * a["score"]}, scenes, Fp16Limits().detections(0.3))
        return check_fp16([on_cpu(self.a, given, "graph_a"), on_cpu(self.b, given)], chain, gpu=driver)

    def check_without_gpu(
        self, monkeypatch: pytest.MonkeyPatch, run: DelegateRun | None, host_step: Callable[[Arrays], Arrays]
    ) -> GateResult:
        """The same with LiteRT's CPU in place of the delegate, or with every run ending like ``run``."""

        def on_the_cpu(jobs: Sequence[Job], **_options: object) -> Running:
            ran = yield from start_models(jobs, accelerator="cpu")
            return ran if run is None else [replace(run, outputs=one.outputs[:1]) for one in ran]

        given = {"x": np.full((1, N, C), 0.5, np.float32)}
        cases = [on_cpu(self.a, given, "graph_a"), on_cpu(self.b, given)]
        monkeypatch.setattr(fp16, "start_models", on_the_cpu)
        monkeypatch.setattr(fp16, "run_models", lambda jobs, **options: side_by_side(on_the_cpu(jobs, **options))[0])
        scene = ChainScene("scene", {"x": np.full((1, N, C), 0.8, np.float32)}, detections(0.8), self.decode, lambda _: NOTHING)
        chain = Chain(host_step, (scene,), Fp16Limits().detections(0.3))
        return check_fp16(cases, chain, gpu=Driver("none", {}, ()))

    @staticmethod
    def decode(outputs: Arrays) -> Detections:
        score = float(outputs["boxes"].flat[0]) / 2
        if np.isnan(score):
            raise ValueError("NaN")
        return detections(score)


def detections(score: float) -> Detections:
    found = (Detection(0, "star", score, (0.0, 0.0, 10.0, 10.0)),) if score > 0.28 else ()
    return Detections(found, 100, 100)


def test_a_run_that_stopped_before_the_pictures_does_not_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = Pair(tmp_path)
    whole = pair.check_without_gpu(monkeypatch, None, lambda a: {"x": a["score"]})
    assert whole.verdict is Verdict.PASSED and "1 detections matched" in whole.summary
    stopped = DelegateRun(pair.a, "gpu", Outcome.FAILED, error="Failed to lock custom tensor buffer")
    result = pair.check_without_gpu(monkeypatch, stopped, lambda a: {"x": a["score"]})
    assert result.verdict is Verdict.FAILED and "graph_a did not run" in result.summary
    assert all("Failed to lock" in finding.message for finding in result.findings)


def test_a_host_step_that_does_not_fit_is_reported_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def misfit(_a: Arrays) -> Arrays:
        raise ValueError("op 11 'mul': shapes do not broadcast")

    result = Pair(tmp_path).check_without_gpu(monkeypatch, None, misfit)
    (finding,) = result.findings
    assert result.verdict is Verdict.FAILED and "op 11 'mul'" in finding.message and "host gate" in finding.advice


@pytest.mark.gpu
def test_chain_is_judged_by_its_detections(tmp_path: Path, fp16_driver: Driver) -> None:
    pair = Pair(tmp_path)
    good = pair.check(fp16_driver, 0.8, 0.0, scores=(0.8, 0.1))
    assert good.verdict is Verdict.PASSED and "1 detections matched in 1 image" in good.summary
    assert good.data["detections"]["verdict"] == "passed" and set(good.data["detections"]["scenes"]) == {"scene 0"}
    # Each graph alone is right; what is lost between them shows here only.
    lost = pair.check(fp16_driver, 0.8, gain=0.1)
    assert lost.verdict is Verdict.FAILED and "1 missing" in lost.summary and lost.findings[0].rule == "detection-missing"
    assert pair.check(fp16_driver, 0.8, gain=float("nan")).verdict is Verdict.FAILED
    assert pair.check(fp16_driver, 0.83).verdict is Verdict.FAILED  # 0.03 apart
    assert pair.check(fp16_driver, 0.81).verdict is Verdict.PASSED
    nothing = pair.check(fp16_driver, 0.0, scores=(0.1,))
    assert nothing.verdict is Verdict.PASSED and "detects nothing" in nothing.summary


@pytest.mark.gpu
def test_one_more_detection_is_allowed_if_the_order_of_the_proposals_explains_it(tmp_path: Path, fp16_driver: Driver) -> None:
    pair = Pair(tmp_path)
    second = Detections((Detection(0, "star", 0.54, (50.0, 50.0, 80.0, 80.0)),), 100, 100)
    invented = pair.check(fp16_driver, 0.8, more=second)
    assert invented.verdict is Verdict.FAILED and "0 missing, 1 extra" in invented.summary
    assert "scene 0: extra star 0.540" in invented.advice and "fp16 moves this detection" in invented.advice
    asked = []

    def reorder(outputs: Arrays) -> Detections:
        asked.append(float(outputs["score"].flat[0]))
        return second

    tied = pair.check(fp16_driver, 0.8, more=second, reorder=reorder)
    assert tied.verdict is Verdict.PASSED and "1 more that PyTorch finds too" in tied.summary
    assert asked == [pytest.approx(0.4, abs=1e-3)]  # graph A's own output in fp16
    lost = pair.check(fp16_driver, 0.86, reorder=lambda _: detections(0.8))
    assert lost.verdict is Verdict.FAILED and "1 missing, 0 extra" in lost.summary


def test_limits_are_the_issues_own() -> None:
    expected = DetectionLimits(0.5, iou=0.98, score=0.02, mask_iou=0.95, keypoint=0.02, corner=0.45, outlier=0.05)
    assert Fp16Limits().detections(0.5) == expected
