"""The conversion as a call from Python."""

from __future__ import annotations

from pathlib import Path

import pytest

from detr2litert.convert.conversion import Request, convert_detector
from detr2litert.host_runtime import quiet
from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.predict.detector import Detector
from detr2litert.verify.gates import Verdict


def test_a_bad_request_leaves_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match="did you mean pixel"):
        convert_detector(Request("pixle", out=tmp_path / "bundle"))
    assert list(tmp_path.iterdir()) == [] and capfd.readouterr() == ("", "")


@pytest.mark.ci
def test_it_converts_and_prints_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quiet, "_silenced", True)  # as silence_native_log at a program's start
    request = Request("pixel", variant="tiny", weights="random", native=False, gpu=False, out=tmp_path / "bundle")
    made = convert_detector(request)
    assert capsys.readouterr() == ("", "")
    assert {gate.gate: gate.verdict for gate in made.evidence.gates}["rewrites"] is Verdict.PASSED
    assert made.folder == tmp_path / "bundle" and made.manifest.weights.random
    with Detector(made.folder) as detector:
        assert len(detector.predict(made.folder / "golden/image.png", threshold=0.0)) == made.manifest.postprocess.num_select
