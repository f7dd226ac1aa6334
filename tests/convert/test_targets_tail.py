"""A target chooses where the selected tokens' tail runs, which changes no detection."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from detr2litert.convert.compiler import compile_detector
from detr2litert.convert.models.classes import resolve_classes
from detr2litert.convert.models.reference import load_reference
from detr2litert.convert.models.variants import VARIANTS
from detr2litert.convert.proof.reference_path import ReferencePath
from detr2litert.convert.proof.scenes import pictures
from detr2litert.convert.targets import TARGETS, find_target
from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.manifest import Manifest
from detr2litert.host_runtime.runner import Runner
from detr2litert.verify.delegate.adapters import Driver
from detr2litert.verify.parity.detections import DetectionCase, DetectionLimits, compare_detections
from tests.conversions import Made, converted
from tests.convert.command import DEMO_PASSED, verdicts

pytestmark = pytest.mark.ci


@pytest.fixture(scope="module", params=["galaxy", "desktop"])
def other(request: pytest.FixtureRequest, driver: Driver) -> Path:
    """The demo detector for a target with the tail in graph B, all gates passed."""
    made = converted("--variant", "tiny", "--target", request.param, "--json", out="b")
    assert verdicts(made.outcome.json["gates"]) == DEMO_PASSED
    return made.bundle


def ops(bundle: Path) -> set[str]:
    return {op.op for op in Manifest.from_json((bundle / "manifest.json").read_text()).host_step.ops}


def test_the_tail_is_where_the_target_places_it(tiny: Made, other: Path) -> None:
    assert {"topk", "gather", "linear", "layer_norm"} <= ops(tiny.bundle)
    assert {"topk", "gather"} <= ops(other)
    assert not {"linear", "layer_norm"} & ops(other)


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


@pytest.mark.parametrize("variant", ["tiny", "dfine-tiny"])
def test_tail_on_the_host_equals_tail_in_the_graph(variant: str) -> None:
    """To 1e-5 of each output's range, in float32, for every target."""
    reference, _ = load_reference(VARIANTS[variant], None, None)
    classes = resolve_classes(reference.variant, reference.logit_columns, None, None)
    path = ReferencePath(reference, classes.names)
    image = path.tensor(pictures(())[1].image)
    values = {name: compile_detector(reference, target.profile).evaluate(image) for name, target in TARGETS.items()}
    for name in ("galaxy", "desktop"):
        for output in ("boxes", "logits"):
            expected = values["pixel"][output]
            np.testing.assert_allclose(values[name][output], expected, atol=1e-5 * float(np.abs(expected).max()))


def test_find_target() -> None:
    assert find_target("Pixel") is TARGETS["pixel"]
    with pytest.raises(UserError, match="unknown target 'galxy': did you mean galaxy"):
        find_target("galxy")
