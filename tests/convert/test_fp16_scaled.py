"""Norms that overflow in fp16 are detected on the delegate and named; in the fp16-safe form the same weights pass.

The demo detector's weights are scaled to magnitudes published for trained RF-DETR (``scaled_weights``).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from detr2litert.convert.models.reference import Reference, load_reference
from detr2litert.convert.models.settings.picture import preprocess_of
from detr2litert.convert.models.variants import find_variant
from detr2litert.convert.proof.scenes import pictures
from detr2litert.host_runtime.preprocess import preprocess
from detr2litert.rewrites.profile import Protection
from detr2litert.verify.delegate.adapters import Driver
from detr2litert.verify.gates import GateResult, Verdict
from tests.convert.fp16_graphs import judge_in_fp16
from tests.convert.scaled_weights import (
    PROJECTOR,
    SELF_ATTENTION,
    first_to_overflow,
    largest,
    scale_decoder,
    scale_projector,
)

pytestmark = pytest.mark.slow  # the gate itself is tested in tests/verify/parity/test_fp16.py


@dataclass(frozen=True)
class Scaled:
    """The scaled detector, a picture for it, and its outputs before and after."""

    reference: Reference
    image: torch.Tensor
    before: tuple[torch.Tensor, torch.Tensor]
    after: tuple[torch.Tensor, torch.Tensor]


@pytest.fixture(scope="module")
@torch.no_grad()
def scaled() -> Scaled:
    reference, _ = load_reference(find_variant("tiny"), None, None)
    image = torch.from_numpy(preprocess(pictures(())[0].image, preprocess_of(reference.settings)))
    before = reference.module(image)
    scale_decoder(reference.module, image)
    scale_projector(reference.module, image)
    return Scaled(reference, image, before, reference.module(image))


def check(scaled: Scaled, name: str, folder: Path, driver: Driver, *, safe: bool) -> GateResult:
    """Runs one graph through the gate, protected where its ranges need it, or nowhere."""
    protection = Protection.MEASURED if safe else Protection.NONE
    return judge_in_fp16(scaled.reference, scaled.image, folder, driver, protection, graphs=(name,))


def test_scaling_changes_magnitudes_and_nothing_else(scaled: Scaled) -> None:
    model = scaled.reference.module.model.model
    attention = [layer.self_attn for layer in model.decoder.layers]
    assert largest(scaled.reference.module, scaled.image, attention) == pytest.approx(SELF_ATTENTION, rel=0.01)
    projector = [model.backbone.projector.projector_layer]
    assert largest(scaled.reference.module, scaled.image, projector, inputs=True) == pytest.approx(PROJECTOR, rel=0.01)
    for one, other in zip(scaled.before, scaled.after, strict=True):
        assert float((one - other).abs().max()) < 1e-3 * float(one.abs().max())


@pytest.mark.gpu
@pytest.mark.plants
def test_unprotected_decoder_fails_and_the_norm_is_named(scaled: Scaled, fp16_driver: Driver, tmp_path: Path) -> None:
    result = check(scaled, "graph_b", tmp_path, fp16_driver, safe=False)
    assert result.verdict is Verdict.FAILED
    (finding,) = result.findings
    assert finding.rule == "fp16-overflow" and "fp16-safe" in finding.advice, finding
    named = first_to_overflow(scaled.reference.module, scaled.image)
    assert f"module {named}," in finding.message, finding


@pytest.mark.gpu
def test_protected_decoder_passes(scaled: Scaled, fp16_driver: Driver, tmp_path: Path) -> None:
    result = check(scaled, "graph_b", tmp_path, fp16_driver, safe=True)
    assert result.verdict is Verdict.PASSED, result.findings


@pytest.mark.gpu
@pytest.mark.parametrize("safe", [False, True])
def test_projector(scaled: Scaled, fp16_driver: Driver, tmp_path: Path, safe: bool) -> None:
    result = check(scaled, "graph_a", tmp_path, fp16_driver, safe=safe)
    assert result.verdict is (Verdict.PASSED if safe else Verdict.FAILED), result.findings
    assert safe or "projector" in result.findings[0].message
