"""Merges low-rank adapters (LoRA and DoRA of peft) into the layers that they adapt.

rfdetr trains with ``backbone_lora=True`` by wrapping its encoder (src/rfdetr/detr.py, ``_apply_lora_to``, 1.6 to 1.11: rank and
alpha 16, DoRA) and saves the wrapped layers. A layer is then four tensors:

- ``….base_layer.weight`` W ``[out, in]``, and perhaps ``….base_layer.bias``, which stays;
- ``….lora_A.NAME.weight`` A ``[rank, in]`` and ``….lora_B.NAME.weight`` B ``[out, rank]``;
- ``….lora_magnitude_vector.NAME.weight`` m ``[out]`` with DoRA.

The merged weight is V = W + alpha / rank · B A, with DoRA m · V / |V| for each row (Liu et al., "DoRA: Weight-Decomposed
Low-Rank Adaptation", 2024, equation 5; peft's ``merge``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from detr2litert.host_runtime.errors import UserError

_RANK = 16
"""Rank, and alpha, of rfdetr's adapters. Alpha is in no file, so that another rank cannot be merged."""

_ADAPTED = re.compile(r"^(.*)\.base_layer\.weight$")
_PART = re.compile(r"\.(lora_A|lora_B|lora_magnitude_vector)\.(?!weight$)(\w+)(\.weight)?$")
_WRAPPER = "base_model.model."


def merge_adapters(tensors: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """Returns the tensors with every adapter merged, under the names of the model without adapters.

    Tensors without adapters are returned as they are.

    Raises:
        UserError: an adapter is incomplete, of several adapters, or of a rank whose alpha is not known.
    """
    if not any(_PART.search(name) for name in tensors):
        return dict(tensors)
    merged: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        adapted = _ADAPTED.match(name)
        if adapted:
            merged[f"{adapted[1]}.weight"] = _merged(adapted[1], tensor, tensors, source)
        elif not _PART.search(name):
            merged[name.replace(".base_layer.", ".")] = tensor
    return {name.replace(_WRAPPER, ""): tensor for name, tensor in merged.items()}


def _merged(layer: str, weight: Tensor, tensors: Mapping[str, Tensor], source: str) -> Tensor:
    parts: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        match = _PART.search(name)
        if match and name.startswith(f"{layer}.lora_"):
            if match[1] in parts:
                raise UserError(f"checkpoint {source} has several adapters for {layer}; merge them (merge_and_unload in peft)")
            parts[match[1]] = tensor
    a, b = parts.get("lora_A"), parts.get("lora_B")
    if a is None or b is None or weight.dim() != 2 or b.shape[0] != weight.shape[0] or a.shape[1] != weight.shape[1]:
        raise UserError(f"checkpoint {source} has an incomplete adapter for {layer}; merge it (merge_and_unload in peft)")
    if a.shape[0] != _RANK:
        raise UserError(
            f"checkpoint {source} has adapters of rank {a.shape[0]}, and the file does not say their alpha (rfdetr's have "
            f"rank {_RANK} and alpha {_RANK}); merge them (merge_and_unload in peft)"
        )
    value = weight.float() + b.float() @ a.float()
    magnitude = parts.get("lora_magnitude_vector")
    if magnitude is not None:
        value = value * (magnitude.float().reshape(-1) / value.norm(dim=1)).unsqueeze(1)
    return value.to(weight.dtype)
