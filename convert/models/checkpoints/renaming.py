"""Renames tensors from the original project's names to transformers'."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from detr2litert.convert.models.variants import Family
from detr2litert.convert.models.variants.row import Renaming
from detr2litert.host_runtime.errors import UserError

_FUSED = r"^(.*\.self_attn)\.in_proj_(weight|bias)$"
_PROJECTIONS = tuple(rf"\1.{projection}_proj.\2" for projection in "qkv")
"""torch.nn.MultiheadAttention stores queries, keys and values in one tensor, in that order."""


def to_transformers(tensors: Mapping[str, Tensor], family: Family, first: Renaming = ()) -> dict[str, Tensor]:
    """Returns the tensors under the names that transformers loads, without those that the detector does not need.

    Names that are already transformers' are unchanged, and so is every name of a family without rules: transformers then knows
    the original names itself. Two names that become one are the same parameter in two modules.

    Args:
        tensors: under the names of the checkpoint.
        family: its rules.
        first: rules of the variant, before the family's.

    Raises:
        UserError: two tensors of different values get the same name.
    """
    renamed: dict[str, Tensor] = {}

    def put(name: str, tensor: Tensor, original: str) -> None:
        if name in renamed and not torch.equal(renamed[name], tensor):
            raise UserError(
                f"{original} and another tensor of the checkpoint are both {name} in transformers, with different values; "
                "export it again from the original project"
            )
        renamed[name] = tensor

    splits = (*family.splits, (_FUSED, _PROJECTIONS)) if family.renaming else family.splits
    for name, tensor in tensors.items():
        if any(re.search(pattern, name) for pattern in family.ignored_tensors):
            continue
        new, tensor = name, _masked(name, tensor, tensors)
        for pattern, replacement in (*first, *family.renaming):
            new = re.sub(pattern, replacement, new)
        fused, parts = next(((pattern, parts) for pattern, parts in splits if re.search(pattern, new)), ("", ()))
        if parts and tensor.dim() > 0 and tensor.shape[0] % len(parts) == 0:
            for part, values in zip(parts, tensor.chunk(len(parts)), strict=True):
                put(re.sub(fused, part, new), values.clone(), name)
        else:
            put(new, tensor, name)
    return renamed


def _masked(name: str, tensor: Tensor, tensors: Mapping[str, Tensor]) -> Tensor:
    """Multiplies a bias with the mask beside it, as DINOv3's LinearKMaskedBias does."""
    mask = tensors.get(f"{name}_mask")
    if not name.endswith(".bias") or mask is None or mask.shape != tensor.shape or not bool(mask.isfinite().all()):
        return tensor
    return tensor * mask
