"""Checkpoints in the original projects' form give the detections that the projects' own code gave (``tests/originals``)."""

from __future__ import annotations

import argparse
import copy
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn

from detr2litert.convert.models.checkpoints import choose_variant, load_checkpoint, to_transformers
from detr2litert.convert.models.configuration import settings_of
from detr2litert.convert.models.originals import ADJUSTMENTS, Perceptron, TransposedPositions, model_class
from detr2litert.convert.models.reference import build_reference, load_reference
from detr2litert.convert.models.settings import Size
from detr2litert.convert.models.variants import VARIANTS
from detr2litert.host_runtime.errors import UserError
from tests.originals.compare import agreement, compare, load
from tests.originals.recipe import FOLDER, Detection, Recipe, fill, read_recipe

QUICK = ("deimv2-atto", "dfine-n-320", "deim-n", "lwdetr-tiny-448", "rtdetr-r18-416")
"""One of each project, in the fast lane."""
CONTINUOUS = (
    "dfine-n-384x640",
    "rtdetrv2-r18-dsp",
    "deimv2-femto",
    "lwdetr-tiny",
)
"""What each project has beyond that, in continuous integration; the others are in the slow lane."""
REFUSED = {"lwdetr-tiny-logits": r"is a LW-DETR with bbox_reparam False .args\.bbox_reparam., .* only True"}
PROJECTS = ("dfine", "deim", "deimv2", "rtdetr", "rtdetrv2", "lwdetr")
NAMES = sorted(path.stem for path in (FOLDER / "recipes").glob("*.json") if path.stem.split("-")[0] in PROJECTS)


def lane(name: str) -> tuple[pytest.MarkDecorator, ...]:
    """Returns the mark of a recipe's test; none in the fast lane."""
    if name in QUICK:
        return ()
    return (pytest.mark.ci if name in CONTINUOUS else pytest.mark.slow,)


def recipe(name: str) -> Recipe:
    return read_recipe(FOLDER / "recipes" / f"{name}.json")


def refusal(weights: Path, variant: str | None = None, **requested: Any) -> str:
    """The one line with which the command ends."""
    with pytest.raises(UserError) as caught:
        load_reference(None if variant is None else VARIANTS[variant], str(weights), requested)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def saved(name: str, folder: Path, change: dict[str, Tensor | None] | None = None) -> Path:
    """A recipe's checkpoint with some tensors changed, or left out where None."""
    drawn = recipe(name)
    tensors: dict[str, Any] = {**drawn.state_dict(), **(change or {})}
    path = folder / f"{name}.pth"
    torch.save(fill(drawn.container, {key: value for key, value in tensors.items() if value is not None}), path)
    return path


@pytest.mark.parametrize("name", [pytest.param(name, marks=lane(name)) for name in NAMES if name not in REFUSED])
def test_the_originals_detections(name: str, tmp_path: Path) -> None:
    written = recipe(name)
    reference = load(written, tmp_path)
    assert reference.settings.resize.value == "bilinear_8bit"
    found = compare(written, reference)
    assert found.left == ()
    assert found.iou >= 0.999
    assert found.score <= 1e-3


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_computed_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=REFUSED[name]) as caught:
        load(recipe(name), tmp_path)
    assert "\n" not in str(caught.value)


def test_a_d_fine_file_could_be_deims_and_must_be_named(tmp_path: Path) -> None:
    path = saved("dfine-n-320", tmp_path)
    message = refusal(path)
    assert "could be dfine-n or deim-n, which differ only in activation (relu or silu); choose one with --variant" in message
    assert load_checkpoint(path).variants == ("dfine-n", "deim-n")
    assert "is dfine-n or deim-n, not dfine-s" in refusal(path, "dfine-s")


def test_the_original_projects_and_transformers_resize_in_8_bits(tmp_path: Path) -> None:
    row, original = VARIANTS["dfine-n"], load_checkpoint(saved("dfine-n-320", tmp_path))
    words = "bilinear_8bit: the original project resizes images, not tensors: tools/inference/torch_inf.py"
    assert str(settings_of(row, original).resize) == words
    assert settings_of(row, original, {"resize": "bilinear"}).resize.value == "bilinear"
    assert settings_of(row, replace(original, config={})).resize.value == "bilinear_8bit"
    for name, resize in (("tiny", "bilinear"), ("dfine-tiny", "bilinear_8bit")):
        demo = VARIANTS[name]
        assert demo.default_weights is not None
        assert settings_of(demo, load_checkpoint(demo.default_weights)).resize.value == resize


