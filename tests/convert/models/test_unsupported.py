"""Detectors that cannot be compiled: each is refused in one line with the reason."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from detr2litert.convert.models.checkpoints import load_checkpoint
from detr2litert.convert.models.checkpoints.unsupported import describe_library
from detr2litert.host_runtime.errors import UserError

SOUGHT = "the compiler looks for a top-k whose indices select tokens (the query selection of a two-stage DETR)"

# Names as the projects' own checkpoints have them: facebookresearch/detr models/detr.py and transformer.py,
# fundamentalvision/Deformable-DETR models/deformable_transformer.py, Atten4Vis/ConditionalDETR models/transformer.py,
# ultralytics/ultralytics and Megvii-BaseDetection/YOLOX modules by index and by name, torchvision's Faster R-CNN,
# lyuwenyu/RT-DETR rtdetr_pytorch/src/zoo/rtdetr/rtdetr_decoder.py; and as transformers has them.
WITHOUT_SELECTION = {
    "a plain DETR": (
        ("query_embed.weight", "transformer.decoder.layers.0.multihead_attn.in_proj_weight", "class_embed.weight"),
        ("model.query_position_embeddings.weight", "model.decoder.layers.0.encoder_attn.k_proj.weight"),
    ),
    "a single-stage Deformable DETR": (
        (
            "transformer.level_embed",
            "transformer.reference_points.weight",
            "query_embed.weight",
            "transformer.decoder.layers.0.cross_attn.sampling_offsets.weight",
        ),
        ("model.level_embed", "model.reference_points.weight", "model.query_position_embeddings.weight"),
    ),
    "a Conditional DETR": (("query_embed.weight", "transformer.decoder.layers.0.ca_qpos_proj.weight"),),
    "a YOLOS": (("vit.embeddings.detection_tokens", "class_labels_classifier.layers.0.weight"),),
    "a YOLO": (
        ("model.0.conv.weight", "model.22.dfl.conv.weight"),
        ("model.model.0.conv.weight", "model.model.24.m.0.weight"),
        ("backbone.backbone.stem.conv.conv.weight", "head.cls_preds.0.weight"),
    ),
    "a region-based detector": (("backbone.body.conv1.weight", "rpn.head.conv.0.0.weight", "roi_heads.box_head.fc6.weight"),),
    "not of a known architecture": (("conv1.weight", "fc.bias"),),
}
WITH_SELECTION = {
    "an RT-DETR with another backbone than ResNet-vd": (
        (
            "encoder.lateral_convs.0.conv.weight",
            "decoder.enc_score_head.weight",
            "decoder.decoder.layers.0.cross_attn.sampling_offsets.weight",
        ),
        (
            "model.encoder.lateral_convs.0.conv.weight",
            "model.enc_score_head.weight",
            "model.decoder.layers.0.encoder_attn.sampling_offsets.weight",
        ),
    ),
    "a two-stage Deformable DETR": (
        ("transformer.level_embed", "transformer.pos_trans.weight", "transformer.enc_output.weight"),
    ),
    "not of a known architecture": (
        ("transformer.enc_out_class_embed.weight", "transformer.tgt_embed.weight"),
        ("encoder.lateral_convs.0.conv.weight", "decoder.enc_score_head.weight", "decoder.decoder.num_points_scale"),
    ),
}


def refusal(names: tuple[str, ...], folder: Path) -> str:
    torch.save({name: torch.zeros(1) for name in names}, folder / "x.pth")
    with pytest.raises(UserError) as caught:
        load_checkpoint(folder / "x.pth")
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("what", WITHOUT_SELECTION)
def test_a_detector_without_query_selection(what: str, tmp_path: Path) -> None:
    for names in WITHOUT_SELECTION[what]:
        message = refusal(names, tmp_path)
        assert f"x.pth is {what}" in message
        assert message.endswith(f"{SOUGHT} and found none")


@pytest.mark.parametrize("what", WITH_SELECTION)
def test_a_detector_with_a_selection_and_no_variant(what: str, tmp_path: Path) -> None:
    for names in WITH_SELECTION[what]:
        message = refusal(names, tmp_path)
        assert f"x.pth is {what}" in message
        assert "it has a query selection, but no variant matches its architecture" in message


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"model_type": "detr"}, ("a plain DETR ('detr' in config.json)", SOUGHT)),
        ({"model_type": "yolos"}, ("a YOLOS", SOUGHT)),
        ({"model_type": "deformable_detr"}, ("a single-stage Deformable DETR", SOUGHT)),
        ({"model_type": "deformable_detr", "two_stage": True}, ("a two-stage Deformable DETR", "`convert variants`")),
        ({"model_type": "conditional_detr"}, ("a Conditional DETR", SOUGHT)),
        ({"model_type": "bert"}, ("a 'bert' model", SOUGHT, "`convert variants`")),
    ],
)
def test_a_folder_of_another_model(config: dict[str, object], words: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError) as caught:
        load_checkpoint(tmp_path)
    for word in words:
        assert word in str(caught.value)


def test_a_transformer_that_is_not_a_detector(tmp_path: Path) -> None:
    names = tuple(nn.TransformerEncoderLayer(8, 2).state_dict())
    known = "RF-DETR Seg, RF-DETR Keypoints, D-FINE-seg, RF-DETR, D-FINE, RT-DETRv2"
    assert f"not of a known architecture ({known}" in refusal(names, tmp_path)


@pytest.mark.parametrize("name", ["ultralytics.nn.tasks.DetectionModel", "models.yolo.DetectionModel", "yolox.models.YOLOX"])
def test_a_pickled_yolo_is_identified(name: str) -> None:
    message = describe_library(name)
    assert message is not None
    assert name in message
    assert message.endswith(f"{SOUGHT} and found none")
    assert describe_library("posix.mkdir") is None
