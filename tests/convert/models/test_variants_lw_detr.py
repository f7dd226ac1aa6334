"""LW-DETR's rows: their figures, the blocks that are read, recognition of checkpoints, and the random weights."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import (
    LwDetrConfig,
    LwDetrForObjectDetection,
    LwDetrViTBackbone,
    LwDetrViTConfig,
    RfDetrConfig,
    RfDetrForObjectDetection,
)

from detr2litert.convert.models.checkpoints import choose_variant, load_checkpoint
from detr2litert.convert.models.checkpoints.identify import matching_variants, read_facts, recognise_family
from detr2litert.convert.models.coco import COCO_SPARSE
from detr2litert.convert.models.reference import build_reference
from detr2litert.convert.models.variants import VARIANTS, Variant
from detr2litert.convert.models.variants.lw_detr import LW_DETR
from detr2litert.convert.models.variants.rf_detr import RF_DETR
from tests.convert.random_outputs import Outputs, selected_scores

# Atten4Vis/LW-DETR, scripts/lwdetr_*_coco_eval.sh and models/backbone/backbone.py. size: --encoder's width,
# --vit_encoder_num_layers, --window_block_indexes, --out_feature_indexes, --projector_scale, --hidden_dim, --sa_nheads,
# --ca_nheads, --dec_n_points, --num_queries = --num_select; then parameters in millions, as models/lwdetr.py gives with groups.
PUBLISHED = {
    "tiny": (192, 6, [0, 2, 4], [1, 3, 5], ["P4"], 256, 8, 16, 2, 100),
    "small": (192, 10, [0, 1, 3, 6, 7, 9], [2, 4, 5, 9], ["P4"], 256, 8, 16, 2, 300),
    "medium": (384, 10, [0, 1, 3, 6, 7, 9], [2, 4, 5, 9], ["P4"], 256, 8, 16, 2, 300),
    "large": (384, 10, [0, 1, 3, 6, 7, 9], [2, 4, 5, 9], ["P3", "P5"], 384, 12, 24, 4, 300),
    "xlarge": (768, 10, [0, 1, 3, 6, 7, 9], [2, 4, 5, 9], ["P3", "P5"], 384, 12, 24, 4, 300),
}
SCALES = {"P3": 2.0, "P4": 1.0, "P5": 0.5}

_TO_ORIGINAL = (
    (r"^model\.backbone\.backbone\.embeddings\.position_embeddings", "backbone.0.encoder.pos_embed"),
    (r"^model\.backbone\.backbone\.embeddings\.projection", "backbone.0.encoder.patch_embed.proj"),
    (r"^model\.backbone\.backbone\.encoder\.layer\.", "backbone.0.encoder.blocks."),
    (r"\.attention\.q_proj\.weight", ".attn.qkv.weight"),
    (r"^model\.backbone\.projector\.scale_layers\.(\d+)\.projector_layer\.", r"backbone.0.projector.stages.\1.0."),
    (r"^model\.(decoder|enc_)", r"transformer.\1"),
    (r"^model\.reference_point_embed", "refpoint_embed"),
    (r"^model\.query_feat", "query_feat"),
)
"""Enough of the original tensor names to be recognised."""


def published(row: Variant) -> dict[str, Tensor]:
    """The row's tensors at their real size, without data."""
    with torch.device("meta"):
        model = LwDetrForObjectDetection(LwDetrConfig(**row.config, num_labels=91))
    return dict(model.state_dict())


def original(row: Variant) -> dict[str, Tensor]:
    renamed = {}
    for name, tensor in published(row).items():
        for pattern, replacement in _TO_ORIGINAL:
            name = re.sub(pattern, replacement, name)
        renamed[name] = tensor
    return renamed