def test_the_activation_is_a_setting_of_the_whole_decoder(tmp_path: Path) -> None:
    written = recipe("deim-n")
    checkpoint = load_checkpoint(written.write(tmp_path))
    as_d_fine = build_reference(VARIANTS["dfine-n"], checkpoint)
    assert compare(written, as_d_fine, near_ties=False).iou < 0.9
    told = build_reference(VARIANTS["dfine-n"], checkpoint, {"activation": "silu"})
    assert compare(written, told).iou >= 0.999


def test_a_transformers_folder_of_d_fine_is_d_fine_and_computed_by_transformers(tmp_path: Path) -> None:
    row = VARIANTS["dfine-n"]
    config = transformers.DFineConfig(**copy.deepcopy(dict(row.config)), decoder_activation_function="silu")
    transformers.DFineForObjectDetection(config).save_pretrained(tmp_path)
    checkpoint = load_checkpoint(tmp_path)
    assert choose_variant(checkpoint) is row
    assert model_class(row, checkpoint) is transformers.DFineForObjectDetection
    assert build_reference(row, checkpoint).settings.architecture["activation"].value == "silu"


def test_a_transformers_folder_of_rt_detr_is_computed_as_the_second_version(tmp_path: Path) -> None:
    row = VARIANTS["rtdetr-r18"]
    torch.manual_seed(0)
    config = transformers.RTDetrConfig(**copy.deepcopy(dict(row.config)))
    config.id2label = dict(enumerate(row.classes))
    theirs = transformers.RTDetrForObjectDetection(config).eval()
    with torch.no_grad():
        for parameter in theirs.model.decoder.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape))
    theirs.save_pretrained(tmp_path)
    checkpoint = load_checkpoint(tmp_path)
    assert choose_variant(checkpoint) is row
    assert checkpoint.class_names is not None
    mine = build_reference(row, checkpoint, {"resolution": Size(160, 160)})
    image = mine.example_input()
    with torch.no_grad():
        boxes, logits = mine.module(image)
        expected = theirs(pixel_values=image)
    assert float((boxes - expected.pred_boxes).abs().max()) < 1e-5
    assert float((logits - expected.logits).abs().max()) < 1e-4


def test_levels_that_the_widths_show_change_strides_and_size(tmp_path: Path) -> None:
    """Anchors of strides 4, 8, 16 at 320 are those of 8, 16, 32 at 640."""
    reference = build_reference(VARIANTS["dfine-s"], load_checkpoint(saved("dfine-s-p2", tmp_path)))
    assert reference.variant.strides == (4, 8, 16)
    assert reference.variant.feature_levels == (1, 2, 3)
    assert reference.size == (320, 320)
    assert VARIANTS["dfine-s"].strides == (8, 16, 32)


@pytest.mark.parametrize(("name", "channels"), [("dfine-n-gray", 1), ("dfine-n-rgba", 4)])
def test_channels_are_those_of_the_stem(name: str, channels: int, tmp_path: Path) -> None:
    reference = build_reference(VARIANTS["dfine-n"], load_checkpoint(saved(name, tmp_path)))
    settings = reference.settings
    assert (reference.channels, len(settings.mean.value), len(settings.std.value)) == (channels, channels, channels)
    assert str(settings.architecture["input_channels"]) == f"{channels}: the first convolution"


def test_lw_detrs_arguments_are_honoured(tmp_path: Path) -> None:
    """``out_feature_indexes`` counts from 0, the setting from 1."""
    written = recipe("lwdetr-tiny-448")
    arguments = written.container["args"]["$namespace"]
    tensors = written.state_dict()
    path = tmp_path / "x.pth"
    torch.save({"model": tensors, "args": argparse.Namespace(**{**arguments, "out_feature_indexes": [1, 3, 5]})}, path)
    settings = build_reference(VARIANTS["lwdetr-tiny"], load_checkpoint(path)).settings
    assert str(settings.architecture["feature_levels"]) == "2, 4, 6: args.out_feature_indexes"
    assert str(settings.architecture["windowed_blocks"]) == "0, 2, 4: args.window_block_indexes"
    assert (settings.num_queries.value, settings.num_select.value) == (150, 30)
    torch.save({"model": tensors, "args": argparse.Namespace(**{**arguments, "window_block_indexes": "all"})}, path)
    assert "args.window_block_indexes is 'all', but windowed_blocks must be a list of whole numbers from 0" in refusal(path)
    for argument in ("two_stage", "lite_refpoint_refine"):
        torch.save({"model": tensors, "args": argparse.Namespace(**{**arguments, argument: False})}, path)
        assert f"is a LW-DETR with {argument} False (args.{argument})" in refusal(path)


