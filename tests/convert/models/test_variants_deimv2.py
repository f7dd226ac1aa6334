"""DEIMv2's rows: their figures, recognition of checkpoints, and the random weights."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import Deimv2Config, Deimv2ForObjectDetection, DFineConfig, DFineForObjectDetection

from detr2litert.convert.models.checkpoints import choose_variant, load_checkpoint
from detr2litert.convert.models.checkpoints.identify import matching_variants, read_facts, recognise_family
from detr2litert.convert.models.coco import COCO_CONTIGUOUS
from detr2litert.convert.models.reference import build_reference
from detr2litert.convert.models.variants import VARIANTS, Variant
from detr2litert.convert.models.variants.d_fine import D_FINE
from detr2litert.convert.models.variants.deimv2 import DEIMV2
from tests.convert.random_outputs import Outputs, selected_scores
from tests.originals.recipe import FOLDER, read_recipe

# Intellindust-AI-Lab/DEIMv2, hf_models.ipynb (the configurations of the published weights). size: eval_spatial_size; the
# encoder's hidden_dim, expansion, depth_mult; the decoder's num_layers, num_queries, dim_feedforward, num_points.
PUBLISHED = {
    "atto": (320, 64, 0.34, 0.5, 3, 100, 160, [4, 2]),
    "femto": (416, 96, 0.34, 0.5, 3, 150, 256, [4, 2]),
    "pico": (640, 112, 0.34, 0.5, 3, 200, 320, [4, 2]),
    "n": (640, 128, 0.34, 0.5, 3, 300, 512, [6, 6]),
    "s": (640, 192, 0.34, 0.67, 4, 300, 512, [3, 6, 3]),
    "m": (640, 256, 0.67, 1, 4, 300, 512, [3, 6, 3]),
    "l": (640, 224, 1.0, 1, 4, 300, 1792, [3, 6, 3]),
    "x": (640, 256, 1.25, 1.37, 6, 300, 2048, [3, 6, 3]),
}
LIGHT = ("atto", "femto", "pico")
# name's width and heads, interaction_indexes, conv_inplane; then what transformers has for the name (DINOV3_PRESETS).
VITS = {
    "s": (192, 3, [3, 7, 11], 16, 768, False, 0, 1.0, False),
    "m": (256, 4, [3, 7, 11], 16, 1024, False, 0, 1.0, False),
    "l": (384, 6, [5, 8, 11], 32, 1536, False, 4, 1e-5, True),
    "x": (384, 6, [5, 8, 11], 64, 1536, True, 4, 1e-5, True),
}
# HGNETV2_BACKBONE_CONFIGS there: stage_out_channels, stage_num_blocks, stage_kernel_size; then in_channels, return_idx.
HGNETS = {
    "atto": ([64, 256, 256], [1, 1, 1], [3, 3, 3], [256], [2]),
    "femto": ([64, 256, 512], [1, 1, 1], [3, 3, 5], [512], [2]),
    "pico": ([64, 256, 512], [1, 1, 2], [3, 3, 5], [512], [2]),
    "n": ([64, 256, 512, 1024], [1, 1, 2, 1], [3, 3, 5, 5], [512, 1024], [2, 3]),
}

_TO_ORIGINAL = (
    (r"^model\.decoder\.class_embed", "decoder.dec_score_head"),
    (r"^model\.decoder\.layers\.(\d+)\.mlp\.down_proj", r"decoder.decoder.layers.\1.swish_ffn.w3"),
    (r"^model\.decoder\.", "decoder.decoder."),
    (r"^model\.enc_score_head", "decoder.enc_score_head"),
)
"""Enough of the original tensor names to be recognised."""


def published(row: Variant) -> dict[str, Tensor]:
    """The row's tensors at their real size, without data."""
    with torch.device("meta"):
        model = Deimv2ForObjectDetection(Deimv2Config(**row.config, num_labels=80))
    return dict(model.state_dict())


