"""Layer norm by the delegate's own operator."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from passes import RightOnDelegate, count, ops, rewritten, traced
from torch import Tensor, nn
from torch.nn import functional as F

from detr2litert.graphs.native_ops import LAYER_NORM
from detr2litert.graphs.toolbox import aten, calls
from detr2litert.rewrites.contract import Miss
from detr2litert.rewrites.driver import apply
from detr2litert.rewrites.profile import Norms, Profile
from detr2litert.rewrites.use_layer_norm import use_layer_norm

CHANNELS = 16
GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(1, 6, CHANNELS, generator=GENERATOR) * 3 + 1
NATIVE = Profile(norms=Norms.NATIVE)


class Norm(nn.Module):
    """A norm with random weights."""

    def __init__(self, eps: float = 1e-5, bias: bool = True) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(CHANNELS, eps=eps, bias=bias)
        with torch.no_grad():
            for parameter in self.norm.parameters():
                parameter.copy_(torch.randn(CHANNELS, generator=torch.Generator().manual_seed(len(parameter))) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x)


def plain(x: Tensor) -> Tensor:
    return F.layer_norm(x, (CHANNELS,))


FORMS: dict[str, nn.Module | Callable[..., Tensor]] = {
    "weight and bias": Norm(),
    "without bias": Norm(bias=False),
    "large eps": Norm(eps=0.5),
    "neither": plain,
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shape", [(6, CHANNELS), (1, 6, CHANNELS), (2, 3, 4, CHANNELS)])
def test_fires(form: str, shape: tuple[int, ...]) -> None:
    x = torch.randn(shape, generator=GENERATOR)
    found = rewritten(use_layer_norm, FORMS[form], x, tolerance=1e-6, norms=Norms.NATIVE)
    assert ops(found) == ["layer_norm"] and count(found, LAYER_NORM) == 1


def test_keeps_eps() -> None:
    (norm,) = calls(rewritten(use_layer_norm, Norm(eps=1e-6), X, tolerance=1e-6, norms=Norms.NATIVE), LAYER_NORM)
    assert norm.args[3] == 1e-6


def test_a_row_without_variance_is_the_bias() -> None:
    module = Norm()
    found = rewritten(use_layer_norm, module, torch.full((1, 2, CHANNELS), 7.0), norms=Norms.NATIVE)
    torch.testing.assert_close(
        found(torch.full((1, 2, CHANNELS), 7.0))[0][0], module.norm.bias.detach().expand(2, -1), rtol=0, atol=1e-6
    )


def test_does_not_fire_for_a_target_with_primitive_norms() -> None:
    assert count(rewritten(use_layer_norm, Norm(), X, fires=0, norms=Norms.PRIMITIVE), aten.layer_norm.default) == 1


def test_does_not_fire_on_two_dimensions() -> None:
    rewritten(use_layer_norm, lambda x: F.layer_norm(x, (6, CHANNELS)), X, fires=0, norms=Norms.NATIVE)


def test_does_not_fire_on_a_weight_computed_at_run_time() -> None:
    def computed(x: Tensor, scale: Tensor) -> Tensor:
        return F.layer_norm(x, (CHANNELS,), scale.exp(), None)

    inputs = (X, torch.randn(CHANNELS, generator=GENERATOR))
    rewritten(use_layer_norm, computed, *inputs, fires=0, norms=Norms.NATIVE)
    (miss,) = apply(use_layer_norm, traced(computed, *inputs), NATIVE)
    assert isinstance(miss, Miss) and "computed at run time" in miss.reason


@pytest.mark.gpu
@pytest.mark.parametrize("form", FORMS)
def test_delegate(right_on_delegate: RightOnDelegate, form: str) -> None:
    right_on_delegate([use_layer_norm], FORMS[form], X, profile=NATIVE)


@pytest.mark.gpu
def test_delegate_on_a_map_and_on_rows(right_on_delegate: RightOnDelegate) -> None:
    def twice(x: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        return F.layer_norm(x * 2, (CHANNELS,)) * 3, F.layer_norm(rows * 2, (CHANNELS,)).relu()

    inputs = (torch.randn(1, 2, 3, CHANNELS, generator=GENERATOR), torch.randn(5, CHANNELS, generator=GENERATOR))
    right_on_delegate([use_layer_norm], twice, *inputs, profile=NATIVE)
