"""The table of detectors: figures, look-ups, and suggestions for mistyped names."""

from __future__ import annotations

import importlib
from collections.abc import Callable

import pytest
from transformers import PreTrainedConfig

from detr2litert.convert.demo.scenes import CLASSES, SIDE
from detr2litert.convert.models.coco import COCO_CONTIGUOUS, COCO_SPARSE
from detr2litert.convert.models.configuration import settings_of
from detr2litert.convert.models.settings import Size
from detr2litert.convert.models.settings.setting import SETTINGS
from detr2litert.convert.models.variants import FAMILIES, VARIANTS, Variant, find_variant
from detr2litert.host_runtime.errors import UserError
from tools.demo_training.detectors import DEMO_DETECTORS, d_fine_config, rf_detr_config, rf_detr_seg_config

# name: resolution, patch, windows, decoder layers, position grid, feature levels (roboflow/rf-detr, src/rfdetr/config.py).
PUBLISHED = {
    "nano": (384, 16, 2, 2, 24, (3, 6, 9, 12)),
    "small": (512, 16, 2, 3, 32, (3, 6, 9, 12)),
    "medium": (576, 16, 2, 4, 36, (3, 6, 9, 12)),
    "base": (560, 14, 4, 3, 37, (2, 5, 8, 11)),
    "large": (704, 16, 2, 4, 44, (3, 6, 9, 12)),
}
# name: width, encoder width, its feed-forward width, decoder layers, expansion, depth, points, strides, reg_scale, millions of
# parameters (Peterande/D-FINE: configs/dfine/*.yml, src/nn/backbone/hgnetv2.py; the last from README.md's table).
D_FINE = {
    "dfine-n": (128, 128, 512, 3, 0.34, 0.5, [6, 6], [16, 32], 4, 4),
    "dfine-s": (256, 256, 1024, 3, 0.5, 0.34, [3, 6, 3], [8, 16, 32], 4, 10),
    "dfine-m": (256, 256, 1024, 4, 1.0, 0.67, [3, 6, 3], [8, 16, 32], 4, 19),
    "dfine-l": (256, 256, 1024, 6, 1.0, 1.0, [3, 6, 3], [8, 16, 32], 4, 31),
    "dfine-x": (256, 384, 2048, 6, 1.0, 1.0, [3, 6, 3], [8, 16, 32], 8, 62),
}
# name: blocks, encoder width, its feed-forward width, expansion, decoder layers that evaluation reaches, millions of parameters
# (lyuwenyu/RT-DETR: rtdetrv2_pytorch/configs/rtdetrv2/*.yml; the last from its README.md's table, which counts all layers).
RT_DETR_V2 = {
    "rtdetrv2-r18": ([2, 2, 2, 2], 256, 1024, 0.5, 3, 20),
    "rtdetrv2-r34": ([3, 4, 6, 3], 256, 1024, 0.5, 4, 31),
    "rtdetrv2-r50": ([3, 4, 6, 3], 256, 1024, 1.0, 6, 42),
    "rtdetrv2-r50m": ([3, 4, 6, 3], 256, 1024, 0.5, 3, 36),
    "rtdetrv2-r101": ([3, 4, 23, 3], 384, 2048, 1.0, 6, 76),
}
WITHOUT_WEIGHTS = (
    *("rtdetrv2-r50m", "rtdetr-r50m", "xlarge", "2xlarge", "keypoint-preview"),
    *(name for name in VARIANTS if name.startswith("seg-")),
)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_figures(name: str) -> None:
    row = VARIANTS[name]
    assert (row.resolution, row.patch, row.windows, row.decoder_layers, row.position_grid, row.feature_levels) == PUBLISHED[
        name
    ]
    assert row.config["layer_norm_eps"] == 1e-6
    assert row.config["decoder_n_points"] == 2
    assert (row.num_queries, row.num_select, len(row.classes)) == (300, 300, 91)
    assert row.hub_id == f"Roboflow/rf-detr-{name}"
    assert f"RFDETR{name.capitalize()}Config" in row.source


@pytest.mark.parametrize("name", D_FINE)
def test_published_d_fine_figures(name: str) -> None:
    row, config = VARIANTS[name], VARIANTS[name].config
    width, encoder, ffn, layers, expansion, depth, points, strides, reg_scale, millions = D_FINE[name]
    assert (config["d_model"], config["encoder_hidden_dim"], config["encoder_ffn_dim"]) == (width, encoder, ffn)
    assert (config["decoder_layers"], config["hidden_expansion"], config["depth_mult"]) == (layers, expansion, depth)
    assert (config["decoder_n_points"], config["feat_strides"], config["reg_scale"]) == (points, strides, reg_scale)
    assert int(_parameters(name)) == pytest.approx(millions, abs=1)
    check_coco_at_640(row)