def original(state: dict[str, Tensor]) -> dict[str, Tensor]:
    renamed = {}
    for name, tensor in state.items():
        for pattern, replacement in _TO_ORIGINAL:
            name = re.sub(pattern, replacement, name)
        renamed[name] = tensor
    return renamed


@pytest.mark.parametrize("size", PUBLISHED)
def test_the_figures_are_those_of_the_published_weights(size: str) -> None:
    row = VARIANTS[f"deimv2-{size}"]
    side, width, expansion, depth, layers, queries, ffn, points = PUBLISHED[size]
    config = Deimv2Config(**row.config)
    assert (row.resolution, row.resolution_step, row.num_queries, row.num_select) == (side, 32, queries, 300)
    assert (config.encoder_hidden_dim, config.d_model, config.decoder_in_channels) == (width, width, [width] * len(points))
    assert (config.hidden_expansion, config.depth_mult) == (expansion, depth)
    assert (config.decoder_layers, config.num_queries, config.decoder_ffn_dim) == (layers, queries, ffn)
    assert (config.decoder_n_points, config.num_feature_levels) == (points, len(points))
    assert (config.max_num_bins, config.reg_scale, config.layer_scale, config.eval_idx) == (32, 4.0, 1, -1)
    light = size in LIGHT
    assert (config.encoder_type, config.encoder_layers) == (("lite", 0) if light else ("hybrid", 1))
    assert (config.share_bbox_head, config.use_gateway) == (light, not light)
    assert config.eval_size is None
    assert row.classes == COCO_CONTIGUOUS
    assert row.resize == "bilinear_8bit"
    assert f"deimv2_{size}_config" in row.source


@pytest.mark.parametrize("size", HGNETS)
def test_the_small_sizes_have_a_convolutional_backbone_and_unnormalised_images(size: str) -> None:
    row = VARIANTS[f"deimv2-{size}"]
    out, blocks, kernels, channels, taps = HGNETS[size]
    config = Deimv2Config(**row.config)
    backbone = config.backbone_config
    assert (backbone.model_type, backbone.use_learnable_affine_block) == ("hgnet_v2", True)
    assert (backbone.stage_out_channels, backbone.stage_num_blocks, backbone.stage_kernel_size) == (out, blocks, kernels)
    assert backbone.stage_mid_channels == [16, 32, 64, 128][: len(out)]
    assert backbone.stage_numb_of_layers == [3] * len(out)
    assert (config.encoder_in_channels, backbone.out_indices) == (channels, [tap + 1 for tap in taps])
    assert config.encoder_has_trailing_conv
    assert (row.mean, row.std) == ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


@pytest.mark.parametrize("size", VITS)
def test_the_large_sizes_have_a_vit_and_imagenet_normalised_images(size: str) -> None:
    row = VARIANTS[f"deimv2-{size}"]
    width, heads, taps, adapter, ffn, gated, registers, scale, key_bias = VITS[size]
    config = Deimv2Config(**row.config)
    backbone = config.backbone_config
    assert (backbone.model_type, backbone.num_hidden_layers, backbone.rope_theta) == ("dinov3_vit", 12, 100.0)
    assert (backbone.hidden_size, backbone.num_attention_heads, backbone.intermediate_size) == (width, heads, ffn)
    assert (backbone.use_gated_mlp, backbone.num_register_tokens, backbone.key_bias) == (gated, registers, key_bias)
    assert (backbone.layerscale_value, backbone.apply_layernorm) == (scale, registers > 0)
    assert backbone.out_indices == [tap + 1 for tap in taps]
    assert config.spatial_tuning_adapter_inplanes == adapter
    assert not config.encoder_has_trailing_conv
    assert (row.mean, row.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@pytest.mark.parametrize("size", PUBLISHED)
def test_its_checkpoints_are_recognised(size: str) -> None:
    state = published(VARIANTS[f"deimv2-{size}"])
    assert recognise_family(state, "folder") is DEIMV2
    facts = read_facts(DEIMV2, state)
    assert matching_variants(DEIMV2, facts) == (f"deimv2-{size}",)
    assert facts["logits"] == 80


@pytest.mark.parametrize("size", PUBLISHED)
def test_the_original_naming_is_recognised(size: str) -> None:
    state = original(published(VARIANTS[f"deimv2-{size}"]))
    assert recognise_family(state, "deimv2.pth") is DEIMV2
    assert matching_variants(DEIMV2, read_facts(DEIMV2, state), original=True) == (f"deimv2-{size}",)


def test_the_original_folder_of_the_hub_is_an_original_file(tmp_path: Path) -> None:
    save_file(read_recipe(FOLDER / "recipes" / "deimv2-atto.json").state_dict(), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"HGNetv2": {"name": "Atto"}, "PostProcessor": {"num_top_queries": 300}}))
    checkpoint = load_checkpoint(tmp_path)
    assert choose_variant(checkpoint) is VARIANTS["deimv2-atto"]
    assert checkpoint.is_original


