"""A graph that takes pixels computes what it computed of the image, and the delegate takes them as bytes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, fx, nn

from detr2litert.graphs.pixel_input import PIXELS, PixelScale, take_pixels
from detr2litert.graphs.toolbox import RewriteRefusedError, aten, value_of
from detr2litert.host_runtime.tflite.graph import read_graph
from detr2litert.rewrites import driver, pipeline
from detr2litert.rewrites.profile import Profile
from detr2litert.rewrites.program import export
from detr2litert.verify.delegate.adapters import Driver
from tests.rewrites.passes import outputs_of, run_on_delegate, write_model

IMAGENET = PixelScale.of(1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
PLAIN = PixelScale.of(1 / 255, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
HEIGHT, WIDTH = 12, 20
PIXEL_VALUES = torch.randint(0, 256, (1, HEIGHT, WIDTH, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


class Stem(nn.Module):
    """A padded convolution of the image, and its mean: two readers."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.convolution = nn.Conv2d(3, 8, 3, stride=2, padding=1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        return self.convolution(image).relu(), image.mean(dim=(2, 3))


def of_pixels(scale: PixelScale, *, laid_out: bool = False) -> fx.GraphModule:
    """The stem with pixels as its input."""
    graph = export(Stem().eval(), (scale.image_of(PIXEL_VALUES),))
    driver.run((*pipeline.NORMALISE, *pipeline.LOWER), graph, Profile())
    take_pixels(graph, scale)
    if laid_out:
        driver.run((*pipeline.PROTECT, *pipeline.LAY_OUT), graph, Profile())
    return graph


@pytest.mark.parametrize("laid_out", [False, True])
@pytest.mark.parametrize("scale", [IMAGENET, PLAIN])
@torch.no_grad()
def test_it_computes_the_same_of_the_pixels(scale: PixelScale, laid_out: bool) -> None:
    graph = of_pixels(scale, laid_out=laid_out)
    (taken,) = (node for node in graph.graph.nodes if node.op == "placeholder")
    assert (taken.target, value_of(taken).dtype, tuple(value_of(taken).shape)) == (PIXELS, torch.uint8, (1, HEIGHT, WIDTH, 3))
    for found, wanted in zip(graph(PIXEL_VALUES), Stem()(scale.image_of(PIXEL_VALUES)), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


def test_a_mean_of_zero_adds_nothing() -> None:
    targets = [node.target for node in of_pixels(PLAIN).graph.nodes]
    assert aten.mul.Tensor in targets and aten.add.Tensor not in targets
    assert aten.add.Tensor in [node.target for node in of_pixels(IMAGENET).graph.nodes]


@pytest.mark.parametrize("scale", [IMAGENET, PLAIN, PixelScale.of(1.0, (127.5,), (127.5,))])
def test_every_pixel_comes_back_from_its_image(scale: PixelScale) -> None:
    channels = len(scale.factor)
    pixels = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16, 1).expand(-1, -1, -1, channels)
    image = scale.image_of(pixels)
    assert image.dtype is torch.float32 and image.shape == (1, channels, 16, 16)
    assert torch.equal(scale.pixels_of(image), pixels)


def test_the_image_is_what_the_pre_processing_makes_of_the_pixels() -> None:
    by_hand = PIXEL_VALUES.permute(0, 3, 1, 2) / 255
    mean, std = (torch.tensor(values).reshape(1, 3, 1, 1) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    torch.testing.assert_close(IMAGENET.image_of(PIXEL_VALUES), (by_hand - mean) / std, rtol=0, atol=1e-6)


def test_an_image_beyond_the_pixels_is_the_nearest_that_they_show() -> None:
    image = torch.tensor([-9.0, 0.0, 0.4 / 255, 9.0]).reshape(1, 1, 1, 4)
    assert PixelScale((1 / 255,), (0.0,)).pixels_of(image).flatten().tolist() == [0, 0, 0, 255]


def test_another_cast_is_still_refused() -> None:
    graph = export(_Casts().eval(), (torch.ones(1, 4),))
    with pytest.raises(RewriteRefusedError, match="casts to"):
        driver.run(pipeline.WHOLE, graph, Profile())


class _Casts(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return (x * 2).to(torch.float64)


@pytest.mark.gpu
@pytest.mark.parametrize("scale", [IMAGENET, PLAIN])
def test_delegate(driver: Driver, tmp_path: Path, scale: PixelScale) -> None:
    graph = of_pixels(scale, laid_out=True)
    found = outputs_of(run_on_delegate(graph, (PIXEL_VALUES,), driver, tmp_path))
    for value, wanted in zip(found, Stem()(scale.image_of(PIXEL_VALUES)), strict=True):
        torch.testing.assert_close(value.reshape(wanted.shape), wanted.detach(), rtol=1e-5, atol=1e-5)


def test_the_image_is_not_transposed(tmp_path: Path) -> None:
    """What the pixels replace: the converter's permute from channels first."""
    names = [op.name for op in read_graph(write_model(of_pixels(PLAIN, laid_out=True), (PIXEL_VALUES,), tmp_path / "m")).ops]
    assert names[:2] == ["CAST", "MUL"] and "TRANSPOSE" not in names[: names.index("CONV_2D")]
