"""Checkpoints as rfdetr writes them, made from seeded random models: for this and other packages' tests."""

from __future__ import annotations

import argparse
import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from detr2litert.convert.models.reference import build_reference
from detr2litert.convert.models.variants import Variant

Form = Literal["plain", "namespace", "legacy", "dict", "lightning", "compiled", "ema_model", "ema_module", "with_ema_beside"]
FORMS: tuple[Form, ...] = (
    "plain",
    "namespace",
    "legacy",
    "dict",
    "lightning",
    "compiled",
    "ema_model",
    "ema_module",
    "with_ema_beside",
)

_TO_RFDETR: tuple[tuple[str, str], ...] = (
    (r"^model\.backbone\.backbone\.", "backbone.0.encoder.encoder."),
    (r"(encoder\.layer\.\d+)\.attention\.q_proj", r"\1.attention.attention.query"),
    (r"(encoder\.layer\.\d+)\.attention\.k_proj", r"\1.attention.attention.key"),
    (r"(encoder\.layer\.\d+)\.attention\.v_proj", r"\1.attention.attention.value"),
    (r"(encoder\.layer\.\d+)\.attention\.o_proj", r"\1.attention.output.dense"),
    (r"^model\.backbone\.projector\.projector_layer\.bottlenecks\.", "backbone.0.projector.stages.0.0.m."),
    (r"^model\.backbone\.projector\.projector_layer\.", "backbone.0.projector.stages.0.0."),
    (r"^model\.backbone\.projector\.layer_norm\.", "backbone.0.projector.stages.0.1."),
    (r"(projector\.stages\.0\.0\..*)conv([12])\.conv\.", r"\1cv\2.conv."),
    (r"(projector\.stages\.0\.0\..*)conv([12])\.norm\.", r"\1cv\2.bn."),
    (r"^model\.decoder\.layernorm\.", "transformer.decoder.norm."),
    (r"^model\.decoder\.", "transformer.decoder."),
    (r"\.self_attn\.o_proj\.", ".self_attn.out_proj."),
    (r"\.self_attn_layer_norm\.", ".norm1."),
    (r"\.cross_attn_layer_norm\.", ".norm2."),
    (r"(decoder\.layers\.\d+)\.layer_norm\.", r"\1.norm3."),
    (r"(decoder\.layers\.\d+)\.mlp\.fc([12])\.", r"\1.linear\2."),
    (r"^model\.enc_", "transformer.enc_"),
    (r"^model\.reference_point_embed\.", "refpoint_embed."),
    (r"^model\.query_feat\.", "query_feat."),
)


def to_rfdetr(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A transformers RF-DETR state dict in rfdetr's naming, with q, k and v of the decoder's self-attention in one tensor."""
    renamed: dict[str, Tensor] = {}
    for name, tensor in state.items():
        for pattern, replacement in _TO_RFDETR:
            name = re.sub(pattern, replacement, name)
        renamed[name] = tensor.detach().clone()
    for name in [name for name in renamed if re.search(r"self_attn\.q_proj\.", name)]:
        parts = [renamed.pop(name.replace("q_proj", part)) for part in ("q_proj", "k_proj", "v_proj")]
        renamed[re.sub(r"q_proj\.", "in_proj_", name)] = torch.cat(parts)
    return renamed


def rfdetr_state(variant: Variant, columns: int | None = None, seed: int = 0) -> dict[str, Tensor]:
    """The state dict of a seeded random model of ``variant``, in rfdetr's naming, with ``columns`` logit columns."""
    row = variant if columns is None else dataclasses.replace(variant, classes=(None,) * columns)
    return to_rfdetr(build_reference(row, seed=seed).module.model.state_dict())


def make_rfdetr_checkpoint(
    variant: Variant, class_names: Sequence[str], path: Path, form: Form = "dict", seed: int = 0
) -> Path:
    """Writes a checkpoint of ``variant`` fine-tuned to ``class_names`` in one of the forms that rfdetr has written.

    The head has ``len(class_names) + 1`` columns, as rfdetr builds it. ``"plain"``, ``"ema_model"`` and ``"ema_module"`` have
    no names.
    """
    torch.save(wrap(rfdetr_state(variant, len(class_names) + 1, seed), class_names, form), path)
    return path


def wrap(state: dict[str, Tensor], class_names: Sequence[str], form: Form) -> dict[str, Any]:
    """The object that rfdetr would pass to ``torch.save`` for these weights."""
    shared = {"class_names": list(class_names), "num_classes": len(class_names), "dataset_file": "roboflow", "device": "cpu"}
    arguments = argparse.Namespace(**shared, aug_config=None, output_dir=Path("output"))
    if form == "plain":
        return dict(state)
    if form == "legacy":
        return {"model": state, "args": argparse.Namespace(**shared, output_dir="output"), "epoch": 3}
    if form == "dict":
        return {"model": state, "args": shared, "model_name": "RFDETRNano", "rfdetr_version": "1.9.3"}
    if form in ("lightning", "compiled"):
        prefix = "model." if form == "lightning" else "model._orig_mod."
        weights = {prefix + name: tensor for name, tensor in state.items()}
        return {"state_dict": weights, "hyper_parameters": shared, "epoch": 3, "pytorch-lightning_version": "2.6.0"}
    if form == "ema_model":
        return {"ema_model": {f"module.{name}": tensor for name, tensor in state.items()}}
    if form == "ema_module":
        return {"ema": {"module": state, "updates": 100}, "model": {name: tensor + 1 for name, tensor in state.items()}}
    if form == "with_ema_beside":
        # rfdetr loads "model" and leaves "ema_model" for resuming.
        return {"model": state, "ema_model": {name: tensor + 1 for name, tensor in state.items()}, "args": shared}
    return {"model": state, "args": arguments, "epoch": 3}
