"""The batch stays symbolic in code that asks for a tensor's length, and checks of values are not traced."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim, export
from transformers.utils import torch_compilable_check

from detr2litert.convert.onnx_export.traceable import traceable


class Tiled(nn.Module):
    """Repeats a row for each picture, as the hybrid encoders do with learned queries."""

    def forward(self, image: Tensor) -> Tensor:
        torch_compilable_check(image == 0, "not zero")
        return torch.ones(1, 3).tile([len(image), 1]) + len([1, 2])


@pytest.fixture
def tiled(monkeypatch: pytest.MonkeyPatch) -> nn.Module:
    """As if its code were in transformers."""
    monkeypatch.setitem(sys.modules, "transformers.planted", sys.modules[__name__])
    monkeypatch.setattr(Tiled, "__module__", "transformers.planted")
    return Tiled()


def test_the_traced_batch_is_any(tiled: nn.Module) -> None:
    image, shapes = torch.zeros(2, 4), ({0: Dim.DYNAMIC},)
    with pytest.raises(Exception, match="specialized it to be a constant"):
        export(tiled, (image,), dynamic_shapes=shapes)
    with traceable(tiled):
        program = export(tiled, (image,), dynamic_shapes=shapes)
    assert "_is_all_true" not in str(program.graph)
    assert torch.equal(program.module()(torch.zeros(5, 4)), torch.full((5, 3), 3.0))


def test_the_modules_are_as_before(tiled: nn.Module) -> None:
    with pytest.raises(RuntimeError), traceable(tiled):
        assert "len" in globals()
        torch_compilable_check(torch.tensor(False), "is not checked")
        raise RuntimeError
    assert "len" not in globals()
    with pytest.raises(ValueError, match="is checked"):
        torch_compilable_check(torch.tensor(False), "is checked")
