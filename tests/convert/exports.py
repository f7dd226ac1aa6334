"""One export of each detector for all tests of a process: it takes most of a compilation, and no test changes it."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from torch import Tensor, fx, nn

from detr2litert.convert import compiler
from detr2litert.convert.models.checkpoints import hash_tensors
from detr2litert.rewrites.program import export


@contextmanager
def exported_once() -> Iterator[None]:
    """Within this, ``compile_detector`` uses a copy of the export of the same weights at the same size."""
    exports: dict[str, fx.GraphModule] = {}

    def cached(module: nn.Module, inputs: tuple[Tensor, ...]) -> fx.GraphModule:
        shapes = [tuple(value.shape) for value in inputs]
        structure = f"{module} {getattr(getattr(module, 'model', None), 'config', None)} {shapes}"
        key = f"{hash_tensors(module.state_dict())} {hashlib.sha256(structure.encode()).hexdigest()}"
        if key not in exports:
            exports[key] = export(module, inputs)
        return copy.deepcopy(exports[key])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiler, "export", cached)
        yield
