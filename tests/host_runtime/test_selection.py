from __future__ import annotations

import numpy as np
import pytest
import torch

from detr2litert.host_runtime.selection import topk_indices


def stable(values: np.ndarray, k: int) -> np.ndarray:
    return torch.argsort(torch.from_numpy(values), descending=True, stable=True)[:k].numpy()


@pytest.mark.parametrize("count", [1, 40, 576, 8400])
@pytest.mark.parametrize("levels", [1, 8, 100, 100_000])
def test_ties_are_ordered_as_torchs_stable_sort(count, levels):
    rng = np.random.default_rng(count + levels)
    values = (rng.integers(0, levels, count) / levels).astype(np.float32)
    for k in {0, 1, min(300, count), count}:
        np.testing.assert_array_equal(topk_indices(values, k), stable(values, k))


def test_without_ties_it_is_torch_topk():
    rng = np.random.default_rng(0)
    for count in (300, 576, 8400):
        values = rng.permutation(count).astype(np.float32)
        np.testing.assert_array_equal(topk_indices(values, 300), torch.topk(torch.from_numpy(values), 300)[1].numpy())


def test_with_ties_torch_topk_has_no_order_to_copy():
    """Fails if torch's top-k becomes stable; the module's docstring must then be changed."""
    values = torch.full((576,), 0.5)
    assert torch.topk(values, 300)[1].tolist() != list(range(300))
    assert topk_indices(values.numpy(), 300).tolist() == list(range(300))


@pytest.mark.parametrize("special", [np.inf, -np.inf, np.nan, -0.0])
def test_special_values_go_where_torch_puts_them(special):
    values = np.random.default_rng(3).integers(-2, 3, 100).astype(np.float32)
    values[[5, 50, 51, 99]] = special
    for k in (1, 4, 30, 100):
        np.testing.assert_array_equal(topk_indices(values, k), stable(values, k))


def test_all_nan():
    assert topk_indices(np.full(5, np.nan, np.float32), 3).tolist() == [0, 1, 2]


def test_integers_down_to_the_smallest():
    values = np.array([5, np.iinfo(np.int32).min, 5, 7], np.int32)
    assert topk_indices(values, 4).tolist() == [3, 0, 2, 1]


@pytest.mark.parametrize(("shape", "k"), [((3,), 4), ((3,), -1), ((2, 2), 1)])
def test_what_cannot_be_taken_is_refused(shape, k):
    with pytest.raises(ValueError, match="cannot take"):
        topk_indices(np.zeros(shape), k)
