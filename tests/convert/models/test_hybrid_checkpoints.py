"""D-FINE and RT-DETRv2 checkpoints: transformers folders and the original projects' files load alike."""

from __future__ import annotations

import dataclasses
import re
import shutil
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import save_file
from torch import Tensor

from detr2litert.convert.models.checkpoints import Checkpoint, choose_variant, load_checkpoint, to_transformers
from detr2litert.convert.models.checkpoints.identify import matching_variants, read_facts, recognise_family
from detr2litert.convert.models.originals import model_class
from detr2litert.convert.models.reference import Reference, build_reference
from detr2litert.convert.models.settings import Size
from detr2litert.convert.models.variants import VARIANTS, Variant
from detr2litert.convert.models.variants.rt_detr_v2 import rt_detr_v2_row
from detr2litert.host_runtime.errors import UserError
from tests.convert.hybrid_checkpoints import decoder_buffers, to_d_fine, to_rt_detr_v2

TINY = VARIANTS["dfine-tiny"]
ORIGINAL = {"D-FINE": to_d_fine, "RT-DETRv2": to_rt_detr_v2}
SIZES = [row.name for row in VARIANTS.values() if row.family.name in ORIGINAL]


def small(name: str, basic: bool, expansion: float, decoder_layers: int, trained_layers: int = 0) -> Variant:
    """An RT-DETRv2 of a size that loads in a second, with the peculiarities of a published one."""
    row = rt_detr_v2_row(
        name,
        blocks=(1, 2, 1, 1),
        decoder_layers=decoder_layers,
        trained_layers=trained_layers,
        basic=basic,
        expansion=expansion,
        encoder_width=96,
        encoder_ffn=64,
        source="a test",
    )
    widths = [8, 16, 24, 32] if basic else [32, 64, 96, 128]
    config = {
        **row.config,
        "backbone_config": {**row.config["backbone_config"], "hidden_sizes": widths, "embedding_size": 8},
        "encoder_in_channels": widths[1:],
        "d_model": 32,
        "decoder_ffn_dim": 64,
        "decoder_attention_heads": 4,
    }
    return dataclasses.replace(row, resolution=160, config=config)


LIKE_R18 = small("like-r18", basic=True, expansion=0.5, decoder_layers=2)
LIKE_R50 = small("like-r50", basic=False, expansion=1.0, decoder_layers=2)
LIKE_R50M = small("like-r50m", basic=False, expansion=0.5, decoder_layers=2, trained_layers=4)


def original(reference: Reference) -> dict[str, Tensor]:
    state = ORIGINAL[reference.variant.family.name](reference.module.model.state_dict())
    return {**state, **decoder_buffers(reference.size, reference.variant.strides)}


def saved(thing: object, path: Path) -> Path:
    torch.save(thing, path)
    return path


def assert_equal(mine: Reference, other: Reference) -> None:
    image = mine.example_input()
    for one, two in zip(mine.module(image), other.module(image), strict=True):
        assert torch.equal(one, two)


def described(name: str, original_names: bool) -> Checkpoint:
    """A checkpoint of a published size, read from tensors without data."""
    row = VARIANTS[name]
    layers = max(row.config["decoder_layers"], row.expected["decoder layers"])
    # DEIM's exist only in the original form.
    model = model_class(row, None)
    labels = dict(enumerate(row.classes))
    with torch.device("meta"):
        config = getattr(transformers, row.family.config_class)(**{**row.config, "decoder_layers": layers, "id2label": labels})
        state = model(config).state_dict()
    if original_names:
        state = ORIGINAL[row.family.name](state)
    family = recognise_family(state, "x.pth")
    facts = read_facts(family, state)
    variants = matching_variants(family, facts, original_names)
    return Checkpoint("x.pth", state, "", family, facts, facts["logits"], None, None, variants)


