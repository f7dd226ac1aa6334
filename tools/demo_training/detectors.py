"""The demo detectors: the models to train, and the feature maps of their dense auxiliary targets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import DFineConfig, DFineForObjectDetection, PreTrainedModel, RfDetrConfig, RfDetrForObjectDetection

from detr2litert.convert.demo.scenes import CLASSES, SIDE

_LABELS = {
    "id2label": dict(enumerate(CLASSES)),
    "label2id": {name: i for i, name in enumerate(CLASSES)},
}


@dataclass(frozen=True)
class DemoDetector:
    """A detector to train.

    Attributes:
        build: the untrained model.
        features: the module whose first output is the feature map ``[B, C, H, W]`` of the dense target, and C.
        dense_weight: weight of the dense loss relative to the set loss; the latter sums more terms with more layers.
        mean, std: normalisation of pixels in [0, 1], per channel.
    """

    build: Callable[[], PreTrainedModel]
    features: Callable[[PreTrainedModel], tuple[nn.Module, int]]
    dense_weight: float
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def normalise(self, pixels: Tensor) -> Tensor:
        """Normalises ``pixels`` ``[B, 3, H, W]`` for the detector."""
        return (pixels - torch.tensor(self.mean).view(1, 3, 1, 1)) / torch.tensor(self.std).view(1, 3, 1, 1)


def rf_detr_config() -> RfDetrConfig:
    """Returns RF-DETR's architecture at about 1.7 M parameters, 160 × 160 pixels."""
    return RfDetrConfig(
        backbone_config={
            "model_type": "rf_detr_dinov2",
            "image_size": SIDE,
            "patch_size": 10,
            "hidden_size": 128,
            "num_hidden_layers": 6,
            "num_attention_heads": 4,
            "mlp_ratio": 4,
            "num_windows": 2,
            "out_indices": [2, 3, 5, 6],
        },
        d_model=96,
        decoder_layers=2,
        decoder_ffn_dim=256,
        decoder_n_points=2,
        decoder_self_attention_heads=4,
        decoder_cross_attention_heads=6,
        c2f_num_blocks=2,
        num_queries=40,
        group_detr=3,
        dropout=0.0,
        layer_norm_eps=1e-6,
        **_LABELS,
    )


def rf_detr_seg_config() -> RfDetrConfig:
    """Returns the architecture of RF-DETR Seg: tiny's with masks of 40 × 40 cells."""
    config = rf_detr_config()
    # Of the head's perceptron: four times the width, as in the published sizes.
    config.intermediate_size = 4 * config.d_model
    return config


def d_fine_config() -> DFineConfig:
    """Returns D-FINE's architecture at about 1.4 M parameters, 160 × 160 pixels: HGNetV2 of light blocks, three levels, LQE."""
    return DFineConfig(
        backbone_config={
            "model_type": "hgnet_v2",
            "stem_channels": [3, 16, 24],
            "stage_in_channels": [24, 48, 96, 192],
            "stage_mid_channels": [24, 32, 48, 64],
            "stage_out_channels": [48, 96, 192, 256],
            "hidden_sizes": [48, 96, 192, 256],
            "depths": [1, 1, 1, 1],
            "stage_num_blocks": [1, 1, 1, 1],
            "stage_downsample": [False, True, True, True],
            "stage_light_block": [False, False, True, True],
            "stage_kernel_size": [3, 3, 5, 5],
            "stage_numb_of_layers": [3, 3, 3, 3],
            "use_learnable_affine_block": True,
            "out_indices": [2, 3, 4],
        },
        freeze_backbone_batch_norms=False,
        encoder_in_channels=[96, 192, 256],
        encoder_hidden_dim=96,
        encoder_ffn_dim=256,
        encoder_attention_heads=4,
        hidden_expansion=0.5,
        depth_mult=0.34,
        d_model=96,
        decoder_in_channels=[96, 96, 96],
        decoder_layers=3,
        decoder_ffn_dim=256,
        decoder_attention_heads=4,
        decoder_n_points=[3, 6, 3],
        num_queries=40,
        num_denoising=20,
        **_LABELS,
    )


DEMO_DETECTORS: Mapping[str, DemoDetector] = {
    "tiny": DemoDetector(
        build=lambda: RfDetrForObjectDetection(rf_detr_config()),
        features=lambda model: (model.model.backbone, model.config.d_model),
        dense_weight=2.0,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
    ),
    "dfine-tiny": DemoDetector(
        build=lambda: DFineForObjectDetection(d_fine_config()),
        features=lambda model: (model.model.encoder.fpn_blocks[-1], model.config.encoder_hidden_dim),
        dense_weight=6.0,
    ),
}
"""The demo detectors by the name of their variant."""
