"""A loaded checkpoint, and the hash of its weights."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from detr2litert.convert.models.checkpoints.stated_classes import StatedClasses
from detr2litert.convert.models.settings.statements import Statement
from detr2litert.convert.models.variants import Family


@dataclass(frozen=True)
class Checkpoint:
    """Weights with everything that the file states about them.

    Attributes:
        source: the given path or hub id, for messages and the manifest.
        tensors: by name, on the CPU, in the naming and dtype of the file.
        sha256: see ``hash_tensors``; does not change when the same weights are stored in another container.
        family: architecture, recognised by the tensors' names.
        facts: architectural numbers read from the tensors (``Family.facts``), with ``"queries"`` if rows and groups are known.
        logit_columns: width of the class head.
        classes: names of the logit columns as the file states them, or None if it states none.
        config: config.json of a transformers folder, else None.
        statements: what the file states about its settings.
        place: where in a training checkpoint the weights were found; empty for weights alone.
        variants: names of the variants with this architecture. One, if everything agrees; several, if they differ only in a
            setting that the checkpoint does not state.
    """

    source: str
    tensors: Mapping[str, Tensor]
    sha256: str
    family: Family
    facts: Mapping[str, int]
    logit_columns: int
    classes: StatedClasses | None
    config: Mapping[str, Any] | None
    variants: tuple[str, ...]
    statements: tuple[Statement, ...] = ()
    place: str = ""

    @property
    def is_original(self) -> bool:
        """Returns whether it is in the original project's form, and not in that of transformers."""
        return self.config is None and has_original_names(self.tensors)

    @property
    def class_names(self) -> Mapping[int, str] | None:
        """Returns logit column → name, or None if the file does not determine it."""
        return None if self.classes is None else self.classes.columns


def has_original_names(names: Iterable[str]) -> bool:
    """Returns whether tensors are named as in the original projects; transformers has ``model.`` before most names."""
    return not any(name.startswith("model.") for name in names)


def hash_tensors(tensors: Mapping[str, Tensor]) -> str:
    """Computes the SHA-256 over name, dtype, shape and little-endian bytes of each tensor, in the order of their names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().contiguous()
        digest.update(f"{name}\0{str(tensor.dtype).removeprefix('torch.')}\0{tuple(tensor.shape)}\0".encode())
        # Viewed as bytes because NumPy has no bfloat16.
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
