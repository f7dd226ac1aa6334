"""Loads the user's ``--weights`` as a ``Checkpoint``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from detr2litert.convert.models.checkpoints.adapters import merge_adapters
from detr2litert.convert.models.checkpoints.containers import Contents, open_container, strip_wrappers
from detr2litert.convert.models.checkpoints.export_folder import EXPORTED_WEIGHTS, read_export
from detr2litert.convert.models.checkpoints.folder import read_json, read_safetensors, read_weights
from detr2litert.convert.models.checkpoints.hub import fetch, is_hub_id
from detr2litert.convert.models.checkpoints.identify import matching_variants, read_facts, recognise_family
from detr2litert.convert.models.checkpoints.model import Checkpoint, has_original_names, hash_tensors
from detr2litert.convert.models.checkpoints.preprocessor import FILE as PREPROCESSOR
from detr2litert.convert.models.checkpoints.stated_classes import (
    classes_from_arguments,
    classes_from_config,
    classes_from_export,
    on_keypoint_slots,
)
from detr2litert.convert.models.checkpoints.statements import collect_statements
from detr2litert.convert.models.checkpoints.unpickling import load_pickle
from detr2litert.convert.models.checkpoints.unsupported import describe_config
from detr2litert.convert.models.variants import FAMILIES
from detr2litert.host_runtime.errors import UserError, readable

_TYPES = (
    *(torch.float32, torch.float16, torch.bfloat16, torch.float64),
    *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool),
)


def load_checkpoint(weights: str | Path) -> Checkpoint:
    """Loads weights: a ``.pth`` or ``.safetensors`` file, a transformers folder, an upload bundle of rfdetr, or a hub id.

    Raises:
        UserError: with a one-line message on the problem and what to do.
    """
    source = str(weights)
    try:
        path = Path(weights).expanduser()
    except RuntimeError as error:
        raise UserError(f"no weights at {source}: this home folder does not exist; give the full path") from error
    with readable(path):
        is_folder, is_file = path.is_dir(), path.is_file()
    if is_folder:
        return _from_folder(source, path)
    if is_file:
        if path.suffix == ".safetensors":
            return _checkpoint(source, strip_wrappers(read_safetensors(path)))
        contents = open_container(load_pickle(path), source)
        return _checkpoint(source, contents.tensors, contents=contents)
    if isinstance(weights, str) and is_hub_id(weights):
        return _from_folder(source, fetch(weights))
    raise UserError(
        f"no weights at {source}: pass a .pth or .safetensors file, a folder of transformers or of rfdetr's "
        "export_for_roboflow, or a hub id like org/name"
    )


def _from_folder(source: str, folder: Path) -> Checkpoint:
    if (folder / EXPORTED_WEIGHTS).is_file() and not (folder / "config.json").exists():
        contents, names = read_export(folder)
        return _checkpoint(source, contents.tensors, contents=contents, names=names)
    config = read_json(folder / "config.json")
    if "model_type" not in config:
        # Original projects also publish weights beside a config.json of their own; then the tensors decide.
        return _checkpoint(source, strip_wrappers(read_weights(folder)))
    kind, known = config["model_type"], {family.model_type for family in FAMILIES}
    if not isinstance(kind, str):
        raise UserError(f"config.json of {source} is damaged: model_type is {kind!r}, not a string")
    if kind not in known:
        raise UserError(f"{source} is {describe_config(config)}")
    preprocessor = read_json(folder / PREPROCESSOR) if (folder / PREPROCESSOR).is_file() else None
    checkpoint = _checkpoint(source, strip_wrappers(read_weights(folder)), config=config, preprocessor=preprocessor)
    if checkpoint.family.model_type != kind:
        raise UserError(f"{source}: model_type in config.json is {kind!r}, but the weights are of {checkpoint.family.name}")
    return checkpoint


def _checkpoint(
    source: str,
    tensors: Mapping[str, Tensor],
    contents: Contents | None = None,
    config: Mapping[str, Any] | None = None,
    preprocessor: Mapping[str, Any] | None = None,
    names: Sequence[str] | None = None,
) -> Checkpoint:
    for name, tensor in tensors.items():
        if tensor.dtype not in _TYPES:
            kind = str(tensor.dtype).removeprefix("torch.")
            raise UserError(
                f"checkpoint {source}: {name[:100]} has the type {kind}, in which no detector is trained; save it as float32"
            )
    tensors = merge_adapters(tensors, source)
    family = recognise_family(tensors, source)
    for name, tensor in tensors.items():
        # With a crafted stride of 0, a few bytes claim to be terabytes.
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise UserError(f"checkpoint {source} is damaged: {name} is larger than its data")
        needed = not any(re.search(pattern, name) for pattern in family.ignored_tensors)
        if needed and tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise UserError(f"checkpoint {source} is damaged: {name} holds NaN or infinity")
    facts = read_facts(family, tensors)
    columns = facts.get("logits", 0)
    if columns < 1:
        raise UserError(f"checkpoint {source} is damaged: its class head has no columns")
    classes, class_name = None, None
    if contents is not None:
        class_name = contents.facts.get("model_name") or contents.argument("model_name")
    if config is not None:
        classes = classes_from_config(config)
    elif contents is not None:
        classes = classes_from_arguments(contents, columns) if names is None else classes_from_export(names, columns)
    statements = collect_statements(family, tensors, contents, config, preprocessor, source)
    counts = next((statement.value for statement in statements if statement.setting == "keypoints_per_class"), ())
    if classes is not None and contents is not None:
        classes = on_keypoint_slots(classes, counts)
    return Checkpoint(
        source=source,
        tensors=tensors,
        sha256=hash_tensors(tensors),
        family=family,
        facts=facts,
        logit_columns=columns,
        classes=classes,
        config=config,
        variants=matching_variants(family, facts, config is None and has_original_names(tensors), class_name),
        statements=statements,
        place="" if contents is None else contents.place,
    )
