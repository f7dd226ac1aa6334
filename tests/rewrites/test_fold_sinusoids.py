"""The sinusoidal embedding of coordinates as one linear layer and one sine."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from passes import Function, RightOnDelegate, count, ops, rewritten, traced
from torch import Tensor

from detr2litert.graphs.toolbox import aten, calls, constant_of
from detr2litert.rewrites.contract import Miss
from detr2litert.rewrites.driver import apply
from detr2litert.rewrites.fold_sinusoids import fold_sinusoids
from detr2litert.rewrites.profile import Profile

WIDTH = 8
FREQUENCIES = 10000 ** (torch.arange(WIDTH) // 2 * 2 / WIDTH)
STEPS = torch.linspace(0.1, 0.8, WIDTH)
SHIFTS = torch.linspace(0, 2, WIDTH)
GENERATOR = torch.Generator().manual_seed(0)
BOXES = torch.rand(1, 5, 4, generator=GENERATOR)
Phase = Callable[[Tensor], Tensor]


def block(phase: Tensor) -> Tensor:
    """Sines of the even channels and cosines of the odd ones, interleaved."""
    return torch.stack([phase[..., 0::2].sin(), phase[..., 1::2].cos()], -1).flatten(-2)


def divided(coordinate: Tensor) -> Tensor:
    return coordinate * (2 * math.pi) / FREQUENCIES


def embedding(boxes: Tensor) -> Tensor:
    """As transformers' ``gen_sine_position_embeddings``: y before x, and width and height."""
    x, y, w, h = (block(divided(boxes[:, :, i][:, :, None])) for i in range(4))
    return torch.cat([y, x, w, h], 2)


def by_slices(boxes: Tensor) -> Tensor:
    return torch.cat([block(divided(boxes[..., i : i + 1])) for i in (1, 0, 2, 3)], -1)


def by_unbind(boxes: Tensor) -> Tensor:
    return torch.cat([block(divided(c.unsqueeze(-1))) for c in boxes.unbind(-1)], -1)


def shifted(boxes: Tensor) -> Tensor:
    """Every operator a phase may have: additions before and after a scale, of numbers and of vectors."""
    return torch.cat([block((((boxes[..., i : i + 1] - 0.5) * 3 + 1) * STEPS + SHIFTS - 0.25) / 2) for i in (0, 3)], -1)


FORMS: dict[str, Function] = {
    "select": embedding,
    "slices": by_slices,
    "unbind": by_unbind,
    "shifts": shifted,
    "one coordinate": lambda boxes: block(divided(boxes[..., 2:3])) * 2,
    "the last coordinate from the end": lambda boxes: block(divided(boxes[..., -1:])) * 2,
}


@pytest.mark.parametrize("form", FORMS)
def test_fires(form: str) -> None:
    found = rewritten(fold_sinusoids, FORMS[form], BOXES, tolerance=3e-6)
    assert [op for op in ops(found) if op != "mul"] == ["linear", "sin"]


def test_the_constants_are_the_frequencies_by_coordinate_and_the_phases_of_sine_and_cosine_in_turn() -> None:
    found = rewritten(fold_sinusoids, embedding, BOXES, tolerance=3e-6)
    (layer,) = calls(found, aten.linear.default)
    weight, bias = (constant_of(found, node) for node in layer.args[1:])
    expected = torch.zeros(4 * WIDTH, 4)
    for place, coordinate in enumerate((1, 0, 2, 3)):
        expected[place * WIDTH : (place + 1) * WIDTH, coordinate] = 2 * math.pi / FREQUENCIES
    torch.testing.assert_close(weight, expected)
    turns = (bias - torch.tensor([0, math.pi / 2]).repeat(2 * WIDTH)) / (2 * math.pi)
    torch.testing.assert_close(turns, turns.round())
    largest = torch.maximum(bias.abs(), (bias + weight.sum(1)).abs()).max()
    assert largest <= 2 * math.pi + 1e-5, "the phases of coordinates in [0, 1] are near zero"


def test_each_embedding_is_folded() -> None:
    rewritten(fold_sinusoids, lambda boxes: embedding(boxes) + embedding(boxes.sigmoid()), BOXES, fires=2, tolerance=3e-6)


def cosine_first(boxes: Tensor) -> Tensor:
    phase = divided(boxes[..., :1])
    return torch.stack([phase[..., 0::2].cos(), phase[..., 1::2].sin()], -1).flatten(-2)


def channels_of_cosine_first(boxes: Tensor) -> Tensor:
    phase = divided(boxes[..., :1])
    return torch.stack([phase[..., 1::2].sin(), phase[..., 0::2].cos()], -1).flatten(-2)


def side_by_side(boxes: Tensor) -> Tensor:
    phase = divided(boxes[..., :1])
    return torch.cat([phase[..., 0::2].sin(), phase[..., 1::2].cos()], -1)


def stacked_in_front(boxes: Tensor) -> Tensor:
    phase = divided(boxes[..., :1])
    return torch.stack([phase[..., 0::2].sin(), phase[..., 1::2].cos()], -2).flatten(-2)


def with_runtime_frequencies(boxes: Tensor) -> Tensor:
    return block(boxes[..., :1] * boxes.mean((0, 1)).repeat(2))


def of_an_inverse(boxes: Tensor) -> Tensor:
    return block(FREQUENCIES / (boxes[..., :1] + 1))


@pytest.mark.parametrize(
    "other",
    [
        cosine_first,
        channels_of_cosine_first,
        side_by_side,
        stacked_in_front,
        with_runtime_frequencies,
        of_an_inverse,
        lambda boxes: boxes.sin() + boxes.cos(),
    ],
)
def test_does_not_fire_on_another_form(other: Function) -> None:
    rewritten(fold_sinusoids, other, BOXES, fires=0)


@pytest.mark.parametrize(
    "mixed",
    [
        lambda boxes: torch.cat([block(divided(boxes[..., :1])), boxes], -1),
        lambda boxes: torch.cat([block(divided(boxes[..., :1])), block(divided((boxes * 2)[..., :1]))], -1),
    ],
    ids=["a part that is no sinusoid", "coordinates of two tensors"],
)
def test_does_not_fire_on_parts_of_different_kinds_and_reports_it(mixed: Function) -> None:
    rewritten(fold_sinusoids, mixed, BOXES, fires=0)
    (miss,) = [found for found in apply(fold_sinusoids, traced(mixed, BOXES), Profile()) if isinstance(found, Miss)]
    assert "not all sinusoids of coordinates of one tensor" in miss.reason


def test_a_block_that_is_read_on_its_own_as_well_is_folded_twice() -> None:
    def read_twice(boxes: Tensor) -> tuple[Tensor, Tensor]:
        first = block(divided(boxes[..., :1]))
        return torch.cat([first, block(divided(boxes[..., 1:2]))], -1), first * 2

    rewritten(fold_sinusoids, read_twice, BOXES, fires=2, tolerance=3e-6)


def test_the_embedding_is_two_operators_instead_of_dozens() -> None:
    assert len(ops(traced(embedding, BOXES))) > 40 and count(traced(embedding, BOXES), aten.sin.default) == 4


@pytest.mark.gpu
@pytest.mark.parametrize("form", FORMS)
def test_delegate(right_on_delegate: RightOnDelegate, form: str) -> None:
    """Vulkan asks no more of a sine than an error of 2^-11; SwiftShader's is 2e-4, in the original form as well."""
    right_on_delegate([fold_sinusoids], FORMS[form], BOXES, tolerance=2**-11)
