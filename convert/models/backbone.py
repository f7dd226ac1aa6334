"""The backbone of a detector as a module of its own, its feature maps inside the whole detector, and their names in a file."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor, nn

from detr2litert.host_runtime.errors import UserError

_NAMES = ("backbone", "conv_encoder")
"""What transformers calls the module that turns the picture into feature maps: DEIMv2 has the second name."""


INPUT = "input"
"""Name of the normalised image ``[B, channels, H, W]`` in a file."""
_FEATURES = "features"


def feature_names(count: int) -> tuple[str, ...]:
    """Returns the names of ``count`` feature maps in a file, the finest first: numbered if there are several."""
    return (_FEATURES,) if count == 1 else tuple(f"{_FEATURES}_{level}" for level in range(count))


class Backbone(nn.Module):
    """A detector's backbone with one tensor in and its feature maps out, for ``torch.export``.

    It ends where transformers' does: with the projector of RF-DETR and LW-DETR, whose map has the decoder's width, and with the
    maps of each level in the other families.
    """

    def __init__(self, detector: nn.Module) -> None:
        super().__init__()
        self.backbone = find_backbone(detector)
        self._masked = "pixel_mask" in inspect.signature(self.backbone.forward).parameters

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Normalised image ``[B, channels, H, W]`` to feature maps ``[B, C, h, w]``, the finest first."""
        if not self._masked:
            return feature_maps(self.backbone(image))
        mask = torch.ones((image.shape[0], *image.shape[2:]), dtype=torch.long, device=image.device)
        return feature_maps(self.backbone(image, mask))


def find_backbone(detector: nn.Module) -> nn.Module:
    """Returns the module of a detector that turns the picture into feature maps.

    Args:
        detector: a ``convert.models.reference.Detector``.

    Raises:
        UserError: it has none that is known.
    """
    inner = detector.get_submodule("model.model")
    for name in _NAMES:
        module = getattr(inner, name, None)
        if isinstance(module, nn.Module):
            return module
    raise UserError(f"{type(inner).__name__} has no backbone that is known here; export it without --backbone-only")


def feature_maps(outputs: Any) -> tuple[Tensor, ...]:
    """Returns the maps among a backbone's outputs, which may hold the padding masks too."""
    return tuple(
        value for value in torch.utils._pytree.tree_leaves(outputs) if isinstance(value, Tensor) and value.is_floating_point()
    )


@torch.no_grad()
def maps_inside(detector: nn.Module, image: Tensor) -> tuple[Tensor, ...]:
    """Returns the feature maps that the backbone hands on while the whole detector runs on an image ``[B, channels, H, W]``."""
    found: list[Tensor] = []

    def record(_module: nn.Module, _inputs: Any, outputs: Any) -> None:
        found.extend(feature_maps(outputs))

    hook = find_backbone(detector).register_forward_hook(record)
    try:
        detector(image)
    finally:
        hook.remove()
    return tuple(found)