@pytest.mark.parametrize("original_names", [False, True], ids=["transformers", "original"])
@pytest.mark.parametrize("name", SIZES)
def test_every_size_is_distinguished_from_the_others(name: str, original_names: bool) -> None:
    if VARIANTS[name].only_original and not original_names:
        pytest.skip("there are no transformers folders of it")
    checkpoint = described(name, original_names)
    # Nothing in an original D-FINE says that it is not DEIM's.
    size = re.fullmatch(r"(?:dfine|deim)-([nsmlx])", name) if original_names else None
    expected = (f"dfine-{size[1]}", f"deim-{size[1]}") if size else (name,)
    assert checkpoint.variants == expected
    assert checkpoint.logit_columns == len(VARIANTS[name].classes)
    assert choose_variant(checkpoint, name) is VARIANTS[name]
    other = next(other for other in SIZES if other not in expected)
    found = " or ".join(expected)
    with pytest.raises(UserError, match=rf"is {found}, not {other} .*use --variant {found}"):
        choose_variant(checkpoint, other)


@pytest.mark.parametrize("row", [TINY, LIKE_R18, LIKE_R50], ids=lambda row: row.name)
def test_the_original_file_loads_like_the_transformers_folder(row: Variant, tmp_path: Path) -> None:
    """The average is used, as in the projects' own export (tools/deployment/export_onnx.py of both)."""
    reference = build_reference(row)
    weights = original(reference)
    other = {name: tensor + 1 for name, tensor in weights.items() if tensor.is_floating_point()}
    contents = {"date": "today", "last_epoch": 3, "model": other, "ema": {"module": weights, "updates": 7}}
    path = saved(contents, tmp_path / "x.pth")
    assert_equal(reference, build_reference(row, load_checkpoint(path)))
    plain = load_checkpoint(saved({"model": weights}, tmp_path / "plain.pth"))
    assert plain.sha256 == load_checkpoint(path).sha256
    assert plain.class_names is None


def test_layers_that_evaluation_does_not_use_are_skipped(tmp_path: Path) -> None:
    """RT-DETRv2-M: six layers in the file, eval_idx 2 (rtdetrv2_r50vd_m_7x_coco.yml), where rtdetrv2_decoder.py stops."""
    reference = build_reference(LIKE_R50M)
    weights = original(reference)
    for name in list(weights):
        deeper = re.match(r"(decoder\.(?:decoder\.layers|dec_score_head|dec_bbox_head)\.)0(\..*)", name)
        if deeper:
            weights.update({f"{deeper[1]}{layer}{deeper[2]}": weights[name] + 1 for layer in (2, 3)})
    checkpoint = load_checkpoint(saved(weights, tmp_path / "m.pth"))
    assert checkpoint.facts["decoder layers"] == 4
    loaded = build_reference(LIKE_R50M, checkpoint)
    assert_equal(reference, loaded)
    assert loaded.settings.architecture["decoder_layers"].value == 2


@pytest.mark.parametrize("heads", ["decoder", "top", "both"])
def test_a_folder_in_the_naming_of_the_published_ones(heads: str, tmp_path: Path) -> None:
    """transformers has the decoder's heads twice, and a folder may have them in either place; see also its older names."""
    reference = build_reference(TINY)
    model = reference.module.model
    model.config.id2label = dict(enumerate(TINY.classes))
    model.save_pretrained(tmp_path / "now")
    checkpoint = load_checkpoint(tmp_path / "now")
    assert checkpoint.class_names == dict(enumerate(TINY.classes))
    assert choose_variant(checkpoint) is TINY
    assert_equal(reference, build_reference(TINY, checkpoint))

    weights = to_transformers(original(reference), TINY.family)
    assert "model.encoder.encoder.0.layers.0.fc1.weight" in weights
    for name in [name for name in weights if re.match(r"model\.decoder\.(class|bbox)_embed\.", name)]:
        if heads != "decoder":
            weights[name.removeprefix("model.decoder.")] = weights[name].clone()
        if heads == "top":
            del weights[name]
    (tmp_path / "published").mkdir()
    shutil.copy(tmp_path / "now/config.json", tmp_path / "published")
    save_file(weights, tmp_path / "published/model.safetensors")
    assert_equal(reference, build_reference(TINY, load_checkpoint(tmp_path / "published")))


