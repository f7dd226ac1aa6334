"""Inference batch norm."""

from __future__ import annotations

import pytest
import torch
from passes import RightOnDelegate, ops, rewritten
from torch import Tensor, nn

from detr2litert.rewrites.fold_batch_norm import fold_batch_norm

X = torch.randn(1, 3, 6, 8, generator=torch.Generator().manual_seed(0))


def trained(norm: nn.Module) -> nn.Module:
    """A norm with statistics and parameters that are not the initial ones."""
    generator = torch.Generator().manual_seed(1)
    for name, value in [*norm.named_parameters(), *norm.named_buffers()]:
        if value.is_floating_point():
            value.data = torch.rand(value.shape, generator=generator) + (0.5 if "var" in name else 0.1)
    return norm


class ConvNorm(nn.Module):
    def __init__(self, bias: bool, groups: int = 1, **norm: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, stride=2, padding=1, bias=bias, groups=groups)
        self.norm = trained(nn.BatchNorm2d(6, **norm))

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x)).relu()


class Shared(ConvNorm):
    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return self.norm(y) + y


@pytest.mark.parametrize("module", [ConvNorm(False), ConvNorm(True), ConvNorm(True, 3), ConvNorm(False, affine=False)])
def test_folds_into_a_convolution(module: nn.Module) -> None:
    assert ops(rewritten(fold_batch_norm, module, X, tolerance=1e-6)) == ["conv2d", "relu"]


def test_a_convolution_with_another_reader_is_unchanged() -> None:
    assert ops(rewritten(fold_batch_norm, Shared(True), X, tolerance=1e-6)) == ["conv2d", "mul", "add", "add"]


@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 5), (1, 3, 4, 5)])
def test_without_a_convolution_it_is_a_scale_and_a_shift_in_any_rank(shape: tuple[int, ...]) -> None:
    norm = trained(nn.BatchNorm2d(3) if len(shape) == 4 else nn.BatchNorm1d(3))
    assert ops(rewritten(fold_batch_norm, norm, torch.randn(shape), tolerance=1e-6)) == ["mul", "add"]


def test_does_not_fire_on_parameters_computed_at_run_time() -> None:
    class Conditional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("mean", torch.zeros(3))
            self.register_buffer("var", torch.ones(3))

        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.batch_norm(x, self.mean, self.var, x.mean((0, 2, 3)), None)

    rewritten(fold_batch_norm, Conditional(), X, fires=0)


@pytest.mark.gpu
def test_delegate(right_on_delegate: RightOnDelegate) -> None:
    right_on_delegate([fold_batch_norm], ConvNorm(True), X)
