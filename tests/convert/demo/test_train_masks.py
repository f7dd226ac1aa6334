"""The training of tiny-seg: its loss asks the right query for the right mask, and an interrupted run loses nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from detr2litert.convert.demo.scenes import render
from tools.demo_training.mask_loss import mask_loss, match, matched_masks
from tools.demo_training.pool import Pool
from tools.demo_training.train_masks import MaskTraining, untrained
from tools.demo_training.training import Recipe

RECIPE = Recipe(head_steps=1, all_steps=2, batch=2, pool=4)


@pytest.fixture(scope="module")
def pool() -> Pool:
    return Pool.rendered(4, 0, processes=1, masks=True)


def test_masks_move_with_their_pictures(pool: Pool) -> None:
    """Mirrored and transposed, a mask still lies in its box."""
    pixels, targets = pool.draw(np.random.default_rng(0), 16)
    assert pixels.shape == (16, 3, 160, 160)
    for target in targets:
        for mask, (x, y, w, h) in zip(target["masks"].numpy(), target["boxes"].numpy() * 160, strict=True):
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            found = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
            assert np.abs(found - (x - w / 2, y - h / 2, x + w / 2, y + h / 2)).max() <= 2.0
    plain = Pool.rendered(1, 5, processes=1, masks=True)
    assert np.array_equal(np.unpackbits(plain.masks[0], axis=-1).view(bool), render(5).masks)


@torch.no_grad()
def test_matched_masks_are_those_of_the_model(pool: Pool) -> None:
    torch.manual_seed(0)
    model = untrained(0).eval()
    pixels, targets = pool.draw(np.random.default_rng(1), 2)
    whole = model(pixel_values=pixels)
    matches = match(whole.logits, whole.pred_boxes, targets, 1)
    assert [sorted(which.tolist()) for _, which in matches] == [list(range(len(t["boxes"]))) for t in targets]
    parts = model.model(pixel_values=pixels)
    last = matched_masks(model, parts.backbone_features, parts.intermediate_hidden_states, matches)[-1]
    wanted = torch.cat([whole.pred_masks[i, which] for i, (which, _) in enumerate(matches)])
    assert torch.allclose(last, wanted, atol=1e-5) and len(last) == sum(len(t["boxes"]) for t in targets)


def test_each_group_is_matched_with_all_objects() -> None:
    box = torch.tensor([[0.2, 0.2, 0.1, 0.1], [0.7, 0.7, 0.2, 0.2]])
    target = {"boxes": box, "class_labels": torch.tensor([0, 1])}
    far = torch.tensor([[0.5, 0.1, 0.05, 0.05]])
    boxes = torch.cat([far, box, box.flip(0), far])[None]
    logits = torch.full((1, 6, 3), -2.0)
    ((queries, objects),) = match(logits, boxes, [target], 2)
    assert sorted(zip(queries.tolist(), objects.tolist(), strict=True)) == [(1, 0), (2, 1), (3, 1), (4, 0)]


def test_the_loss_is_least_for_the_right_masks() -> None:
    objects = torch.from_numpy(render(7).masks)
    small = torch.nn.functional.interpolate(objects[None].float(), (40, 40), mode="area")[0]
    right, wrong = (sum(mask_loss(20 * (m - 0.5), objects, torch.Generator().manual_seed(0))) for m in (small, 1 - small))
    empty = sum(mask_loss(torch.full_like(small, -9.0), objects, torch.Generator().manual_seed(0)))
    assert right < 0.35 and empty > 1.0 and wrong > 2.0


def test_an_interrupted_run_gives_the_same_weights(pool: Pool, tmp_path: Path) -> None:
    torch.manual_seed(1)
    whole = MaskTraining(RECIPE)
    for _ in range(3):
        whole.advance(pool)
    first = MaskTraining(RECIPE)
    for _ in range(2):
        first.advance(pool)
    first.save(tmp_path / "checkpoint.safetensors")
    rest = MaskTraining(RECIPE)
    rest.resume(tmp_path / "checkpoint.safetensors")
    assert rest.step == 2
    rest.advance(pool)
    for name, value in whole.average.state_dict().items():
        assert torch.equal(value, rest.average.state_dict()[name]), name


def test_the_detector_is_frozen_while_the_head_is_trained(pool: Pool) -> None:
    training = MaskTraining(RECIPE)
    before = {name: value.clone() for name, value in training.model.state_dict().items()}
    training.advance(pool)
    moved = {name.split(".")[0] for name, value in training.model.state_dict().items() if not torch.equal(value, before[name])}
    assert "blocks" in moved and "model" not in moved
    training.advance(pool)
    assert not torch.equal(training.model.state_dict()["model.class_embed.bias"], before["model.class_embed.bias"])
