"""Random weights depend on the seed only, and a fault anywhere changes the outputs."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from detr2litert.convert.models.reference import Reference, build_reference
from detr2litert.convert.models.variants import VARIANTS
from tests.convert.models.test_hybrid_checkpoints import LIKE_R18, LIKE_R50, TINY


@pytest.fixture(scope="module", params=[TINY, LIKE_R18, LIKE_R50], ids=lambda row: row.name)
def reference(request: pytest.FixtureRequest) -> Reference:
    return build_reference(request.param)


def photograph_like(side: int) -> Tensor:
    """Not the image that the statistics were measured on."""
    noise = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(5))
    return nn.functional.interpolate(noise, (side, side), mode="bilinear").sigmoid()


def test_weights_depend_on_the_seed_only(reference: Reference) -> None:
    row = reference.variant
    torch.manual_seed(123)
    assert build_reference(row).sha256 == reference.sha256
    assert build_reference(row, seed=1).sha256 != reference.sha256


def test_outputs_vary_and_no_scores_are_tied(reference: Reference) -> None:
    scores: list[Tensor] = []
    head = reference.module.model.model.enc_score_head
    hook = head.register_forward_hook(lambda _module, _inputs, output: scores.append(output.amax(-1)[0]))
    boxes, logits = reference.module(photograph_like(reference.size.height))
    hook.remove()
    best = scores[0].topk(reference.num_queries).values
    assert best.unique().numel() == reference.num_queries
    assert float(boxes[0, :, :2].std(0).min()) > 0.1
    assert float(boxes[0, :, 2:].std(0).min()) > 0.005
    assert float(logits[0].std(0).mean()) > 0.1
    assert logits.argmax(-1).unique().numel() >= 3


def test_activations_neither_vanish_nor_explode(reference: Reference) -> None:
    deviations: dict[str, float] = {}

    def record(name: str, output: object) -> None:
        if isinstance(output, Tensor) and output.is_floating_point() and output.numel() > 1:
            deviations[name] = float(output.std())

    hooks = [
        module.register_forward_hook(lambda _module, _inputs, output, name=name: record(name, output))
        for name, module in reference.module.named_modules()
        if isinstance(module, nn.Conv2d | nn.BatchNorm2d | nn.Linear)
    ]
    reference.module(photograph_like(reference.size.height))
    for hook in hooks:
        hook.remove()
    assert len(deviations) > 50
    assert min(deviations.values()) > 0.005, min(deviations, key=lambda name: deviations[name])
    assert max(deviations.values()) < 50, max(deviations, key=lambda name: deviations[name])


def test_normalisations_have_an_effect(reference: Reference) -> None:
    for module in reference.module.modules():
        if hasattr(module, "running_var"):
            for held in (module.weight, module.bias, module.running_mean):
                assert held.unique().numel() > 1
            assert not torch.equal(module.running_var, torch.ones_like(module.running_var))


def test_zero_and_constant_initial_values_are_redrawn(reference: Reference) -> None:
    for name, parameter in reference.module.named_parameters():
        starts_constant = name.endswith(("sampling_offsets.weight", "attention_weights.weight", "gateway.gate.weight"))
        if starts_constant or (".layers.2.weight" in name and "bbox" in name) or name.endswith("reg_conf.layers.1.weight"):
            assert float(parameter.std()) > 0, name


@pytest.mark.parametrize("name", ["seg-nano", "keypoint-preview", "dfine-seg-n"])
def test_a_class_head_keeps_its_prior_so_that_nothing_is_detected(name: str) -> None:
    """transformers does not initialise the outermost of its models where the class is ours."""
    row = replace(VARIANTS[name], resolution=256 if name.startswith("dfine") else 192)
    reference = build_reference(row)
    _, logits, *_ = reference.module(photograph_like(row.resolution))
    assert -8 < float(logits.mean()) < -3 and float(logits.sigmoid().max()) < 0.5


def test_models_without_batch_norm_are_not_run() -> None:
    """RF-DETR's weights follow its init_std only."""
    first = build_reference(VARIANTS["tiny"], seed=3)
    assert not any(hasattr(module, "running_var") for module in first.module.modules())