# As the original modules name them, and below it as the conversion scripts of huggingface/transformers write them:
# convert_d_fine_original_pytorch_checkpoint_to_hf.py (ORIGINAL_TO_CONVERTED_KEY_MAPPING) and
# convert_rt_detr_v2_weights_to_hf.py (create_rename_keys).
CONVERTED = {
    "D-FINE": """
        backbone.stem.stem2a.conv.weight
            model.backbone.model.embedder.stem2a.convolution.weight
        backbone.stem.stem4.bn.running_var
            model.backbone.model.embedder.stem4.normalization.running_var
        backbone.stem.stem1.lab.scale
            model.backbone.model.embedder.stem1.lab.scale
        backbone.stages.0.blocks.0.layers.1.conv.weight
            model.backbone.model.encoder.stages.0.blocks.0.layers.1.convolution.weight
        backbone.stages.2.blocks.1.layers.0.conv2.bn.bias
            model.backbone.model.encoder.stages.2.blocks.1.layers.0.conv2.normalization.bias
        backbone.stages.2.blocks.1.layers.0.conv1.conv.weight
            model.backbone.model.encoder.stages.2.blocks.1.layers.0.conv1.convolution.weight
        backbone.stages.3.blocks.0.aggregation.1.conv.weight
            model.backbone.model.encoder.stages.3.blocks.0.aggregation.1.convolution.weight
        backbone.stages.1.downsample.bn.weight
            model.backbone.model.encoder.stages.1.downsample.normalization.weight
        encoder.encoder.0.layers.0.self_attn.out_proj.weight
            model.encoder.encoder.0.layers.0.self_attn.out_proj.weight
        encoder.encoder.0.layers.0.linear2.bias
            model.encoder.encoder.0.layers.0.fc2.bias
        encoder.encoder.0.layers.0.norm1.weight
            model.encoder.encoder.0.layers.0.self_attn_layer_norm.weight
        encoder.encoder.0.layers.0.norm2.weight
            model.encoder.encoder.0.layers.0.final_layer_norm.weight
        encoder.input_proj.1.conv.weight
            model.encoder_input_proj.1.0.weight
        encoder.input_proj.1.norm.running_mean
            model.encoder_input_proj.1.1.running_mean
        encoder.lateral_convs.0.norm.weight
            model.encoder.lateral_convs.0.norm.weight
        encoder.fpn_blocks.0.cv1.conv.weight
            model.encoder.fpn_blocks.0.conv1.conv.weight
        encoder.fpn_blocks.0.cv2.0.conv1.conv.weight
            model.encoder.fpn_blocks.0.csp_rep1.conv1.conv.weight
        encoder.fpn_blocks.0.cv2.1.norm.bias
            model.encoder.fpn_blocks.0.conv2.norm.bias
        encoder.pan_blocks.1.cv3.0.bottlenecks.0.conv2.norm.bias
            model.encoder.pan_blocks.1.csp_rep2.bottlenecks.0.conv2.norm.bias
        encoder.pan_blocks.1.cv3.1.conv.weight
            model.encoder.pan_blocks.1.conv3.conv.weight
        encoder.pan_blocks.1.cv4.conv.weight
            model.encoder.pan_blocks.1.conv4.conv.weight
        encoder.downsample_convs.0.0.cv2.conv.weight
            model.encoder.downsample_convs.0.conv2.conv.weight
        decoder.decoder.layers.1.cross_attn.sampling_offsets.bias
            model.decoder.layers.1.encoder_attn.sampling_offsets.bias
        decoder.decoder.layers.1.cross_attn.num_points_scale
            model.decoder.layers.1.encoder_attn.num_points_scale
        decoder.decoder.layers.1.gateway.gate.weight
            model.decoder.layers.1.gateway.gate.weight
        decoder.decoder.layers.1.norm1.weight
            model.decoder.layers.1.self_attn_layer_norm.weight
        decoder.decoder.layers.1.norm3.weight
            model.decoder.layers.1.final_layer_norm.weight
        decoder.decoder.layers.1.linear1.weight
            model.decoder.layers.1.fc1.weight
        decoder.decoder.lqe_layers.2.reg_conf.layers.0.weight
            model.decoder.lqe_layers.2.reg_conf.layers.0.weight
        decoder.dec_score_head.2.bias
            model.decoder.class_embed.2.bias
        decoder.dec_bbox_head.2.layers.1.bias
            model.decoder.bbox_embed.2.layers.1.bias
        decoder.pre_bbox_head.layers.0.weight
            model.decoder.pre_bbox_head.layers.0.weight
        decoder.input_proj.0.conv.weight
            model.decoder_input_proj.0.0.weight
        decoder.denoising_class_embed.weight
            model.denoising_class_embed.weight
        decoder.query_pos_head.layers.1.bias
            model.decoder.query_pos_head.layers.1.bias
        decoder.enc_output.proj.weight
            model.enc_output.0.weight
        decoder.enc_output.norm.bias
            model.enc_output.1.bias
        decoder.enc_score_head.weight
            model.enc_score_head.weight
        decoder.enc_bbox_head.layers.2.bias
            model.enc_bbox_head.layers.2.bias
        decoder.up
            model.decoder.up
        decoder.reg_scale
            model.decoder.reg_scale
    """,
    "RT-DETRv2": """
        backbone.conv1.conv1_1.conv.weight
            model.backbone.model.embedder.embedder.0.convolution.weight
        backbone.conv1.conv1_3.norm.running_var
            model.backbone.model.embedder.embedder.2.normalization.running_var
        backbone.res_layers.0.blocks.0.short.conv.weight
            model.backbone.model.encoder.stages.0.layers.0.shortcut.convolution.weight
        backbone.res_layers.0.blocks.0.short.norm.bias
            model.backbone.model.encoder.stages.0.layers.0.shortcut.normalization.bias
        backbone.res_layers.2.blocks.0.short.conv.conv.weight
            model.backbone.model.encoder.stages.2.layers.0.shortcut.1.convolution.weight
        backbone.res_layers.2.blocks.0.short.conv.norm.weight
            model.backbone.model.encoder.stages.2.layers.0.shortcut.1.normalization.weight
        backbone.res_layers.1.blocks.2.branch2a.conv.weight
            model.backbone.model.encoder.stages.1.layers.2.layer.0.convolution.weight
        backbone.res_layers.1.blocks.2.branch2b.norm.weight
            model.backbone.model.encoder.stages.1.layers.2.layer.1.normalization.weight
        backbone.res_layers.1.blocks.2.branch2c.conv.weight
            model.backbone.model.encoder.stages.1.layers.2.layer.2.convolution.weight
        encoder.encoder.0.layers.0.linear1.weight
            model.encoder.encoder.0.layers.0.fc1.weight
        encoder.input_proj.2.norm.weight
            model.encoder_input_proj.2.1.weight
        encoder.fpn_blocks.1.conv3.norm.weight
            model.encoder.fpn_blocks.1.conv3.norm.weight
        encoder.pan_blocks.0.bottlenecks.2.conv1.conv.weight
            model.encoder.pan_blocks.0.bottlenecks.2.conv1.conv.weight
        encoder.downsample_convs.1.conv.weight
            model.encoder.downsample_convs.1.conv.weight
        decoder.decoder.layers.5.cross_attn.value_proj.weight
            model.decoder.layers.5.encoder_attn.value_proj.weight
        decoder.decoder.layers.5.cross_attn.num_points_scale
            model.decoder.layers.5.encoder_attn.n_points_scale
        decoder.decoder.layers.5.norm2.weight
            model.decoder.layers.5.encoder_attn_layer_norm.weight
        decoder.dec_score_head.5.weight
            model.decoder.class_embed.5.weight
        decoder.input_proj.1.norm.bias
            model.decoder_input_proj.1.1.bias
    """,
}


