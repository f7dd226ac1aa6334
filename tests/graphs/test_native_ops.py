"""The kernels of the delegate's own operators compute what plain PyTorch does, and their shape functions give its shapes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from detr2litert.graphs.native_ops import GATHER_ROWS, LAYER_NORM, RESAMPLE, TOP_ROWS, TOP_VALUES

GENERATOR = torch.Generator().manual_seed(0)


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=GENERATOR)


def sampled_by_hand(image: Tensor, points: Tensor) -> Tensor:
    """Bilinear sampling in loops: the four pixels around each point, those outside the image counting as zero."""
    batch, height, width, channels = image.shape
    result = torch.zeros(batch, *points.shape[1:3], channels)
    for b, q, p in torch.cartesian_prod(*(torch.arange(n) for n in points.shape[:3])).tolist():
        x, y = points[b, q, p].tolist()
        for row in range(height):
            for column in range(width):
                weight = max(0.0, 1 - abs(x - column)) * max(0.0, 1 - abs(y - row))
                result[b, q, p] += weight * image[b, row, column]
    return result


def test_resample_at_random_points_inside_and_outside() -> None:
    image, points = random(2, 5, 7, 3), torch.rand(2, 6, 4, 2, generator=GENERATOR) * torch.tensor([11.0, 9.0]) - 2
    torch.testing.assert_close(RESAMPLE(image, points), sampled_by_hand(image, points), atol=1e-5, rtol=0)


def test_resample_counts_from_the_centre_of_the_first_pixel_x_before_y() -> None:
    image = torch.arange(12.0).reshape(1, 3, 4, 1) + 1
    points = torch.tensor([[0, 0], [3, 0], [0, 2], [2.5, 1], [3, 1.5], [-0.5, 0], [-1, 0], [3.75, 2]]).reshape(1, 1, 8, 2)
    expected = [1, 4, 9, 7.5, 10, 0.5, 0, 3]
    torch.testing.assert_close(RESAMPLE(image, points).flatten(), torch.tensor(expected), atol=1e-5, rtol=0)


@pytest.mark.parametrize("shape", [(5, 8), (1, 5, 8), (2, 3, 5, 8)])
@pytest.mark.parametrize("eps", [1e-6, 0.1])
def test_layer_norm_normalises_the_last_dimension(shape: tuple[int, ...], eps: float) -> None:
    x, weight, bias = random(*shape), random(8), random(8)
    deviation = x - x.mean(-1, keepdim=True)
    expected = deviation / (deviation.square().mean(-1, keepdim=True) + eps).sqrt() * weight + bias
    torch.testing.assert_close(LAYER_NORM(x, weight, bias, eps), expected, atol=1e-5, rtol=0)


def test_gather_rows_selects_in_the_order_of_the_indices_repeats_included() -> None:
    table = torch.arange(12.0).reshape(6, 2)
    found = GATHER_ROWS(table, torch.tensor([5, 0, 3, 3], dtype=torch.int32))
    torch.testing.assert_close(found, torch.tensor([[10.0, 11], [0, 1], [6, 7], [6, 7]]), atol=0, rtol=0)


def test_top_rows_gives_the_best_first_and_of_equal_scores_the_lower_index() -> None:
    scores = torch.tensor([1.0, 3, -2, 3, 1, 3])
    assert TOP_ROWS(scores, 5).tolist() == [1, 3, 5, 0, 4]
    assert TOP_ROWS(torch.full((300,), -4.0), 40).tolist() == list(range(40))


def test_top_values_repeats_equal_values() -> None:
    assert TOP_VALUES(torch.tensor([[1.0, 3, -2, 3], [0, 0, -1, -5]]), 3).tolist() == [[3, 3, 1], [0, 0, -1]]


CALLS: tuple[tuple[Callable[..., Tensor], tuple[object, ...]], ...] = (
    (RESAMPLE, (random(2, 5, 7, 3), random(2, 6, 4, 2))),
    (LAYER_NORM, (random(2, 5, 8), random(8), random(8), 1e-5)),
    (GATHER_ROWS, (random(6, 2), torch.tensor([5, 0, 3], dtype=torch.int32))),
    (TOP_ROWS, (random(9), 4)),
    (TOP_VALUES, (random(3, 9), 4)),
)


@pytest.mark.parametrize(("operator", "arguments"), CALLS, ids=[str(op) for op, _ in CALLS])
def test_the_shape_function_gives_shape_type_and_strides_of_the_kernel(
    operator: Callable[..., Tensor], arguments: tuple[object, ...]
) -> None:
    real = operator(*arguments)
    fake = operator(*(a.to("meta") if isinstance(a, Tensor) else a for a in arguments))
    assert (fake.shape, fake.dtype, fake.stride()) == (real.shape, real.dtype, real.stride())
    assert real.is_contiguous()


@pytest.mark.parametrize(("operator", "arguments"), CALLS, ids=[str(op) for op, _ in CALLS])
def test_pytorchs_own_checks_of_an_operator(operator: torch._ops.OpOverload, arguments: tuple[object, ...]) -> None:
    torch.library.opcheck(operator, arguments, test_utils=("test_schema", "test_faketensor"))


def test_a_norm_of_a_permuted_tensor_is_contiguous_as_its_shape_function_claims() -> None:
    x = random(1, 8, 5).transpose(1, 2)
    real, fake = LAYER_NORM(x, random(8), random(8), 1e-5), LAYER_NORM(x.to("meta"), *[random(8).to("meta")] * 2, 1e-5)
    assert real.stride() == fake.stride()
