"""Lets a graph take the picture's 8-bit pixels in place of normalised floats.

Hazard: what crosses to the GPU costs more than what is computed there. A detector of 640 × 640 pixels in one graph, in fp16 on
an NVIDIA H100, took 5.9 ms a run queued behind others and 12.0 ms with the image written and 300 boxes and logits read: 4.9 MB
of floats, of which a quarter is needed. And the host normalises them.

Identity: x = (p / 255 - mean) / std = p * (1 / (255 std)) + (-mean / std), of whole numbers p that fp16 holds exactly.

Given::

    %x = placeholder image                                          # float32 [1, C, H, W]

Result::

    %p = placeholder pixels                                         # uint8 [1, H, W, C]
    %f = aten.mul(aten._to_copy(%p, dtype=float32), factor)         # factor [1, 1, 1, C]
    %x = aten.permute(aten.add(%f, shift), [0, 3, 1, 2])            # no add where every mean is 0

The permute cancels with the converter's own, since TFLite's convolutions read channels last; so the transposition of the float
image goes as well, and the number of dispatches stays: cast, product and sum are one. The factor is not folded into the first
convolution, whose fp16 weights would become subnormal.

Only of pixels that are whole numbers: a picture that its project resizes in floats would be rounded. Evidence: accepted and
right on the delegate of 2.3.0 and of LiteRT.js 2.5.3, whose buffers for the input have one byte a value (the probe
``pixels_in``); Kotlin's API has no type of that name, but ``writeInt8`` writes its bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, fx

from detr2litert.graphs.toolbox import Emitter, aten, remove_dead_code, value_of

PIXELS = "pixels"
"""Name of the input, uint8 ``[1, H, W, C]``."""


@dataclass(frozen=True)
class PixelScale:
    """How pixels from 0 to 255 become a normalised image: ``x = p * factor + shift``, a number per channel of each."""

    factor: tuple[float, ...]
    shift: tuple[float, ...]

    @classmethod
    def of(cls, scale: float, mean: tuple[float, ...], std: tuple[float, ...]) -> PixelScale:
        """Returns that of ``(p * scale - mean) / std``."""
        return cls(tuple(scale / s for s in std), tuple(-m / s for m, s in zip(mean, std, strict=True)))

    def pixels_of(self, image: Tensor) -> Tensor:
        """Returns the pixels nearest to a normalised image ``[1, C, H, W]``, uint8 ``[1, H, W, C]``: its own, if it has any."""
        factor, shift = self._exact()
        levels = (image.permute(0, 2, 3, 1) - shift) / factor
        return levels.round().clamp(0, 255).to(torch.uint8).contiguous()

    def image_of(self, pixels: Tensor) -> Tensor:
        """Returns the normalised image, float32 ``[1, C, H, W]``, of pixels ``[1, H, W, C]``."""
        factor, shift = self._exact()
        return (pixels * factor + shift).permute(0, 3, 1, 2).float().contiguous()

    def _exact(self) -> tuple[Tensor, Tensor]:
        """Returns both with the precision of Python's numbers, so that every pixel comes back from its image."""
        return torch.tensor(self.factor, dtype=torch.float64), torch.tensor(self.shift, dtype=torch.float64)


def take_pixels(graph_module: fx.GraphModule, scale: PixelScale) -> None:
    """Replaces a graph's only input, the image float32 ``[1, C, H, W]``, by its pixels.

    Args:
        graph_module: it is modified.
        scale: how the image is made from them.
    """
    (image,) = (node for node in graph_module.graph.nodes if node.op == "placeholder")
    batch, channels, height, width = value_of(image).shape
    first = next(node for node in graph_module.graph.nodes if node.op == "call_function")
    with graph_module.graph.inserting_before(image):
        pixels = graph_module.graph.placeholder(PIXELS)
    pixels.meta = {"val": torch.empty(batch, height, width, channels, dtype=torch.uint8, device="meta")}
    emit = Emitter(graph_module, first, provenance=first)
    value = emit(aten._to_copy.default, pixels, dtype=torch.float32)
    value = emit(aten.mul.Tensor, value, emit.constant(_per_channel(scale.factor), "pixel_factor"))
    if any(scale.shift):
        value = emit(aten.add.Tensor, value, emit.constant(_per_channel(scale.shift), "pixel_shift"))
    image.replace_all_uses_with(emit(aten.permute.default, value, [0, 3, 1, 2]))
    graph_module.graph.erase_node(image)
    remove_dead_code(graph_module)
    graph_module.recompile()


def _per_channel(values: tuple[float, ...]) -> Tensor:
    return torch.tensor(values, dtype=torch.float32).reshape(1, 1, 1, -1)
