"""The table of detectors: figures, look-ups, and what the look-ups say to a user who mistyped."""

from __future__ import annotations

import pytest

from convert.demo.scenes import CLASSES
from convert.demo.detectors import rf_detr_config
from convert.variants import FAMILIES, VARIANTS, checked_resolution, find_variant
from host_runtime.errors import UserError

# name: resolution, patch, windows, decoder layers, position grid, taps (roboflow/rf-detr, src/rfdetr/config.py).
PUBLISHED = {
    "nano": (384, 16, 2, 2, 24, (3, 6, 9, 12)),
    "small": (512, 16, 2, 3, 32, (3, 6, 9, 12)),
    "medium": (576, 16, 2, 4, 36, (3, 6, 9, 12)),
    "base": (560, 14, 4, 3, 37, (2, 5, 8, 11)),
    "large": (704, 16, 2, 4, 44, (3, 6, 9, 12)),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_figures(name: str) -> None:
    row = VARIANTS[name]
    assert (row.resolution, row.patch, row.windows, row.decoder_layers, row.position_grid, row.taps) == PUBLISHED[name]
    assert row.config["layer_norm_eps"] == 1e-6
    assert row.config["decoder_n_points"] == 2
    assert (row.num_queries, row.num_select, len(row.classes)) == (300, 300, 91)
    assert row.hub_id == f"Roboflow/rf-detr-{name}"
    assert f"RFDETR{name.capitalize()}Config" in row.source


@pytest.mark.parametrize("row", VARIANTS.values(), ids=lambda row: row.name)
def test_every_row_is_consistent(row) -> None:  # type: ignore[no-untyped-def]
    assert row.family in FAMILIES
    assert checked_resolution(row, row.resolution) == row.resolution
    assert set(row.expected) <= set(row.family.facts)
    assert "logits" in row.family.facts
    assert row.source
    assert row.default_weights


def test_the_demo_row_is_the_architecture_that_is_trained() -> None:
    from transformers import RfDetrConfig

    row = VARIANTS["tiny"]
    assert row.classes == CLASSES
    mine, trained = RfDetrConfig(**row.config).to_dict(), rf_detr_config().to_dict()
    for key in ("id2label", "label2id"):
        mine.pop(key), trained.pop(key)
    assert mine == trained


def test_case_does_not_matter() -> None:
    assert find_variant("Nano") is VARIANTS["nano"]


@pytest.mark.parametrize(
    ("typed", "suggestion"), [("nanno", "did you mean nano"), ("smal", "small"), ("qqqq", "choose from nano")]
)
def test_an_unknown_name_gets_the_nearest(typed: str, suggestion: str) -> None:
    with pytest.raises(UserError, match=suggestion):
        find_variant(typed)


@pytest.mark.parametrize(("resolution", "neighbours"), [(390, "384 and 416"), (10, "nearest: 32$"), (-5, "32$"), (0, "32$")])
def test_a_resolution_that_does_not_fit_names_its_neighbours(resolution: int, neighbours: str) -> None:
    with pytest.raises(UserError, match=neighbours):
        checked_resolution(VARIANTS["nano"], resolution)