@pytest.mark.parametrize("family", CONVERTED)
def test_names_are_those_of_transformers_own_conversion(family: str) -> None:
    row = next(row for row in VARIANTS.values() if row.family.name == family)
    names = CONVERTED[family].split()
    for original_name, converted in zip(names[::2], names[1::2], strict=True):
        assert list(to_transformers({original_name: torch.zeros(1)}, row.family)) == [converted]


@pytest.mark.parametrize("where", ["encoder.encoder.0.layers.0", "decoder.decoder.layers.1"])
def test_fused_projections_are_split_in_the_order_of_multihead_attention(where: str) -> None:
    fused = torch.arange(12.0).reshape(6, 2)
    split = to_transformers({f"{where}.self_attn.in_proj_weight": fused}, TINY.family)
    name = f"model.{where.replace('decoder.decoder', 'decoder')}.self_attn."
    assert [split[f"{name}{part}_proj.weight"].tolist() for part in "qkv"] == [rows.tolist() for rows in fused.split(2)]


def test_two_tensors_of_one_name_must_be_one_parameter() -> None:
    where = "encoder.encoder.0.layers.0.self_attn"
    fused, query = torch.arange(12.0).reshape(6, 2), f"model.{where}.q_proj.weight"
    assert query in to_transformers({f"{where}.in_proj_weight": fused, query: fused[:2]}, TINY.family)
    with pytest.raises(UserError, match=r"are both model\.encoder.*q_proj\.weight in transformers, with different values"):
        to_transformers({f"{where}.in_proj_weight": fused, query: fused[2:4]}, TINY.family)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("missing", r"1 tensors are missing, the first is .*lateral_convs\.0\.conv\.weight"),
        ("unexpected", r"1 tensors are unexpected, the first is .*extra"),
        ("shape", r"is \[5, 96, 1, 1\], but this detector has \["),
        ("deployed", "converted for deployment"),
        ("nan", r"lateral_convs\.0\.conv\.weight holds NaN"),
    ],
)
def test_a_mismatch_is_one_line(change: str, message: str, tmp_path: Path) -> None:
    weights = original(build_reference(TINY))
    name = "encoder.lateral_convs.0.conv.weight"
    if change == "missing":
        del weights[name]
    elif change == "unexpected":
        weights["encoder.extra.weight"] = torch.zeros(1)
    elif change == "shape":
        weights[name] = torch.zeros(5, 96, 1, 1)
    elif change == "deployed":
        weights["encoder.lateral_convs.0.conv_bn_fused.weight"] = weights.pop(name)
    else:
        weights[name] = weights[name] * float("nan")
    with pytest.raises(UserError, match=message) as caught:
        build_reference(TINY, load_checkpoint(saved({"ema": {"module": weights}}, tmp_path / "x.pth")))
    assert "\n" not in str(caught.value)


def test_a_checkpoint_of_another_family_names_both(tmp_path: Path) -> None:
    checkpoint = load_checkpoint(saved(original(build_reference(TINY)), tmp_path / "x.pth"))
    with pytest.raises(UserError, match=r"is dfine-tiny, not rtdetrv2-r18 .D-FINE instead of RT-DETRv2."):
        choose_variant(checkpoint, "rtdetrv2-r18")


def test_too_few_tokens_name_the_least_resolution() -> None:
    with pytest.raises(UserError, match="189 tokens, too few for 300 queries; the least square resolution is 128"):
        build_reference(VARIANTS["dfine-s"], requested={"resolution": Size(96, 96)})
