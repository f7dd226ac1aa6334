"""What the compiler cannot do is reported in one line with the place and a hint."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from detr2litert.convert.compiler import compile_detector
from detr2litert.convert.models.configuration import settings_of
from detr2litert.convert.models.reference import Reference
from detr2litert.convert.models.settings import Size, Sourced
from detr2litert.convert.models.variants import VARIANTS
from detr2litert.host_runtime.errors import UserError
from detr2litert.rewrites.profile import Profile


class OneStage(nn.Module):
    """No query selection anywhere."""

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        pooled = image.mean((2, 3))[:, None]
        return pooled, pooled


class Exotic(nn.Module):
    """A two-stage detector with an operation that no rewrite supports."""

    def __init__(self) -> None:
        super().__init__()
        self.score = nn.Linear(3, 1)
        self.head = nn.Linear(3, 4)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        tokens = image.flatten(2).transpose(1, 2)
        best = self.score(tokens)[..., 0].topk(4).indices
        chosen = torch.gather(tokens, 1, best[..., None].expand(-1, -1, 3))
        return self.head(chosen), torch.special.bessel_j0(chosen)


def reference(module: nn.Module) -> Reference:
    settings = replace(settings_of(VARIANTS["tiny"]), resolution=Sourced(Size(8, 8), "by hand"))
    return Reference(module.eval(), VARIANTS["tiny"], settings, 3, "by hand", "0" * 64, False)  # type: ignore[arg-type]


def test_a_detector_without_a_selection() -> None:
    with pytest.raises(UserError, match="tiny cannot be cut in two: "):
        compile_detector(reference(OneStage()), Profile())


def test_an_unsupported_op_is_named_with_its_place() -> None:
    with pytest.raises(UserError, match=r"tiny cannot be brought to the GPU: .*bessel_j0.*\[1, 4, 3\]"):
        compile_detector(reference(Exotic()), Profile())
