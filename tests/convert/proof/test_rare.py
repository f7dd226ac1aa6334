"""Rare inputs: what they hold."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

from detr2litert.convert.models.reference import load_reference
from detr2litert.convert.models.variants import VARIANTS
from detr2litert.convert.proof.host import _pictures
from detr2litert.convert.proof.rare import constant, equal_probabilities, patchwork, saturated, tied
from detr2litert.convert.proof.reference_path import ReferencePath


def test_constant_pictures_and_the_patchwork_are_the_path_s_own() -> None:
    reference = load_reference(VARIANTS["tiny"], None, None)[0]
    path = ReferencePath(reference, [""] * reference.logit_columns)
    pictures = {name: path.tensor(picture) for name, picture in _pictures() if name in ("black", "white")}
    black, white = constant(reference, 0.0), constant(reference, 1.0)
    torch.testing.assert_close(black, pictures["black"])
    torch.testing.assert_close(white, pictures["white"])
    picture = reference.example_input()
    found = patchwork(reference, picture)
    height, width = reference.size
    assert torch.equal(found[..., height // 2 :, width // 2 :], picture[..., height // 2 :, width // 2 :])
    assert torch.equal(found[..., : height // 2, : width // 2], black[..., : height // 2, : width // 2])
    assert not torch.equal(found, picture) and len(found[:, :, : height // 2].unique()) == 6


def test_tied_scores_keep_their_order_and_have_sixteen_levels() -> None:
    scores = torch.randn(1, 500, generator=torch.Generator().manual_seed(0))
    found = tied(scores)
    assert len(found.unique()) <= 17 and (found <= scores + 1e-6).all()
    order = scores[0].argsort()
    assert (found[0, order].diff() >= 0).all()
    assert torch.equal(tied(torch.ones(1, 4)), torch.ones(1, 4))


def test_equal_probabilities_reach_every_form_of_softmax() -> None:
    x = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    with equal_probabilities(), torch.no_grad():
        for found in (x.softmax(-1), F.softmax(x, -1), torch.ops.aten.softmax.int(x, -1)):
            assert torch.equal(found, torch.full_like(x, 1 / 8))
        attended = F.scaled_dot_product_attention(x, x, x)
    torch.testing.assert_close(attended, x.mean(-2, keepdim=True).expand_as(x))
    assert not torch.equal(x.softmax(-1), torch.full_like(x, 1 / 8))


def test_only_what_the_host_step_selects_is_saturated() -> None:
    values = {"memory": np.ones((1, 2), np.float32), "selected": np.ones((1, 2), np.float32)}
    found = saturated(values, ("enc_scores", "memory"))
    assert found["memory"] is values["memory"] and (found["selected"] == 16).all()
    assert found["selected"].dtype == np.float32
