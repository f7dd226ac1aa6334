"""One export for all that is planted behind it."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import pytest
from torch import Tensor, fx, nn

from convert import compiler
from rewrites.program import export


@pytest.fixture(autouse=True, scope="module")
def exported_once() -> Iterator[None]:
    """No fault is planted in the export, which takes most of a compilation's time."""
    exports: dict[nn.Module, fx.GraphModule] = {}

    def cached(module: nn.Module, inputs: tuple[Tensor, ...]) -> fx.GraphModule:
        if module not in exports:
            exports[module] = export(module, inputs)
        return copy.deepcopy(exports[module])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiler, "export", cached)
        yield
