"""RF-DETR Seg: RF-DETR with a head that gives each query a mask.

The head (rfdetr/models/heads/segmentation.py) resizes the projector's map to a quarter of the picture, takes it through one
depthwise block for each decoder layer, and multiplies its cells with an embedding of each query. transformers'
``RfDetrForInstanceSegmentation`` equals rfdetr 1.11.2's own forward pass to 6e-5 of mask logits with a standard deviation of 13
(float64, random weights; ``tests/originals`` has detections and masks).

Two sizes of the head, its bottleneck and the cells of a mask, are the same in every published checkpoint.
"""

from __future__ import annotations

from dataclasses import replace

from detr2litert.convert.models.variants.rf_detr import RF_DETR, demo_row, rf_detr_row
from detr2litert.convert.models.variants.row import Variant

RF_DETR_SEG = replace(
    RF_DETR,
    name="RF-DETR Seg",
    model_class="RfDetrForInstanceSegmentation",
    signature=(
        *RF_DETR.signature,
        r"^(segmentation_head\.)?blocks\.0\.(dwconv|depthwise_conv)\.weight$",
        r"^(segmentation_head\.)?query_features_proj\.weight$",
    ),
    other_models={
        pattern: description for pattern, description in RF_DETR.other_models.items() if "segmentation_head" not in pattern
    },
    required_arguments={**RF_DETR.required_arguments, "mask_downsample_ratio": (4,)},
    init_std={
        **RF_DETR.init_std,
        r"^blocks\.\d+\.(depthwise_conv|pointwise_conv)\.weight$": 1.0,
        r"^(spatial_features_proj|query_features_block\.mlp\.fc[12])\.weight$": 1.0,
        # A dot product of 256 products: logits of a few units.
        r"^query_features_proj\.weight$": 0.3,
    },
    init_noise={r"^segmentation_bias$": 1.0},
    masks_output="pred_masks",
)

_SOURCE = (
    "rfdetr 1.11.2 (PyPI) rfdetr/config.py ({config}): encoder dinov2_windowed_small, projector P4, mask_downsample_ratio 4; "
    "rfdetr/models/heads/segmentation.py: one block a decoder layer, bottleneck ratio 1"
)


def _row(size: str, *, resolution: int, windows: int, decoder_layers: int, num_queries: int) -> Variant:
    """Builds the row of a published size: all have patch 12 and a position grid of a cell a patch."""
    class_name = "RFDETRSeg" + {"xlarge": "XLarge", "2xlarge": "2XLarge"}.get(size, size.capitalize())
    return rf_detr_row(
        f"seg-{size}",
        family=RF_DETR_SEG,
        class_name=class_name,
        resolution=resolution,
        patch=12,
        windows=windows,
        decoder_layers=decoder_layers,
        position_grid=resolution // 12,
        feature_levels=(3, 6, 9, 12),
        num_queries=num_queries,
        source=_SOURCE.format(config=f"{class_name}Config"),
    )


ROWS: tuple[Variant, ...] = (
    _row("nano", resolution=312, windows=1, decoder_layers=4, num_queries=100),
    _row("small", resolution=384, windows=2, decoder_layers=4, num_queries=100),
    _row("medium", resolution=432, windows=2, decoder_layers=5, num_queries=200),
    _row("large", resolution=504, windows=2, decoder_layers=5, num_queries=200),
    _row("xlarge", resolution=624, windows=2, decoder_layers=6, num_queries=300),
    _row("2xlarge", resolution=768, windows=2, decoder_layers=6, num_queries=300),
    demo_row("tiny-seg", family=RF_DETR_SEG, mask_ffn=384, source="tools/demo_training/detectors.py, rf_detr_seg_config"),
)
