"""Targets and layouts place the selected tokens' tail and protect norms, which changes no detection."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest

from detr2litert.convert.compiler import compile_detector
from detr2litert.convert.models.classes import resolve_classes
from detr2litert.convert.models.reference import load_reference
from detr2litert.convert.models.variants import VARIANTS
from detr2litert.convert.proof.reference_path import ReferencePath
from detr2litert.convert.proof.scenes import pictures
from detr2litert.convert.targets import TARGETS, find_target
from detr2litert.graphs.partition import Layout
from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.manifest import Manifest
from detr2litert.host_runtime.runner import Runner
from detr2litert.rewrites import program
from detr2litert.rewrites.trace import trace
from detr2litert.verify.delegate.adapters import Driver
from detr2litert.verify.parity.detections import DetectionCase, DetectionLimits, compare_detections
from tests.conversions import Made, converted
from tests.convert.command import DEMO_PASSED, FEWER_SCENES, verdicts

pytestmark = pytest.mark.ci


@pytest.fixture(scope="module")
def desktop(driver: Driver) -> Made:
    """The demo detector for a target that computes in fp32, not judged in fp16."""
    return converted("--variant", "tiny", "--target", "desktop", "--no-native", "--no-fp16", *FEWER_SCENES, "--json", out="b")


@pytest.fixture(params=[pytest.param("desktop", marks=pytest.mark.slow), "tiny_tail"])
def other(request: pytest.FixtureRequest) -> Path:
    """The demo detector made in another way, all gates passed but those with an fp16 side where that is left out."""
    made: Made = request.getfixturevalue(request.param)
    left_out = {} if request.param == "tiny_tail" else {"fp16": "not run", "accuracy": "not run"}
    assert verdicts(made.outcome.json["gates"]) == DEMO_PASSED | left_out
    return made.bundle


def ops(bundle: Path) -> set[str]:
    return {op.op for op in Manifest.from_json((bundle / "manifest.json").read_text()).host_step.ops}


def test_the_tail_is_where_the_layout_places_it(tiny: Made, tiny_tail: Made) -> None:
    assert ops(tiny.bundle) <= {"reshape", "topk"}
    assert ops(tiny_tail.bundle) >= {"topk", "gather", "linear", "layer_norm"}


@pytest.mark.slow
def test_desktop_places_it_as_pixel(tiny: Made, desktop: Made) -> None:
    assert ops(tiny.bundle) == ops(desktop.bundle)


def test_the_shipped_bundles_detect_the_same(tiny: Made, other: Path) -> None:
    """Within the detection gate's own limits: a tail in graph B has float16 weights, one on the host float32."""
    limits = DetectionLimits(threshold=0.3)
    matched = 0
    with Runner(tiny.bundle) as pixel, Runner(other) as runner:
        for scene in pictures(()):
            sides = [side.detect(scene.image, threshold=limits.floor) for side in (pixel, runner)]
            rows = compare_detections(DetectionCase(scene.name, sides[0].items, sides[1].items), limits)
            assert {row.status for row in rows} <= {"matched", "borderline"}
            matched += sum(row.status == "matched" for row in rows)
    assert matched >= 10


@pytest.mark.parametrize("variant", ["tiny", pytest.param("dfine-tiny", marks=pytest.mark.slow)])
def test_every_target_and_layout_computes_the_same(variant: str) -> None:
    """To 1e-5 of each output's range, in float32."""
    reference, _ = load_reference(VARIANTS[variant], None, None)
    classes = resolve_classes(reference.variant, reference.logit_columns, None, None)
    path = ReferencePath(reference, classes.names)
    image = path.tensor(pictures(())[1].image)
    profiles = {name: replace(target.profile, native_form=False) for name, target in TARGETS.items()}
    profiles |= {layout.value: replace(profiles["pixel"], layout=layout) for layout in Layout}
    # PyTorch's own trace, half of a compilation, is the same for all.
    exported = trace(reference.exported, (reference.example_input(),))
    with patch.object(program, "trace", lambda *_: exported):
        values = {name: compile_detector(reference, profile).evaluate(image) for name, profile in profiles.items()}
    for name, found in values.items():
        for output in ("boxes", "logits"):
            expected = values["pixel"][output]
            np.testing.assert_allclose(found[output], expected, atol=1e-5 * float(np.abs(expected).max()), err_msg=name)


def test_find_target() -> None:
    assert find_target("Pixel") is TARGETS["pixel"]
    with pytest.raises(UserError, match="unknown target 'galxy': did you mean galaxy"):
        find_target("galxy")
