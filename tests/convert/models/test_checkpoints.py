"""Loading checkpoints: every container in use, and every kind of invalid file."""

from __future__ import annotations

import argparse
import collections
import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from transformers import RfDetrConfig, RfDetrForObjectDetection

from detr2litert.convert.models.checkpoints import Checkpoint, choose_variant, hash_tensors, load_checkpoint
from detr2litert.convert.models.checkpoints.identify import matching_variants, read_facts, recognise_family
from detr2litert.convert.models.reference import build_reference
from detr2litert.convert.models.variants import VARIANTS, Variant
from detr2litert.host_runtime.errors import UserError
from tests.convert.rfdetr_checkpoints import FORMS, Form, make_rfdetr_checkpoint, rfdetr_state, to_rfdetr, wrap

NAMES = ("bolt", "nut", "washer")
TINY = VARIANTS["tiny"]


@pytest.fixture(scope="module")
def tiny_state() -> dict[str, Tensor]:
    return rfdetr_state(TINY, len(NAMES) + 1)


def save(thing: object, path: Path) -> Path:
    torch.save(thing, path)
    return path


@pytest.mark.parametrize("form", FORMS)
def test_every_container_gives_the_same_weights(form: Form, tiny_state: dict[str, Tensor], tmp_path: Path) -> None:
    checkpoint = load_checkpoint(save(wrap(tiny_state, NAMES, form), tmp_path / "best.pth"))
    assert checkpoint.sha256 == hash_tensors(tiny_state)
    assert checkpoint.logit_columns == len(NAMES) + 1
    assert checkpoint.variants == ("tiny",)
    if form in ("plain", "ema_model", "ema_module"):
        assert checkpoint.class_names is None
    elif form == "namespace":
        # rfdetr 1.5, which does not record whether column 0 is the dataset's parent category.
        assert checkpoint.class_names is None and checkpoint.classes is not None
        assert [min(reading) for reading in checkpoint.classes.readings] == [0, 1]
    else:
        # Before rfdetr 1.5 the column 0 was the dataset's parent category; since then, the last one is unused.
        first = 1 if form == "legacy" else 0
        assert checkpoint.class_names == {first + i: name for i, name in enumerate(NAMES)}


def described(variant: Variant, grid: int | None = None) -> Checkpoint:
    """A checkpoint with the facts of ``variant`` at its real size, read from tensors without data."""
    with torch.device("meta"):
        state = to_rfdetr(RfDetrForObjectDetection(RfDetrConfig(**variant.config)).state_dict())
    if grid is not None:
        state["backbone.0.encoder.encoder.embeddings.position_embeddings"] = torch.empty(1, grid**2 + 1, 384, device="meta")
    family = recognise_family(state, "x.pth")
    facts = read_facts(family, state)
    return Checkpoint("x.pth", state, "", family, facts, facts["logits"], None, None, matching_variants(family, facts))


@pytest.mark.parametrize("name", ["nano", "small", "medium", "base", "large", "tiny"])
def test_every_size_is_recognised(name: str) -> None:
    checkpoint = described(VARIANTS[name])
    assert choose_variant(checkpoint) is VARIANTS[name]
    assert choose_variant(checkpoint, name) is VARIANTS[name]
    other = "nano" if name != "nano" else "large"
    with pytest.raises(UserError, match=f"is {name}, not {other}"):
        choose_variant(checkpoint, other)


def test_a_full_size_file(tmp_path: Path) -> None:
    checkpoint = load_checkpoint(make_rfdetr_checkpoint(VARIANTS["base"], NAMES, tmp_path / "base.pth"))
    assert choose_variant(checkpoint) is VARIANTS["base"]
    assert checkpoint.class_names == dict(enumerate(NAMES))
    reference = build_reference(VARIANTS["base"], checkpoint)
    assert (reference.size, reference.logit_columns) == ((560, 560), 4)


def test_medium_and_large_differ_only_in_their_grid() -> None:
    checkpoint = described(VARIANTS["medium"], grid=40)
    assert checkpoint.variants == ("medium", "large")
    with pytest.raises(UserError, match="medium or large"):
        choose_variant(checkpoint)
    assert choose_variant(checkpoint, "large") is VARIANTS["large"]


def test_a_transformers_folder_loads_like_the_file(tmp_path: Path) -> None:
    model = build_reference(TINY).module.model
    model.config.id2label = dict(enumerate(TINY.classes))
    model.save_pretrained(tmp_path)
    checkpoint = load_checkpoint(tmp_path)
    assert choose_variant(checkpoint) is TINY
    assert checkpoint.class_names == dict(enumerate(TINY.classes))
    assert checkpoint.config is not None
    assert checkpoint.sha256 == load_checkpoint(tmp_path / "model.safetensors").sha256
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert checkpoint.sha256 == load_checkpoint(save(to_rfdetr(state), tmp_path / "x.pth")).sha256


