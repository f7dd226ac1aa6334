"""Broken and ambiguous checkpoints: each ends in one line that names the file, the place and what to do."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from detr2litert.convert.models.classes import resolve_classes
from detr2litert.convert.models.reference import build_reference, load_reference
from detr2litert.convert.models.variants import VARIANTS
from detr2litert.host_runtime.errors import UserError
from tests.convert.rfdetr_checkpoints import rfdetr_state

NAMES = ["bolt", "nut", "washer"]

Contents = Callable[[dict[str, Tensor]], object]


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    return rfdetr_state(VARIANTS["tiny"], len(NAMES) + 1)


def namespace(**arguments: Any) -> Contents:
    return lambda state: {"model": state, "args": argparse.Namespace(**arguments)}


def both(args: Mapping[str, Any], model_config: Mapping[str, Any]) -> Contents:
    return lambda state: {"model": state, "args": dict(args), "model_config": dict(model_config)}


def changed(name: str, change: Callable[[Tensor], Tensor | None]) -> Contents:
    """The state dict with the tensors whose name contains ``name`` changed, or left out where None."""

    def contents(state: dict[str, Tensor]) -> object:
        tensors = {key: change(value) if name in key else value for key, value in state.items()}
        return {"model": {key: value for key, value in tensors.items() if value is not None}}

    return contents


def added(**tensors: Tensor) -> Contents:
    return lambda state: {"model": {**state, **{name.replace("__", "."): value for name, value in tensors.items()}}}


QUERY = "backbone.0.encoder.encoder.encoder.layer.0.attention.attention.query"


def adapted(**parts: Tensor) -> Contents:
    """The first query projection with adapters around it."""

    def contents(state: dict[str, Tensor]) -> object:
        tensors = {key: value for key, value in state.items() if key != f"{QUERY}.weight"}
        tensors[f"{QUERY}.base_layer.weight"] = state[f"{QUERY}.weight"]
        return {"model": {**tensors, **{f"{QUERY}.{name.replace('__', '.')}": value for name, value in parts.items()}}}

    return contents


FILES: dict[str, tuple[Contents, str]] = {
    "two resolutions": (
        both({"resolution": 160}, {"resolution": 200}),
        r"states two values of resolution: 160 × 160 \(args.resolution\) and 200 × 200 \(model_config.resolution\); .*--set",
    ),
    "two numbers of queries": (both({"num_queries": 40}, {"num_queries": 30}), "two values of num_queries: 40 .* and 30"),
    "two numbers of selections": (both({"num_select": 40}, {"num_select": 300}), "two values of num_select"),
    "two lists of levels": (
        both({"out_feature_indexes": [2, 3, 5, 6]}, {"out_feature_indexes": [1, 2, 3, 4]}),
        "two values of feature_levels",
    ),
    "resolution as text": (
        namespace(resolution="large"),
        "args.resolution is 'large', but resolution must be a side or HEIGHTxWIDTH",
    ),
    "resolution of zero": (namespace(resolution=0), "args.resolution is '0'"),
    "resolution without end": (namespace(resolution=10**30), "args.resolution is '1000"),
    "resolution of three": (namespace(resolution=[160, 160, 3]), "resolution must be a side"),
    "resolution that does not fit": (
        namespace(resolution=170),
        r"170 × 170 \(args.resolution\) does not fit tiny: .* 160 and 180",
    ),
    "resolution too small": (namespace(resolution=40), "16 tokens, too few for 40 queries"),
    "a fraction of a query": (namespace(num_queries=1.5), "args.num_queries is '1.5', but num_queries must be a whole number"),
    "no queries": (namespace(num_queries=0), "num_queries must be a whole number from 1 to 1000000"),
    "true as a number": (namespace(num_select=True), "num_select must be a whole number"),
    "more queries than rows": (
        namespace(num_queries=70),
        r"is \[120, .*\], but this detector has \[210, .*num_queries and group_detr",
    ),
    "levels that are no list": (namespace(out_feature_indexes="all"), "args.out_feature_indexes is 'all'"),
    "one stage": (namespace(two_stage=False), r"two_stage False \(args.two_stage\), which the reference cannot compute"),
    "no box reparametrisation": (namespace(bbox_reparam=False), "bbox_reparam False"),
    "no light refinement": (both({}, {"lite_refpoint_refine": False}), r"model_config.lite_refpoint_refine"),
    "another norm": (namespace(decoder_norm="Identity"), "decoder_norm 'Identity'"),
    "RMS norms": (namespace(rms_norm=True), "rms_norm True"),
    "a missing tensor": (
        changed("bbox_embed.layers.1.bias", lambda _: None),
        r"1 tensors are missing, the first is .*bbox_embed",
    ),
    "a tensor too many": (added(transformer__extra__weight=torch.zeros(1)), "1 tensors are unexpected"),
    "a shape": (
        changed("bbox_embed.layers.1.bias", lambda value: value[:5]),
        r"bbox_embed\.layers\.1\.bias is \[5\], but this detector has \[96\]",
    ),
    "not a number": (changed("class_embed.bias", lambda value: value * float("nan")), "holds NaN or infinity"),
    "infinity": (changed("query_feat.weight", lambda value: value + float("inf")), "query_feat.weight holds NaN or infinity"),
    "no class head": (changed("class_embed.bias", lambda value: value[:0]), "its class head has no columns"),
    "another width": (changed("enc_output", lambda value: value[:90]), "matches no known variant: .*hidden size 90"),
    "another patch": (changed("patch_embeddings.projection.weight", lambda value: value[..., :8, :8]), "patch 8"),
    "registers": (added(backbone__register_tokens=torch.zeros(1)), "register tokens"),
    "a segmentation head": (added(segmentation_head__weight=torch.zeros(1)), "segmentation"),
    "an incomplete adapter": (adapted(lora_A__default__weight=torch.zeros(16, 128)), "has an incomplete adapter for .*query"),
    "an adapter of another rank": (
        adapted(lora_A__default__weight=torch.zeros(8, 128), lora_B__default__weight=torch.zeros(128, 8)),
        "adapters of rank 8, and the file does not say their alpha",
    ),
    "two adapters": (
        adapted(
            lora_A__one__weight=torch.zeros(16, 128),
            lora_B__one__weight=torch.zeros(128, 16),
            lora_A__two__weight=torch.zeros(16, 128),
            lora_B__two__weight=torch.zeros(128, 16),
        ),
        "several adapters",
    ),
    "no weights": (lambda _: {"epoch": 3, "args": {}}, "holds no model weights .keys epoch, args."),
    "a list": (lambda state: list(state.values()), "holds no model weights .a list."),
    "one tensor": (lambda _: torch.zeros(3), "holds no model weights .a Tensor."),
    "weights on no device": (
        lambda state: {"model": {name: value.to("meta") for name, value in state.items()}},
        "no model weights",
    ),
}


@pytest.mark.parametrize("case", FILES)
def test_a_file(case: str, state: dict[str, Tensor], tmp_path: Path) -> None:
    contents, message = FILES[case]
    torch.save(contents(state), tmp_path / "best.pth")
    with pytest.raises(UserError, match=message) as caught:
        load_reference(None, str(tmp_path / "best.pth"))
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


CLASSES: dict[str, tuple[Contents, str]] = {
    "rfdetr 1.5": (
        namespace(class_names=NAMES, dataset_file="roboflow", aug_config=None),
        r"the first may be column 0: bolt \(unused: 3\) or 1: bolt \(unused: 0\): rfdetr 1.5",
    ),
    "more names than columns": (namespace(class_names=[*NAMES, "pin", "rod"], dataset_file="roboflow"), "names 6 classes"),
    "ids beyond the columns": (lambda state: {"model": state, "args": {"class_names": {7: "bolt"}}}, "names 8 classes"),
}


@pytest.mark.parametrize("case", CLASSES)
def test_class_names(case: str, state: dict[str, Tensor], tmp_path: Path) -> None:
    contents, message = CLASSES[case]
    torch.save(contents(state), tmp_path / "best.pth")
    reference, checkpoint = load_reference(None, str(tmp_path / "best.pth"))
    assert checkpoint is not None
    with pytest.raises(UserError, match=message) as caught:
        resolve_classes(reference.variant, reference.logit_columns, checkpoint.classes)
    assert "\n" not in str(caught.value)


FOLDERS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "a crop": ({}, {"do_center_crop": True}, r"preprocessor_config.json of .* crops pictures \(do_center_crop\)"),
    "no resize": ({}, {"do_resize": False}, r"does not resize pictures \(do_resize\)"),
    "a shortest edge": ({}, {"size": {"shortest_edge": 800, "longest_edge": 1333}}, "keeps the pictures' aspect ratio"),
    "one number": ({}, {"size": 800}, r"aspect ratio \(size: 800\)"),
    "another filter": ({}, {"size": {"height": 160, "width": 160}, "resample": 3}, "resizes with filter 3 of Pillow"),
    "a size as text": ({}, {"size": {"height": "160", "width": 160}}, r"preprocessor_config.json: size is .*must be a side"),
    "a negative std": ({}, {"image_std": [0.2, -0.2, 0.2]}, "image_std is .*above 0"),
    "a mean of words": ({}, {"image_mean": ["red", "green", "blue"]}, "image_mean"),
    "a factor of words": ({}, {"rescale_factor": "1/255"}, "rescale_factor"),
    "layers in words": ({"decoder_layers": "many"}, {}, "config.json: decoder_layers is 'many'"),
    "another type": ({"model_type": "yolos"}, {}, "YOLOS"),
    "a type that is no text": ({"model_type": 3}, {}, "model_type is 3, not a string"),
    "another family": ({"model_type": "d_fine"}, {}, "model_type in config.json is 'd_fine', but the weights are of RF-DETR"),
    "a setting of another class": ({"d_model": 64}, {}, "do not fit tiny"),
    "more queries than rows": ({"num_queries": 70}, {}, r"is \[120, .*\], but this detector has \[210, "),
}


@pytest.mark.parametrize("case", FOLDERS)
def test_a_transformers_folder(case: str, tmp_path: Path) -> None:
    config, preprocessor, message = FOLDERS[case]
    model = build_reference(VARIANTS["tiny"]).module.model
    model.save_pretrained(tmp_path)
    stated = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**stated, **config}))
    if preprocessor:
        (tmp_path / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    with pytest.raises(UserError, match=message) as caught:
        load_reference(None, str(tmp_path))
    assert "\n" not in str(caught.value)


BYTES = {
    "empty": (b"", "is empty"),
    "a page": (b"<!DOCTYPE html><html>404</html>", "damaged or not a torch checkpoint"),
    "a truncated archive": (b"PK\x03\x04" + b"\0" * 100, "damaged or not a torch checkpoint"),
    "text": (b"weights\n", "damaged or not a torch checkpoint"),
}


@pytest.mark.parametrize("case", BYTES)
def test_bytes(case: str, tmp_path: Path) -> None:
    content, message = BYTES[case]
    (tmp_path / "best.pth").write_bytes(content)
    with pytest.raises(UserError, match=message):
        load_reference(None, str(tmp_path / "best.pth"))


def test_a_truncated_safetensors_file(state: dict[str, Tensor], tmp_path: Path) -> None:
    save_file(state, tmp_path / "whole.safetensors")
    (tmp_path / "half.safetensors").write_bytes((tmp_path / "whole.safetensors").read_bytes()[:5000])
    with pytest.raises(UserError, match="damaged or not a safetensors file"):
        load_reference(None, str(tmp_path / "half.safetensors"))