@pytest.mark.parametrize("size", PUBLISHED)
def test_the_figures_are_the_original_scripts(size: str) -> None:
    row = VARIANTS[f"lwdetr-{size}"]
    width, layers, windowed, indices, levels, d_model, self_heads, cross_heads, points, queries = PUBLISHED[size]
    config = LwDetrConfig(**row.config)
    backbone = config.backbone_config
    assert (backbone.hidden_size, backbone.num_hidden_layers, backbone.num_attention_heads) == (width, layers, 12)
    assert (backbone.patch_size, backbone.num_windows, backbone.pretrain_image_size) == (16, 16, 224)
    assert list(backbone.window_block_indices) == windowed
    assert list(backbone.out_indices) == [index + 1 for index in indices]
    assert list(config.projector_scale_factors) == [SCALES[level] for level in levels]
    assert (config.d_model, config.decoder_layers, config.decoder_ffn_dim) == (d_model, 3, 2048)
    assert (config.decoder_self_attention_heads, config.decoder_cross_attention_heads) == (self_heads, cross_heads)
    assert (config.decoder_n_points, config.group_detr) == (points, 13)
    assert (config.num_queries, row.num_queries, row.num_select) == (queries, queries, queries)
    assert (row.resolution, row.resolution_step, row.classes) == (640, 64, COCO_SPARSE)
    assert (row.mean, row.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert row.strides == tuple(int(16 / SCALES[level]) for level in levels)
    assert f"lwdetr_{size}_coco_eval.sh" in row.source


def test_feature_levels_are_outputs_of_blocks_numbered_from_one() -> None:
    config = LwDetrViTConfig(
        image_size=64, patch_size=4, hidden_size=24, num_hidden_layers=3, num_attention_heads=2, out_indices=[2, 3]
    )
    torch.manual_seed(0)
    backbone = LwDetrViTBackbone(config).eval()
    outputs: list[Tensor] = []
    for block in backbone.encoder.layer:
        block.register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
    with torch.no_grad():
        maps = backbone(torch.randn(1, 3, 64, 64)).feature_maps
    assert len(maps) == 2
    for feature_map, output in zip(maps, outputs[1:], strict=True):
        assert torch.equal(feature_map[0, :, :4, :4].flatten(1).T, output[0])


@pytest.mark.parametrize("size", PUBLISHED)
def test_its_checkpoints_are_recognised(size: str) -> None:
    state = published(VARIANTS[f"lwdetr-{size}"])
    assert recognise_family(state, "folder") is LW_DETR
    facts = read_facts(LW_DETR, state)
    assert matching_variants(LW_DETR, facts) == (f"lwdetr-{size}",)
    assert (facts["queries"], facts["logits"]) == (PUBLISHED[size][-1], 91)


@pytest.mark.parametrize("size", PUBLISHED)
def test_the_original_naming_is_recognised(size: str) -> None:
    state = original(VARIANTS[f"lwdetr-{size}"])
    assert recognise_family(state, "LWDETR_60e_coco.pth") is LW_DETR
    assert matching_variants(LW_DETR, read_facts(LW_DETR, state), original=True) == (f"lwdetr-{size}",)


def test_its_descendant_is_not_mistaken_for_it() -> None:
    with torch.device("meta"):
        state = RfDetrForObjectDetection(RfDetrConfig(**VARIANTS["nano"].config)).state_dict()
    assert recognise_family(state, "folder") is RF_DETR


def small(row: Variant) -> Variant:
    """The row at a fraction of its cost."""
    config = {**row.config, "num_queries": 60, "group_detr": 2}
    return dataclasses.replace(row, resolution=256, num_queries=60, config=config)


@pytest.fixture(scope="module")
def outputs() -> Outputs:
    return Outputs(build_reference(small(VARIANTS["lwdetr-tiny"])))


def test_random_weights_give_outputs_that_vary(outputs: Outputs) -> None:
    outputs.check_variety()
    scores = selected_scores(outputs.reference)
    assert len(set(scores.tolist())) == 60


@pytest.mark.parametrize(
    "pattern",
    [
        r"\.sampling_offsets\.weight$",
        r"\.attention_weights\.weight$",
        r"\.self_attn\.q_proj\.weight$",
        r"\.attention\.q_proj\.weight$",
        r"\.gamma_1$",
        r"\.position_embeddings$",
        r"\bref_point_head\.layers\.1\.weight$",
        r"\benc_out_bbox_embed\.0\.layers\.2\.weight$",
        r"^bbox_embed\.layers\.2\.weight$",
        r"\breference_point_embed\.weight$",
    ],
)
def test_random_weights_exercise(pattern: str, outputs: Outputs) -> None:
    assert outputs.without(pattern) > 1e-3


def test_a_folder_of_it_loads_back(tmp_path: Path) -> None:
    row = small(VARIANTS["lwdetr-tiny"])
    reference = build_reference(row)
    reference.module.model.save_pretrained(tmp_path)  # type: ignore[operator]
    checkpoint = load_checkpoint(tmp_path)
    assert choose_variant(checkpoint).name == "lwdetr-tiny"
    loaded = build_reference(row, checkpoint)
    image = reference.example_input()
    with torch.no_grad():
        for ours, theirs in zip(loaded.module(image), reference.module(image), strict=True):
            assert torch.equal(ours, theirs)
