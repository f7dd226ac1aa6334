"""The original project's own masks, by --oracle."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

from detr2litert.convert.proof.gates.expected import GATE
from detr2litert.convert.proof.outside import OutsideRequest, complete, read_outside
from detr2litert.convert.proof.scenes import Picture
from detr2litert.host_runtime.decode import Detection
from detr2litert.host_runtime.masks import Mask
from detr2litert.verify.gates import Verdict
from detr2litert.verify.parity.detections import DetectionLimits
from tests.convert.proof.original_stub import FAKE, environment_of, reference


@pytest.mark.parametrize("masks", ["on", "off"])
def test_the_masks_of_the_original_project(tmp_path: Path, masks: str) -> None:
    """They are read whether the reference has masks or not, and compared if it has."""
    weights = tmp_path / "weights.pth"
    weights.write_text("weights")
    python = environment_of(tmp_path, "import rfdetr.config\n" + FAKE.replace("{CLASS_NAMES}", "['ball', 'bolt']"))
    judged = [Picture("demo scene 1", Image.new("RGB", (90, 60), "red"))]
    detector = reference("seg-nano", str(weights), masks=masks)
    outside = complete(
        read_outside(OutsideRequest(oracle=python), []), detector, ["ball", "bolt"], judged, 0.5, demo_default=False
    )
    assert outside.expected is not None
    ((row,),) = outside.expected.detections
    wanted = np.zeros((60, 90), bool)
    wanted[2:42, 1:31] = True
    wanted[2, 1] = False
    assert row.mask == Mask.of(wanted)
    for pixels, verdict in ((wanted, Verdict.PASSED), (np.roll(wanted, 6, 0), Verdict.FAILED)):
        found = Detection(1, "bolt", 0.9, row.box, Mask.of(pixels) if masks == "on" else None)
        subject = SimpleNamespace(
            outside=outside,
            reference=SimpleNamespace(
                path=SimpleNamespace(detect=lambda _image, _floor, item=found: SimpleNamespace(items=[item]))
            ),
            manifest=SimpleNamespace(classes=("ball", "bolt")),
            limits=DetectionLimits(),
        )
        expected = GATE.run(cast(Any, subject), lambda text: None)
        assert expected.verdict is (verdict if masks == "on" else Verdict.PASSED), expected.summary
