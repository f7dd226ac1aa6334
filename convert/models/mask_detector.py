"""D-FINE-seg: a mask head on transformers' D-FINE, which has no class for it.

What it adds to the detector (ArgoHA/D-FINE-seg at 40fdf64, src/d_fine/arch/dfine_decoder.py): the encoder's maps, each of the
same width after a convolution, are added at the size of the finest and enlarged twice; a mask is the product of a cell of that
map with the embedding of the query after the last decoder layer, divided by the root of the width.

``tests/originals`` compares it with that project's own forward pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import interpolate, relu
from transformers import DFineConfig, DFineForObjectDetection
from transformers.models.d_fine.modeling_d_fine import DFineMLPPredictionHead

_GROUPS = 32
"""Of every group normalisation."""


class DFineSegConfig(DFineConfig):  # type: ignore[misc]
    """transformers' configuration, and the width of the masks' embeddings.

    Attributes:
        mask_dim: a multiple of 32.
    """

    mask_dim: int = 256


@dataclass(frozen=True)
class SegmentationOutput:
    """What the detector computes for B images.

    Attributes:
        logits: ``[B, Q, C]``.
        pred_boxes: ``[B, Q, 4]``, cx, cy, w, h in [0, 1].
        pred_masks: ``[B, Q, h, w]``, logits at twice the size of the encoder's finest map.
    """

    logits: Tensor
    pred_boxes: Tensor
    pred_masks: Tensor


class MaskFeatures(nn.Module):
    """The embeddings of cells ``[B, width, 2 h, 2 w]`` of the encoder's maps, the finest ``[B, C, h, w]`` first."""

    def __init__(self, channels: Sequence[int], width: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(count, width, 1, bias=False) for count in channels)
        self.lateral_norm = nn.ModuleList(nn.GroupNorm(_GROUPS, width) for _ in channels)
        self.fusion = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.fusion_norm = nn.GroupNorm(_GROUPS, width)
        self.enlarged = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.enlarged_norm = nn.GroupNorm(_GROUPS, width)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Fuses and enlarges."""
        fused, *coarser = (
            norm(lateral(level)) for level, lateral, norm in zip(maps, self.lateral, self.lateral_norm, strict=True)
        )
        for level in coarser:
            fused = fused + interpolate(level, maps[0].shape[-2:], mode="bilinear")
        fused = relu(self.fusion_norm(self.fusion(fused)))
        return relu(self.enlarged_norm(self.enlarged(interpolate(fused, scale_factor=2.0, mode="bilinear"))))


class DFineForInstanceSegmentation(DFineForObjectDetection):  # type: ignore[misc]
    """transformers' detector with masks, for inference."""

    config_class = DFineSegConfig

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.mask_features = MaskFeatures(config.decoder_in_channels, config.mask_dim)
        self.mask_embed = DFineMLPPredictionHead(config.d_model, config.d_model, config.mask_dim, num_layers=3)
        self.post_init()

    def forward(self, pixel_values: Tensor, **_ignored: object) -> SegmentationOutput:
        """Detects in normalised images ``[B, channels, H, W]``."""
        output = super().forward(pixel_values)
        queries = self.mask_embed(output.last_hidden_state) * self.config.mask_dim**-0.5
        cells = self.mask_features(output.encoder_last_hidden_state)
        masks = (queries @ cells.flatten(2)).unflatten(2, cells.shape[2:])
        return SegmentationOutput(output.logits, output.pred_boxes, masks)