def test_a_folder_with_bin_weights_and_one_with_shards(tmp_path: Path, tiny_state: dict[str, Tensor]) -> None:
    from safetensors.torch import save_file

    (tmp_path / "config.json").write_text(json.dumps({"model_type": "rf_detr"}))
    save(tiny_state, tmp_path / "pytorch_model.bin")
    assert load_checkpoint(tmp_path).sha256 == hash_tensors(tiny_state)
    names = sorted(tiny_state)
    halves = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for shard, members in halves.items():
        save_file({name: tiny_state[name] for name in members}, tmp_path / shard)
    index = {"weight_map": {name: shard for shard, members in halves.items() for name in members}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert load_checkpoint(tmp_path).sha256 == hash_tensors(tiny_state)
    index["weight_map"][names[0]] = "../a.safetensors"
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(UserError, match="outside its folder"):
        load_checkpoint(tmp_path)


def test_arguments_may_hold_paths_and_numpy_scalars(tiny_state: dict[str, Tensor], tmp_path: Path) -> None:
    arguments = argparse.Namespace(
        class_names=list(NAMES), aug_config=None, output_dir=Path("out"), best=np.float64(0.5), device=torch.device("cpu")
    )
    checkpoint = load_checkpoint(save({"model": tiny_state, "args": arguments}, tmp_path / "best.pth"))
    assert checkpoint.classes is not None and dict(enumerate(NAMES)) in checkpoint.classes.readings


class _Runs:
    """Would create a file when unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.marker),)


class _CustomArguments:
    pass


def test_pickled_code_is_refused_named_and_not_run(tiny_state: dict[str, Tensor], tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    path = save({"model": tiny_state, "args": _Runs(marker)}, tmp_path / "hostile.pth")
    with pytest.raises(UserError, match=r"holds a posix\.mkdir, which is not loaded"):
        load_checkpoint(path)
    (tmp_path / "raw.pth").write_bytes(pickle.dumps(_Runs(marker)))
    with pytest.raises(UserError):
        load_checkpoint(tmp_path / "raw.pth")
    assert not marker.exists()
    with pytest.raises(UserError, match="_CustomArguments"):
        load_checkpoint(save({"model": tiny_state, "args": _CustomArguments()}, tmp_path / "custom.pth"))


def _dfine() -> dict[str, Tensor]:
    return {
        "decoder.dec_score_head.0.weight": torch.zeros(80, 8),
        "encoder.lateral_convs.0.conv.weight": torch.zeros(8, 8, 1, 1),
    }


WRONG: dict[str, tuple[Any, str]] = {
    "resnet": ({"conv1.weight": torch.zeros(64, 3, 7, 7), "fc.bias": torch.zeros(1000)}, "not of a known architecture"),
    "d-fine": ({"ema": {"module": _dfine()}}, "not of a known architecture.*decoder.dec_score_head"),
    "vit": (nn.TransformerEncoderLayer(8, 2).state_dict(), "not of a known architecture"),
    "list": ([1, 2, 3], "holds no model weights .a list."),
    "no tensors": ({"epoch": 3, "args": None}, "holds no model weights .keys epoch, args."),
    "empty dict": (collections.OrderedDict(), "holds no model weights"),
}


@pytest.mark.parametrize("what", WRONG)
def test_the_wrong_thing_in_the_file(what: str, tmp_path: Path) -> None:
    thing, message = WRONG[what]
    with pytest.raises(UserError, match=message) as caught:
        load_checkpoint(save(thing, tmp_path / "wrong.pth"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ("segmentation_head.bias", "segmentation checkpoint"),
        ("backbone.0.projector.stages.1.0.cv1.conv.weight", "more than one feature level"),
        ("keypoint_head.weight", "keypoint checkpoint"),
        ("backbone.0.encoder.base_model.lora_A.weight", "LoRA"),
    ],
)
def test_related_architectures_are_refused_by_name(
    extra: str, message: str, tiny_state: dict[str, Tensor], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        load_checkpoint(save({**tiny_state, extra: torch.zeros(1)}, tmp_path / "relative.pth"))


def test_an_unknown_size_of_the_family_matches_no_variant(tiny_state: dict[str, Tensor], tmp_path: Path) -> None:
    state = {name: tensor[:90] if "enc_output" in name else tensor for name, tensor in tiny_state.items()}
    checkpoint = load_checkpoint(save(state, tmp_path / "narrow.pth"))
    with pytest.raises(UserError, match=r"no known variant.*hidden size 90"):
        choose_variant(checkpoint)
    with pytest.raises(UserError, match=r"not tiny .hidden size 90 instead of 96. nor any other"):
        choose_variant(checkpoint, "tiny")


def test_a_decoder_of_another_depth_is_the_checkpoints_own(tiny_state: dict[str, Tensor], tmp_path: Path) -> None:
    state = {name: tensor for name, tensor in tiny_state.items() if ".decoder.layers.1." not in name}
    checkpoint = load_checkpoint(save(state, tmp_path / "shallow.pth"))
    assert choose_variant(checkpoint) is TINY
    layers = build_reference(TINY, checkpoint).settings.architecture["decoder_layers"]
    assert (layers.value, layers.origin) == (1, "the decoder's tensors")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_missing_empty_and_truncated_files(suffix: str, tiny_state: dict[str, Tensor], tmp_path: Path) -> None:
    from safetensors.torch import save_file

    path = tmp_path / f"weights{suffix}"
    with pytest.raises(UserError, match="no weights at"):
        load_checkpoint(path)
    path.touch()
    with pytest.raises(UserError, match="is empty"):
        load_checkpoint(path)
    save_file(tiny_state, path) if suffix == ".safetensors" else save(tiny_state, path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UserError, match="damaged") as caught:
        load_checkpoint(path)
    assert "\n" not in str(caught.value)
    path.write_bytes(b"<html>not found</html>")
    with pytest.raises(UserError, match="damaged"):
        load_checkpoint(path)


def test_damaged_numbers(tiny_state: dict[str, Tensor], tmp_path: Path) -> None:
    bad = {**tiny_state, "class_embed.weight": tiny_state["class_embed.weight"] * float("nan")}
    with pytest.raises(UserError, match=r"class_embed\.weight holds NaN"):
        load_checkpoint(save(bad, tmp_path / "nan.pth"))
    huge = {**tiny_state, "query_feat.weight": torch.zeros(1).expand(10**12)}
    with pytest.raises(UserError, match="larger than its data"):
        load_checkpoint(save(huge, tmp_path / "huge.pth"))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ('{"model_type": "detr"}', "a plain DETR .'detr' in config.json.: the compiler looks for a top-k"),
        ("{", "not valid JSON"),
        ("[]", "not a JSON object"),
        ('{"model_type": "rf_detr"}', "has no model.safetensors"),
    ],
)
def test_folders_that_are_not_a_checkpoint(config: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(UserError, match=message):
        load_checkpoint(tmp_path)


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot read .*config\.json"):
        load_checkpoint(tmp_path)


def test_an_unreachable_hub_is_reported_immediately(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub

    def unreachable(*_args: object, **_keywords: object) -> None:
        raise ConnectionError("no route")

    def not_cached(*_args: object, **_keywords: object) -> None:
        raise huggingface_hub.errors.LocalEntryNotFoundError("not cached")

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", unreachable)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", not_cached)
    with pytest.raises(UserError, match=r"could not reach the hub for some/model \(ConnectionError\).*HF_HOME"):
        load_checkpoint("some/model")


def test_an_unreachable_hub_falls_back_to_the_cache(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny_state: dict[str, Tensor]
) -> None:
    import huggingface_hub

    def unreachable(*_args: object, **_keywords: object) -> None:
        raise ConnectionError("no route")

    (tmp_path / "config.json").write_text(json.dumps({"model_type": "rf_detr"}))
    save(tiny_state, tmp_path / "pytorch_model.bin")
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", unreachable)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_args, local_files_only, **_keywords: str(tmp_path))
    checkpoint = load_checkpoint("some/model")
    assert (checkpoint.source, checkpoint.sha256) == ("some/model", hash_tensors(tiny_state))


def test_the_hash_covers_names_types_shapes_and_values() -> None:
    plain = {"a": torch.arange(4.0), "b": torch.ones(2)}
    digest = hash_tensors(plain)
    assert hash_tensors(dict(reversed(plain.items()))) == digest
    assert hash_tensors({**plain, "a": torch.arange(8.0)[::2] / 2}) == digest
    assert hash_tensors({"a": plain["a"], "c": plain["b"]}) != digest
    assert hash_tensors({**plain, "a": plain["a"].reshape(2, 2)}) != digest
    assert hash_tensors({**plain, "a": plain["a"].int()}) != digest
    assert hash_tensors({**plain, "b": plain["b"] * 2}) != digest
    assert hash_tensors({"a": torch.zeros(2, dtype=torch.bfloat16), "s": torch.tensor(1.0)})
