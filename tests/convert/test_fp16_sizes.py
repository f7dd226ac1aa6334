"""Published sizes through the fp16 gate, with random weights and with weights scaled to published magnitudes; minutes each."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from detr2litert.convert.models.reference import load_reference
from detr2litert.convert.models.settings.picture import preprocess_of
from detr2litert.convert.models.variants import find_variant
from detr2litert.convert.proof.scenes import pictures
from detr2litert.host_runtime.preprocess import preprocess
from detr2litert.rewrites.profile import Protection
from detr2litert.verify.delegate.adapters import Driver
from detr2litert.verify.gates import Verdict
from tests.convert.command import spawn, verdicts
from tests.convert.fp16_graphs import judge_in_fp16
from tests.convert.scaled_weights import SELF_ATTENTION, scale_attention


@pytest.mark.gpu
@pytest.mark.slow
@pytest.mark.parametrize("name", ["nano", "dfine-s"])
def test_random_weights_pass_in_fp16(driver: Driver, fp16_driver: Driver, tmp_path: Path, name: str) -> None:
    outcome = spawn(
        *("run", "--variant", name, "--target", "pixel", "--weights", "random", "--out", name, "--json"), cwd=tmp_path
    )
    assert outcome.code == 0, outcome.stderr
    assert verdicts(outcome.json["gates"])["fp16"] == "passed"


@pytest.mark.gpu
@pytest.mark.slow
@pytest.mark.parametrize("name", ["nano", "dfine-s"])
def test_scaled_weights_pass_in_fp16(fp16_driver: Driver, tmp_path: Path, name: str) -> None:
    reference, _ = load_reference(find_variant(name), "random", None)
    image = torch.from_numpy(preprocess(pictures(())[0].image, preprocess_of(reference.settings)))
    scale_attention(reference.module, image)
    result = judge_in_fp16(reference, image, tmp_path, fp16_driver, Protection.MEASURED)
    assert result.verdict is Verdict.PASSED, (SELF_ATTENTION, result.summary, result.findings)
    print(result.summary)