@pytest.mark.parametrize("name", ["dfine-n", "dfine-x"])
def test_its_ancestor_is_not_mistaken_for_it(name: str) -> None:
    with torch.device("meta"):
        state = DFineForObjectDetection(DFineConfig(**VARIANTS[name].config)).state_dict()
    assert recognise_family(state, "folder") is D_FINE


def small(row: Variant) -> Variant:
    """The row at a fraction of its cost."""
    return dataclasses.replace(row, resolution=192, num_queries=60, config={**row.config, "num_queries": 60})


@pytest.fixture(scope="module", params=["atto", "s"])
def outputs(request: pytest.FixtureRequest) -> Outputs:
    return Outputs(build_reference(small(VARIANTS[f"deimv2-{request.param}"])))


def test_random_weights_give_outputs_that_vary(outputs: Outputs) -> None:
    outputs.check_variety()
    scores = selected_scores(outputs.reference)
    assert len(set(scores.tolist())) == 60


@pytest.mark.parametrize(
    "pattern",
    [
        r"\.sampling_offsets\.weight$",
        r"\.attention_weights\.weight$",
        r"\bdecoder\.layers\.0\.self_attn\.q_proj\.weight$",
        r"\bdecoder\.layers\.0\.mlp\.gate_proj\.weight$",
        r"\breg_conf\.layers\.1\.weight$",
        r"\benc_bbox_head\.layers\.2\.weight$",
        r"\bpre_bbox_head\.layers\.2\.weight$",
        r"\bquery_pos_head\.layers\.2\.weight$",
        r"bbox_embed\.\d+\.layers\.2\.weight$",
    ],
)
def test_random_weights_exercise(pattern: str, outputs: Outputs) -> None:
    assert outputs.without(pattern) > 1e-3


@pytest.mark.parametrize(
    "pattern",
    [r"\.gateway\.gate\.weight$", r"\.lambda1$", r"\bcls_token$", r"\baifi\.0\.layers\.0\.self_attn\.q_proj\.weight$"],
)
def test_random_weights_exercise_the_large_sizes_additions(pattern: str, outputs: Outputs) -> None:
    if outputs.reference.variant.name == "deimv2-s":
        assert outputs.without(pattern) > 1e-3
    else:
        assert not any(re.search(pattern, name) for name, _ in outputs.reference.module.model.named_parameters())


def test_a_folder_of_it_loads_back_with_the_position_embeddings_of_the_original(tmp_path: Path) -> None:
    row = small(VARIANTS["deimv2-n"])
    reference = build_reference(row)
    reference.module.model.save_pretrained(tmp_path)  # type: ignore[operator]
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "eval_size": [640, 640]}))
    checkpoint = load_checkpoint(tmp_path)
    assert choose_variant(checkpoint).name == "deimv2-n"
    loaded = build_reference(row, checkpoint)
    image = reference.example_input()
    with torch.no_grad():
        for ours, theirs in zip(loaded.module(image), reference.module(image), strict=True):
            assert torch.equal(ours, theirs)
