"""The third graph of a chain that runs graph by graph: what it is called with, and detections with masks of what it gives."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

from detr2litert.host_runtime.decode import Detections
from detr2litert.host_runtime.manifest import Manifest
from detr2litert.host_runtime.masks import Mask
from detr2litert.host_runtime.preprocess import preprocess
from detr2litert.host_runtime.runner import Runner
from detr2litert.verify.accuracy import half_precision
from detr2litert.verify.accuracy.half_precision import run_half_precision
from detr2litert.verify.delegate.adapters import Driver
from detr2litert.verify.delegate.run import DelegateRun, Job, Outcome, Running
from detr2litert.verify.gates import GateResult, Verdict
from detr2litert.verify.parity import fp16
from detr2litert.verify.parity.fp16 import Chain, ChainScene, Fp16Limits, check_fp16
from detr2litert.verify.parity.mask_step import MaskStep, decode_with_masks
from detr2litert.verify.parity.numerics import GraphCase

sys.path.append(str(Path(__file__).parents[2] / "host_runtime"))

import masks_bundle

Arrays = Mapping[str, np.ndarray]
THRESHOLD = 0.3
SIZE = (90, 62)
NO_GPU = Driver("none", {}, ())


def picture(seed: int = 3) -> Image.Image:
    colours = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(colours).resize(SIZE, Image.Resampling.NEAREST)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("masks")
    masks_bundle.write_bundle(folder)
    return folder


@pytest.fixture(scope="module")
def manifest(bundle: Path) -> Manifest:
    return Manifest.from_json((bundle / "manifest.json").read_text())


@pytest.fixture(scope="module")
def outputs(bundle: Path) -> Arrays:
    """What the runtime's graph A gives for the picture."""
    with Runner(bundle) as runner:
        return dict(runner.run(preprocess(picture(), runner.bundle.manifest.preprocess)).graph_a)


@pytest.fixture(scope="module")
def wanted(bundle: Path) -> Detections:
    """What the runtime detects, with masks."""
    with Runner(bundle) as runner:
        return runner.detect(picture(), threshold=THRESHOLD)


def computed(model: Path, inputs: Sequence[Arrays]) -> DelegateRun:
    """A run as the delegate's, in this process on the CPU."""
    run = Interpreter(str(model)).get_signature_runner()
    outputs = tuple({name: value.copy() for name, value in run(**one).items()} for one in inputs)
    return DelegateRun(model, "cpu", Outcome.COMPILED, outputs=outputs)


def called(bundle: Path, calls: Sequence[Arrays]) -> tuple[dict[str, Any], ...]:
    return computed(bundle / "graph_m.tflite", calls).outputs


def test_a_chain_of_graphs_detects_what_the_runtime_does(
    bundle: Path, manifest: Manifest, outputs: Arrays, wanted: Detections
) -> None:
    step = MaskStep(manifest, THRESHOLD)
    calls = step.calls(outputs)
    assert len(calls) > 1 and all(call["kept"].shape == (masks_bundle.ROOM,) for call in calls)
    joined = step.joined(outputs, calls, called(bundle, calls))
    assert decode_with_masks(manifest, joined, SIZE, THRESHOLD) == wanted
    assert all(item.mask is not None for item in wanted)
    # Without the third graph's results it is boxes and classes alone.
    assert [item.mask for item in decode_with_masks(manifest, outputs, SIZE, THRESHOLD)] == [None] * len(wanted)


def test_nothing_that_is_detected_is_no_call(manifest: Manifest, outputs: Arrays) -> None:
    step = MaskStep(manifest, 0.999999)
    assert step.calls(outputs) == ()
    assert len(decode_with_masks(manifest, step.joined(outputs, (), ()), SIZE, 0.999999)) == 0
    broken = {**outputs, "boxes": outputs["boxes"] * np.nan}
    assert step.calls(broken) == ()
    with pytest.raises(ValueError, match="NaN"):
        decode_with_masks(manifest, step.joined(broken, (), ()), SIZE, THRESHOLD)