BROKEN: dict[str, tuple[str, str | None, dict[str, Tensor | None], str]] = {
    "another stage width": (
        "dfine-n-320",
        "dfine-n",
        {"encoder.input_proj.0.conv.weight": torch.zeros(128, 96, 1, 1)},
        r"is \[128, 96, 1, 1\], but this detector has \[128, 512, 1, 1\]",
    ),
    "anchors of no size": ("dfine-n-320", "dfine-n", {"decoder.anchors": torch.zeros(1, 7, 4)}, "resolution cannot be read"),
    "an empty gate": ("deim-n", "deim-n", {"decoder.decoder.layers.1.gateway.gate.weight": None}, "1 tensors are missing"),
    "half a gated network": (
        "deimv2-atto",
        None,
        {"decoder.decoder.layers.0.swish_ffn.w12.weight": torch.zeros(161, 64)},
        "do not fit deimv2-atto",
    ),
    "NaN": ("deimv2-atto", None, {"decoder.enc_score_head.bias": torch.full((80,), float("nan"))}, "holds NaN or infinity"),
    "two values of one parameter": (
        "deimv2-atto",
        None,
        {"decoder.decoder.reg_scale": torch.tensor([5.0])},
        r"are both model\.decoder\.reg_scale in transformers",
    ),
    "another decoder": (
        "rtdetr-r18-416",
        None,
        {"decoder.decoder.layers.0.linear1.weight": torch.zeros(7, 256)},
        "do not fit rtdetr-r18: ",
    ),
    "another query position": (
        "rtdetr-r18-416",
        "rtdetrv2-r18",
        {},
        r"is rtdetr-r18, not rtdetrv2-r18 \(RT-DETR instead of RT-DETRv2\)",
    ),
    "another number of layers": (
        "lwdetr-tiny-448",
        None,
        {"backbone.0.encoder.blocks.6.gamma_1": torch.zeros(192)},
        "matches no known variant: LW-DETR with .*backbone layers 7",
    ),
    "another number of queries": (
        "lwdetr-tiny-448",
        None,
        {"query_feat.weight": torch.zeros(1300, 256)},
        r"query_feat\.weight is \[1300, 256\], but this detector has \[1950, 256\]",
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_file_ends_in_one_line(what: str, tmp_path: Path) -> None:
    name, variant, change, message = BROKEN[what]
    path = saved(name, tmp_path, change)
    with pytest.raises(UserError, match=message) as caught:
        load_reference(None if variant is None else VARIANTS[variant], str(path))
    assert "\n" not in str(caught.value)


# The adjustments, each on a small model.


def small(name: str, **config: Any) -> Any:
    row = VARIANTS[name]
    values = {**copy.deepcopy(dict(row.config)), **row.family.fixed_config, **config}
    return getattr(transformers, row.family.config_class)(**values)


def built(name: str, **config: Any) -> tuple[nn.Module, Any]:
    row, made = VARIANTS[name], small(name, **config)
    torch.manual_seed(0)
    model: nn.Module = getattr(transformers, row.family.model_class)(made).eval()
    return model, made


def test_all_heads_get_the_activation_and_the_encoder_keeps_its_own() -> None:
    model, config = built("dfine-n", decoder_activation_function="silu")
    before = {name for name, _ in model.named_parameters()}
    ADJUSTMENTS["activate_heads"](model, config)
    assert {name for name, _ in model.named_parameters()} == before
    decoder = model.get_submodule("model.decoder")
    values = torch.randn(2, 4)
    first, second = decoder.query_pos_head.layers  # type: ignore[union-attr, misc]
    assert torch.allclose(decoder.query_pos_head(values), second(nn.functional.silu(first(values))))  # type: ignore[operator]
    for head in (decoder.pre_bbox_head, decoder.lqe_layers[0].reg_conf, decoder.bbox_embed[1]):  # type: ignore[index, union-attr]
        assert isinstance(head.act(torch.zeros(1)), Tensor)  # type: ignore[union-attr, operator]
        assert float(head.act(torch.tensor(-1.0))) == pytest.approx(-0.2689, abs=1e-4)  # type: ignore[union-attr, operator]
    assert isinstance(model.get_submodule("model.enc_bbox_head"), Perceptron)
    of_the_encoder = model.get_submodule("model.encoder.aifi.0.layers.0.mlp.act")
    assert float(of_the_encoder(torch.tensor(-1.0))) == pytest.approx(-0.1587, abs=1e-3)  # GELU


def test_one_head_under_several_names_remains_one() -> None:
    model, config = built("rtdetrv2-r18")
    decoder = model.get_submodule("model.decoder")
    shared = decoder.bbox_embed[0]  # type: ignore[index]
    decoder.bbox_embed[1] = shared  # type: ignore[index, operator]
    ADJUSTMENTS["activate_heads"](model, config)
    assert decoder.bbox_embed[0] is decoder.bbox_embed[1]  # type: ignore[index]
    assert decoder.bbox_embed[0] is not shared and isinstance(decoder.bbox_embed[0], Perceptron)  # type: ignore[index]


def test_positions_are_transposed_and_equal_for_a_square() -> None:
    model, config = built("dfine-n")
    name = next(name for name, module in model.named_modules() if type(module).__name__.endswith("SinePositionEmbedding"))
    before = model.get_submodule(name)
    ADJUSTMENTS["transpose_positions"](model, config)
    after = model.get_submodule(name)
    assert isinstance(after, TransposedPositions)
    for width, height in ((4, 4), (6, 2)):
        mine = after(width=width, height=height, device=torch.device("cpu"), dtype=torch.float32)
        theirs = before(width=width, height=height, device=torch.device("cpu"), dtype=torch.float32)
        swapped = before(width=height, height=width, device=torch.device("cpu"), dtype=torch.float32)
        assert torch.equal(mine, swapped)
        assert torch.equal(mine, theirs) == (width == height)


def test_query_positions_are_computed_once_in_each_run() -> None:
    model, config = built("deimv2-atto")
    for name in ("keep_first_query_positions", "score_tokens_directly"):
        ADJUSTMENTS[name](model, config)
    head = model.get_submodule("model.decoder.query_pos_head")
    calls: list[Tensor] = []
    head.layers[0].register_forward_hook(lambda _module, _inputs, output: calls.append(output))  # type: ignore[union-attr, index, operator]
    with torch.no_grad():
        for shade in (0.0, 1.0):
            model(pixel_values=torch.full((1, 3, 320, 320), shade))
    assert len(calls) == 2
    assert head._first is None
    assert isinstance(model.get_submodule("model.enc_output"), nn.Identity)


def test_deeper_query_positions_have_deims_shapes() -> None:
    model, config = built("deim-r18")
    ADJUSTMENTS["deepen_query_positions"](model, config)
    layers = model.get_submodule("model.decoder.query_pos_head.layers")
    assert [tuple(layer.weight.shape) for layer in layers] == [(256, 4), (256, 256), (256, 256)]  # type: ignore[attr-defined]


def test_the_tiny_vits_have_no_last_norm_nor_scales() -> None:
    assert [size for size in "nsmlx" if VARIANTS[f"deimv2-{size}"].adjustments] == ["s", "m"]
    with torch.device("meta"):
        model, config = built("deimv2-s")
        ADJUSTMENTS["simplify_tiny_vit"](model, config)
    assert isinstance(model.get_submodule("model.conv_encoder.backbone.norm"), nn.Identity)
    assert not any(re.search(r"lambda1|register_tokens|backbone\.norm", name) for name in model.state_dict())


def test_a_masked_bias_is_multiplied_with_its_mask() -> None:
    name = "backbone.dinov3.blocks.3.attn.qkv.bias"
    mask = torch.tensor([1.0, 1, 0, 0, 1, 1])
    names = to_transformers({name: torch.arange(1.0, 7), f"{name}_mask": mask}, VARIANTS["deimv2-l"].family)
    assert {key.rsplit(".", 2)[1]: values.tolist() for key, values in names.items()} == {
        "q_proj": [1, 2],
        "k_proj": [0, 0],
        "v_proj": [5, 6],
    }


def test_the_names_of_adjustments_are_known_and_used() -> None:
    named = {name for row in VARIANTS.values() for name in (*row.family.adjustments, *row.adjustments)}
    assert named == set(ADJUSTMENTS)


def test_detections_are_matched_one_to_one() -> None:
    from detr2litert.host_runtime.decode import Detection as Found

    one, box = Detection(None, 1, 0.5, (0.0, 0.0, 2.0, 2.0)), (0.0, 0.0, 2.0, 2.0)
    assert agreement([one], [Found(1, "", 0.5, box)]).iou == 1
    assert agreement([one, one], [Found(1, "", 0.5, box)]).left
    assert agreement([one], [Found(2, "", 0.5, box)]).iou == 0
    assert agreement([one], [Found(1, "", 0.5, box)] * 2).left
    shifted = agreement([one], [Found(1, "", 0.4, (1.0, 0.0, 3.0, 2.0))])
    assert (shifted.iou, shifted.score) == (pytest.approx(1 / 3), pytest.approx(0.1))