@pytest.mark.parametrize("name", RT_DETR_V2)
def test_published_rt_detr_v2_figures(name: str) -> None:
    row, config = VARIANTS[name], VARIANTS[name].config
    blocks, encoder, ffn, expansion, layers, millions = RT_DETR_V2[name]
    assert (config["backbone_config"]["depths"], config["encoder_hidden_dim"], config["encoder_ffn_dim"]) == (
        blocks,
        encoder,
        ffn,
    )
    assert (config["hidden_expansion"], config["decoder_layers"], config["decoder_n_points"]) == (expansion, layers, 4)
    assert int(_parameters(name)) == pytest.approx(millions, abs=1)
    check_coco_at_640(row)


@pytest.mark.parametrize("row", VARIANTS.values(), ids=list(VARIANTS))
def test_settings_of_the_original_project_are_settings(row: Variant) -> None:
    """RF-DETR's own prediction resizes floats, all others' images: D-FINE-seg's with OpenCV, without antialias.

    transformers resizes 8-bit tensors, which gives the same.
    """
    for name, setting in row.original_settings.items():
        assert SETTINGS[name].parse(setting.value) == setting.value
        assert name in row.default_settings()
    resizes = [setting.value for name, setting in row.original_settings.items() if name == "resize"]
    with_opencv = row.family.name == "D-FINE-seg"
    own = "bilinear" if with_opencv else "bilinear_8bit"
    assert resizes == ([] if row.family.name.startswith("RF-DETR") else [own])
    assert row.resize == own or row.family.name.startswith("RF-DETR")


def check_coco_at_640(row: Variant) -> None:
    """D-FINE's and RT-DETRv2's values: [0, 1] without ImageNet's statistics, resized in 8 bits, 80 classes, 300 queries."""
    assert (row.resolution, row.resolution_step, row.resize) == (640, 32, "bilinear_8bit")
    assert (row.mean, row.std) == ((0, 0, 0), (1, 1, 1))
    assert (row.num_queries, row.num_select, row.classes) == (300, 300, COCO_CONTIGUOUS)


def _parameters(name: str) -> float:
    """Millions of them, heads counted once, and with the layers that only training uses."""
    import torch

    row = VARIANTS[name]
    labels = {"id2label": dict(enumerate(row.classes))}
    with torch.device("meta"):
        layers = {"decoder_layers": row.expected["decoder layers"]}
        config = getattr(importlib.import_module(row.family.module), row.family.config_class)(
            **{**row.config, **labels, **layers}
        )
        model = getattr(importlib.import_module(row.family.module), row.family.model_class)(config)
    return sum(parameter.numel() for parameter in model.parameters()) / 1e6


def test_contiguous_classes_are_the_sparse_ones_without_holes() -> None:
    assert len(COCO_CONTIGUOUS) == 80
    assert list(COCO_CONTIGUOUS) == [name for name in COCO_SPARSE if name is not None]
    assert (COCO_CONTIGUOUS[0], COCO_CONTIGUOUS[11], COCO_CONTIGUOUS[79]) == ("person", "stop sign", "toothbrush")


@pytest.mark.parametrize("row", VARIANTS.values(), ids=lambda row: row.name)
def test_every_row_is_consistent(row) -> None:  # type: ignore[no-untyped-def]
    assert row.family in FAMILIES
    assert settings_of(row).resolution.value == (row.resolution, row.resolution)
    assert set(row.expected) <= set(row.family.facts)
    assert "logits" in row.family.facts
    assert row.source
    assert row.default_weights or row.name in WITHOUT_WEIGHTS or row.family.name == "DEIMv2" or row.only_original
    assert not row.strides or row.strides[-1] <= row.resolution_step


@pytest.mark.parametrize(
    ("name", "trained"), [("tiny", rf_detr_config), ("dfine-tiny", d_fine_config), ("tiny-seg", rf_detr_seg_config)]
)
def test_the_demo_rows_are_the_architectures_that_are_trained(name: str, trained: Callable[[], PreTrainedConfig]) -> None:

    row = VARIANTS[name]
    assert row.classes == CLASSES
    mine = getattr(importlib.import_module(row.family.module), row.family.config_class)(**row.config).to_dict()
    theirs = trained().to_dict()
    for key in ("id2label", "label2id"):
        mine.pop(key), theirs.pop(key)
    assert mine == theirs
    # tiny-seg is trained on from tiny.
    detector = DEMO_DETECTORS[name.removesuffix("-seg")]
    assert (row.mean, row.std) == (detector.mean, detector.std)
    assert (row.resolution, row.num_queries) == (SIDE, trained().num_queries)


def test_case_does_not_matter() -> None:
    assert find_variant("Nano") is VARIANTS["nano"]


@pytest.mark.parametrize(
    ("typed", "suggestion"), [("nanno", "did you mean nano"), ("smal", "small"), ("qqqq", "choose from nano")]
)
def test_an_unknown_name_gets_the_nearest(typed: str, suggestion: str) -> None:
    with pytest.raises(UserError, match=suggestion):
        find_variant(typed)


@pytest.mark.parametrize(("resolution", "neighbours"), [(390, "384 and 416"), (10, "nearest to 10: 32$")])
def test_a_resolution_that_does_not_fit_names_its_neighbours(resolution: int, neighbours: str) -> None:
    with pytest.raises(UserError, match=neighbours):
        settings_of(VARIANTS["nano"], requested={"resolution": Size(resolution, resolution)})