def judged(
    bundle: Path,
    manifest: Manifest,
    expected: Detections,
    monkeypatch: pytest.MonkeyPatch,
    change: float = 0.0,
    broken: bool = False,
) -> GateResult:
    """The fp16 gate with LiteRT's CPU in place of the delegate, whose masks of the pictures are changed."""

    def on_the_cpu(jobs: Sequence[Job], **_options: object) -> Running:
        yield
        ran = computed(jobs[0].model, jobs[0].inputs)
        if ran.model.name == "graph_m.tflite" and len(jobs[0].inputs) > 1:
            if broken:
                return [replace(ran, outcome=Outcome.FAILED, error="out of memory", outputs=())]
            ran = replace(ran, outputs=tuple({"masks": one["masks"] + change} for one in ran.outputs))
        return [ran]

    monkeypatch.setattr(fp16, "start_models", on_the_cpu)
    image = {"image": preprocess(picture(), manifest.preprocess)}
    a = computed(bundle / "graph_a.tflite", [image]).outputs[0]
    step = MaskStep(manifest, Fp16Limits().detections(THRESHOLD).floor)
    one = step.calls(a)[0]
    cases = [
        GraphCase("graph_a", None, bundle / "graph_a.tflite", (image,), (a,)),
        GraphCase("graph_m", None, bundle / "graph_m.tflite", (one,), called(bundle, [one])),
    ]

    def decode(last: Arrays) -> Detections:
        return decode_with_masks(manifest, last, SIZE, step.threshold)

    scene = ChainScene("scene", image, expected, decode, lambda _: Detections((), *SIZE))
    chain = Chain(lambda _: {}, (scene,), Fp16Limits().detections(THRESHOLD), step)
    return check_fp16(cases, chain, gpu=NO_GPU)


def test_the_fp16_gate_compares_masks(
    bundle: Path, manifest: Manifest, wanted: Detections, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = judged(bundle, manifest, wanted, monkeypatch)
    assert right.verdict is Verdict.PASSED, right.summary
    assert f"{len(wanted)} detections matched in 1 image, lowest IoU 1.0000, of masks 1.0000" in right.summary
    wrong = judged(bundle, manifest, wanted, monkeypatch, change=0.1)
    assert wrong.verdict is Verdict.FAILED and "missing" in wrong.summary
    assert {finding.rule for finding in wrong.findings} <= {"detection-missing", "detection-extra"}
    assert any("mask IoU 0." in finding.message for finding in wrong.findings)


def test_a_third_graph_that_does_not_run_on_the_pictures_fails(
    bundle: Path, manifest: Manifest, wanted: Detections, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = judged(bundle, manifest, wanted, monkeypatch, broken=True)
    assert result.verdict is Verdict.FAILED
    (finding,) = result.findings
    assert finding.place == "graph_m: fp16" and "out of memory" in finding.message


def test_many_pictures_have_their_own_masks(bundle: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The accuracy gate's runs in fp16, here on the CPU."""

    monkeypatch.setattr(half_precision, "run_model", lambda model, inputs, **_: computed(model, inputs))
    step = MaskStep(manifest, THRESHOLD)
    chain = half_precision.Chain(bundle / "graph_a.tflite", None, {}, lambda _: {}, bundle / "graph_m.tflite", step)
    seeds = (3, 8, 11)
    found = run_half_precision(
        chain, len(seeds), lambda i: {"image": preprocess(picture(seeds[i]), manifest.preprocess)}, NO_GPU, 60.0
    )
    assert found.error == "" and len(found.outputs) == len(seeds)
    with Runner(bundle) as runner:
        for seed, last in zip(seeds, found.outputs, strict=True):
            assert decode_with_masks(manifest, last, SIZE, THRESHOLD) == runner.detect(picture(seed), threshold=THRESHOLD)


def test_masks_of_another_picture_are_not_the_same(wanted: Detections) -> None:
    """The comparison above can fail: the masks differ from each other, and are neither empty nor full."""
    masks = {item.mask for item in wanted}
    full = [Mask.of(np.full(SIZE[::-1], value)) for value in (False, True)]
    assert len(masks) > 1 and not masks & set(full)
