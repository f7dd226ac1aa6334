"""RF-DETR Seg: figures, recognition, and the selection of border cells that it shares with RF-DETR."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.functional import layer_norm
from transformers import RfDetrConfig, RfDetrForInstanceSegmentation

from detr2litert.convert.models.checkpoints.identify import matching_variants, read_facts, recognise_family
from detr2litert.convert.models.reference import build_reference, load_reference
from detr2litert.convert.models.settings import Size
from detr2litert.convert.models.variants import VARIANTS, Variant, table
from detr2litert.convert.models.variants.rf_detr_seg import RF_DETR_SEG
from detr2litert.host_runtime.errors import UserError
from tests.convert.rfdetr_checkpoints import rfdetr_state
from tests.convert.shrunken import shrunken

# name: class, resolution, windows, decoder layers, queries (rfdetr 1.11.2, rfdetr/config.py).
PUBLISHED = {
    "seg-nano": ("RFDETRSegNano", 312, 1, 4, 100),
    "seg-small": ("RFDETRSegSmall", 384, 2, 4, 100),
    "seg-medium": ("RFDETRSegMedium", 432, 2, 5, 200),
    "seg-large": ("RFDETRSegLarge", 504, 2, 5, 200),
    "seg-xlarge": ("RFDETRSegXLarge", 624, 2, 6, 300),
    "seg-2xlarge": ("RFDETRSeg2XLarge", 768, 2, 6, 300),
}


def state_of(variant: Variant) -> dict[str, Tensor]:
    """The tensors of a variant at its real size, in transformers' naming and without data."""
    with torch.device("meta"):
        labels = {"id2label": dict(enumerate(variant.classes))}
        return RfDetrForInstanceSegmentation(RfDetrConfig(**variant.config, **labels)).state_dict()


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_figures(name: str) -> None:
    row = VARIANTS[name]
    figures = (row.class_name, row.resolution, row.windows, row.decoder_layers, row.num_queries)
    assert figures == PUBLISHED[name]
    assert (row.patch, row.position_grid, row.feature_levels) == (12, row.resolution // 12, (3, 6, 9, 12))
    assert (row.num_select, len(row.classes)) == (row.num_queries, 91)
    assert f"({row.class_name}Config)" in row.source
    blocks = {key.split(".")[1] for key in state_of(row) if key.startswith("blocks.")}
    assert len(blocks) == row.decoder_layers


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_size_is_recognised_by_its_position_grid(name: str) -> None:
    state = state_of(VARIANTS[name])
    assert recognise_family(state, "folder") is RF_DETR_SEG
    assert matching_variants(RF_DETR_SEG, read_facts(RF_DETR_SEG, state)) == (name,)


def test_the_class_in_the_file_decides_between_sizes_that_only_settings_tell_apart() -> None:
    facts = {**read_facts(RF_DETR_SEG, state_of(VARIANTS["seg-small"])), "position grid": 20}
    assert matching_variants(RF_DETR_SEG, facts) == ("seg-nano", "seg-small")
    assert matching_variants(RF_DETR_SEG, facts, class_name="RFDETRSegSmall") == ("seg-small",)
    # A class of another architecture does not count.
    assert matching_variants(RF_DETR_SEG, facts, class_name="RFDETRSegXLarge") == ("seg-nano", "seg-small")


@pytest.fixture
def small_seg() -> Iterator[Variant]:
    """A small relative in the place of seg-nano, without other sizes; afterwards the table is as before, in its order."""
    row = shrunken("seg-nano")
    rows, before = cast(dict[str, Variant], table.VARIANTS), dict(table.VARIANTS)
    rows["seg-nano"] = dataclasses.replace(row, name="seg-nano")
    for name in [name for name in rows if name.startswith("seg-") and name != "seg-nano"]:
        del rows[name]
    yield row
    rows.clear()
    rows.update(before)


@torch.no_grad()
def test_a_transformers_folder_gives_the_same_masks(small_seg: Variant, tmp_path: Path) -> None:
    made = build_reference(small_seg)
    made.module.model.save_pretrained(tmp_path)
    loaded, checkpoint = load_reference(None, str(tmp_path))
    assert checkpoint is not None and checkpoint.family is RF_DETR_SEG
    image = made.example_input()
    masks = [reference.module.model(pixel_values=image).pred_masks for reference in (made, loaded)]
    assert masks[0].shape == (1, small_seg.num_queries, small_seg.resolution // 4, small_seg.resolution // 4)
    assert torch.equal(*masks)
    # Neither empty nor full.
    assert 0.1 < float((masks[0] > 0).float().mean()) < 0.9


def test_blocks_of_decoder_layers_that_are_not_evaluated_are_not_needed(small_seg: Variant, tmp_path: Path) -> None:
    build_reference(small_seg).module.model.save_pretrained(tmp_path)
    fewer, _ = load_reference(None, str(tmp_path), {"decoder_layers": 2})
    assert len(fewer.module.model.blocks) == 2  # type: ignore[arg-type]
    (tmp_path / "config.json").unlink()
    state = load_file(tmp_path / "model.safetensors")
    save_file({**state, "blocks.7.layernorm.bias": torch.zeros(64)}, tmp_path / "more.safetensors")
    with pytest.raises(UserError, match=r"1 tensors are unexpected, the first is .*blocks\.7\."):
        load_reference(None, str(tmp_path / "more.safetensors"))


@torch.no_grad()
def test_cells_at_the_border_are_selected_as_rfdetr_does(tmp_path: Path) -> None:
    """With 52 cells a side, 204 lie within 0.01 of the border; each has the score of a token of zeros."""
    state = rfdetr_state(VARIANTS["tiny"])
    bias, norm = (torch.linspace(-1, 1, 96), state["transformer.enc_output_norm.0.bias"])
    state["transformer.enc_output.0.bias"] = bias
    empty = layer_norm(bias, bias.shape, state["transformer.enc_output_norm.0.weight"], norm)
    for score, selected in ((20.0, 40), (-20.0, 0)):
        weight = torch.zeros_like(state["transformer.enc_out_class_embed.0.weight"])
        weight[:] = score * empty / empty.square().sum()
        torch.save({**state, "transformer.enc_out_class_embed.0.weight": weight}, tmp_path / "border.pth")
        reference, _ = load_reference(None, str(tmp_path / "border.pth"), {"resolution": Size(520, 520)})
        output = reference.module.model(pixel_values=reference.example_input())
        chosen = output.enc_outputs_coord_logits[0]
        assert int((chosen.abs().sum(1) == 0).sum()) == selected
