"""Conversions with inputs that are not square, letterboxed pictures, and inputs of other channels."""

from __future__ import annotations

from typing import Any

import pytest

from detr2litert.convert.proof.scenes import pictures
from detr2litert.host_runtime.manifest import Manifest
from detr2litert.host_runtime.runner import Runner
from tests.conversions import Made, converted
from tests.convert.command import ALL_PASSED, verdicts

pytestmark = pytest.mark.ci


def made(variant: str, *options: str) -> Made:
    """Without the demo scenes: the demo detectors were trained on square ones and find next to nothing in others.

    And without the native form, which is of the same inputs and outputs.
    """
    without = ("--dataset", "none", "--no-native")
    return converted("--variant", variant, "--target", "pixel", *options, *without, "--json", out="made")


def manifest_of(one: Made) -> Manifest:
    return Manifest.from_json((one.bundle / "manifest.json").read_text())


@pytest.mark.slow  # the letterboxed one below is not square either
@pytest.mark.parametrize(("variant", "size"), [("tiny", (160, 240)), ("dfine-tiny", (160, 224))])
def test_an_input_that_is_not_square(variant: str, size: tuple[int, int]) -> None:
    one = made(variant, "--resolution", "{}x{}".format(*size))
    assert verdicts(one.outcome.json["gates"]) == ALL_PASSED
    manifest = manifest_of(one)
    assert manifest.graphs.a.inputs[0].shape == (1, 3, *size)
    setting = one.outcome.json["settings"]["resolution"]
    assert setting == {"value": list(size), "origin": "requested", "requested": True}


@pytest.mark.parametrize(
    ("variant", "options", "expected"),
    [
        ("tiny", ("--resolution", "160x240", "--set", "fit=letterbox"), {"fit": "letterbox", "fill": (114.0,) * 3}),
        pytest.param(
            "dfine-tiny",
            ("--weights", "random", "--set", "input_channels=1", "--set", "fit=letterbox_top_left", "--set", "fill=mean"),
            {"channels": "L", "mean": (0.0,), "fit": "letterbox_top_left", "fill": (0.0,)},
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "tiny",
            ("--weights", "random", "--set", "input_channels=4"),
            {"channels": "RGBA", "fit": "stretch", "fill": ()},
            marks=pytest.mark.slow,
        ),
    ],
)
def test_other_pictures(variant: str, options: tuple[str, ...], expected: dict[str, Any]) -> None:
    """Without the fp16 gate: no weights were trained for these."""
    one = made(variant, *options, "--no-fp16")
    found = verdicts(one.outcome.json["gates"])
    # Random weights may detect nothing.
    assert found.pop("detections") in ("passed", "not run")
    assert {**found, "detections": "passed"} == {**ALL_PASSED, "fp16": "not run"}
    manifest = manifest_of(one)
    assert {name: getattr(manifest.preprocess, name) for name in expected} == expected
    with Runner(one.bundle) as runner:
        picture = pictures(())[0].image
        assert runner.detect(picture.crop((0, 0, 320, 200)), threshold=0.0).height == 200
