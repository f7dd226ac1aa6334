"""Loads checkpoints: from a file, a folder or a hub id to named tensors, class names, family and variant.

Nothing in a checkpoint is ever executed; see ``convert.models.checkpoints.unpickling``.
"""

from detr2litert.convert.models.checkpoints.identify import choose_variant
from detr2litert.convert.models.checkpoints.loader import load_checkpoint
from detr2litert.convert.models.checkpoints.model import Checkpoint, hash_tensors
from detr2litert.convert.models.checkpoints.renaming import to_transformers

__all__ = ["Checkpoint", "choose_variant", "hash_tensors", "load_checkpoint", "to_transformers"]
