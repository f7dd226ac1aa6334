"""RF-DETR: windowed DINOv2, one feature level, two-stage selection, deformable decoder.

Two differences between transformers' model and rfdetr's are known: ``layer_norm_eps`` of the projector, set by ``fixed_config``
below, and border cells in the query selection, see ``convert.models.originals.select_border_tokens``.
"""

from __future__ import annotations

from collections.abc import Mapping

from detr2litert.convert.models.coco import COCO_SPARSE
from detr2litert.convert.models.keypoints.skeletons import Skeleton
from detr2litert.convert.models.variants.row import ClassNames, Fact, Family, Variant

RF_DETR = Family(
    name="RF-DETR",
    model_type="rf_detr",
    config_class="RfDetrConfig",
    model_class="RfDetrForObjectDetection",
    signature=(
        r"\bprojector\.",
        r"\b(refpoint_embed|reference_point_embed)\.weight$",
        r"\benc_out_class_embed\.0\.weight$",
        r"(^|\.)class_embed\.weight$",
        # LW-DETR has all the others too.
        r"embeddings\.patch_embeddings\.projection\.weight$",
    ),
    facts={
        "logits": Fact(r"(^|\.)class_embed\.bias$"),
        "hidden size": Fact(r"\benc_output\.0\.bias$"),
        "backbone width": Fact(r"patch_embeddings\.projection\.bias$"),
        "patch": Fact(r"patch_embeddings\.projection\.weight$", axis=2),
        "input channels": Fact(r"patch_embeddings\.projection\.weight$", axis=1),
        "decoder layers": Fact(r"\bdecoder\.layers\.(\d+)\.", how="count"),
        "position grid": Fact(r"embeddings\.position_embeddings$", how="grid", axis=1),
        "groups": Fact(r"\benc_output\.(\d+)\.bias$", how="count"),
        "query rows": Fact(r"\bquery_feat\.weight$"),
    },
    other_models={
        # With a whole head it is of the family RF-DETR Seg.
        r"(^|\.)segmentation_head\.|(^|\.)query_features_block\.": "an RF-DETR segmentation checkpoint without a whole "
        "segmentation head; save all of its tensors",
        r"keypoint": "an RF-DETR keypoint checkpoint; only detection checkpoints can be converted",
        r"lora_|\.base_layer\.": "a checkpoint with LoRA adapters in an unknown form; merge them (merge_and_unload in "
        "peft) first",
        r"register_tokens": "an RF-DETR with register tokens, which no variant supports",
        r"projector\.stages\.[1-9]": "an RF-DETR with more than one feature level (the deprecated 2025 rf-detr-large), which "
        "no variant supports; use the current large",
    },
    # _kp_active_mask: a buffer for keypoints that rfdetr has in every detector since 1.8.
    ignored_tensors=(r"num_batches_tracked$", r"(^|\.)_kp_active_mask$"),
    adjustments=("select_border_tokens",),
    # rfdetr's projector normalises with eps 1e-6 (rfdetr/models/backbone/projector.py, LayerNorm); transformers' class default
    # is 1e-5 and its converter leaves it there, which moves logits by up to 1.
    fixed_config={"layer_norm_eps": 1e-6},
    config_from_facts={"groups": "group_detr", "queries": "num_queries"},
    grid_field=("backbone_config", "image_size"),
    fields={
        "input_channels": ("backbone_config", "num_channels"),
        "decoder_layers": ("decoder_layers",),
        "windows": ("backbone_config", "num_windows"),
        "feature_levels": ("backbone_config", "out_indices"),
        "self_attention_heads": ("decoder_self_attention_heads",),
        "cross_attention_heads": ("decoder_cross_attention_heads",),
    },
    # post_process_object_detection in transformers' image_processing_rf_detr.py keeps as many detections as there are queries.
    config_states={"num_select": ("num_queries",)},
    defaults={"input_channels": 3},
    # rfdetr's ModelConfig (src/rfdetr/config.py), which its training stores as args or model_config.
    arguments={
        "resolution": "resolution",
        "num_queries": "num_queries",
        "num_select": "num_select",
        "num_channels": "input_channels",
        "dec_layers": "decoder_layers",
        "num_windows": "windows",
        "out_feature_indexes": "feature_levels",
        "sa_nheads": "self_attention_heads",
        "ca_nheads": "cross_attention_heads",
    },
    required_arguments={
        "two_stage": (True,),
        "bbox_reparam": (True,),
        "lite_refpoint_refine": (True,),
        "layer_norm": (True,),
        "rms_norm": (False,),
        "decoder_norm": ("LN",),
    },
    antialiased_before=(1, 9),
    # rfdetr 1.0 and 1.1: rfdetr/main.py, where the model's own arguments have num_select 100 by default.
    selected_before=("patch_size", 100),
    query_rows=r"(reference_point_embed|query_feat)\.weight$|(^|\.)refpoint_embed\.weight$",
    init_std={
        r"\.(q_proj|k_proj)\.weight$": 1.0,
        r"\.(sampling_offsets|attention_weights)\.weight$": 1.0,
        r"bbox_embed(\.\d+)?\.layers\.[01]\.weight$": 1.4,
        r"bbox_embed(\.\d+)?\.layers\.2\.weight$": 0.3,
        r"class_embed(\.\d+)?\.weight$": 1.0,
    },
)

_RF_DETR_SOURCE = (
    "roboflow/rf-detr src/rfdetr/config.py at 000ef83 ({config}): encoder dinov2_windowed_small, projector P4, two_stage, "
    "bbox_reparam, lite_refpoint_refine; src/rfdetr/models/backbone/projector.py: C2f of 3 blocks, SiLU, expansion 0.5"
)


def rf_detr_row(
    name: str,
    *,
    resolution: int,
    patch: int,
    windows: int,
    decoder_layers: int,
    position_grid: int,
    feature_levels: tuple[int, ...],
    source: str,
    family: Family = RF_DETR,
    class_name: str | None = None,
    classes: ClassNames = COCO_SPARSE,
    num_queries: int = 300,
    group_detr: int = 13,
    width: int = 384,
    layers: int = 12,
    heads: int = 6,
    d_model: int = 256,
    ffn: int = 2048,
    self_heads: int = 8,
    cross_heads: int = 16,
    c2f_blocks: int = 3,
    points: int = 2,
    hub_id: str | None = None,
    bundled: str | None = None,
    mask_ffn: int | None = None,
    keypoints: Mapping[int, Skeleton] | None = None,
    score_weight: float = 0.2,
) -> Variant:
    """Builds a row of the RF-DETR family; the defaults are those of the published sizes, transformers' for ``mask_ffn``.

    ``keypoints`` are those of each class by its column, for a detector that has any.
    """
    return Variant(
        name=name,
        family=family,
        resolution=resolution,
        resolution_step=patch * windows,
        num_queries=num_queries,
        num_select=num_queries,
        classes=classes,
        config={
            "backbone_config": {
                "model_type": "rf_detr_dinov2",
                "image_size": position_grid * patch,
                "patch_size": patch,
                "hidden_size": width,
                "num_hidden_layers": layers,
                "num_attention_heads": heads,
                "mlp_ratio": 4,
                "num_windows": windows,
                "out_indices": list(feature_levels),
                "layer_norm_eps": 1e-6,
            },
            "d_model": d_model,
            "decoder_layers": decoder_layers,
            "decoder_ffn_dim": ffn,
            "decoder_n_points": points,
            "decoder_self_attention_heads": self_heads,
            "decoder_cross_attention_heads": cross_heads,
            "hidden_expansion": 0.5,
            "c2f_num_blocks": c2f_blocks,
            "num_queries": num_queries,
            "group_detr": group_detr,
            "num_feature_levels": 1,
            "dropout": 0.0,
            "layer_norm_eps": 1e-6,
            **({} if mask_ffn is None else {"intermediate_size": mask_ffn}),
            **({} if keypoints is None else {"keypoints_per_class": _counts(keypoints), "keypoint_score_weight": score_weight}),
        },
        expected={
            "backbone width": width,
            "hidden size": d_model,
            "patch": patch,
            "decoder layers": decoder_layers,
            "position grid": position_grid,
        },
        source=source,
        hub_id=hub_id,
        bundled=bundled,
        class_name=class_name,
        # rfdetr's predict resizes without antialias since 1.9.0 (pull request 1206); --resize selects the older form.
        resize="bilinear",
        strides=(patch,),
        patch=patch,
        windows=windows,
        decoder_layers=decoder_layers,
        position_grid=position_grid,
        feature_levels=feature_levels,
        keypoints=keypoints or {},
    )


def _counts(keypoints: Mapping[int, Skeleton]) -> list[int]:
    return [len(keypoints[column].names) if column in keypoints else 0 for column in range(max(keypoints) + 1)]


def demo_row(
    name: str,
    *,
    source: str,
    family: Family = RF_DETR,
    mask_ffn: int | None = None,
    keypoints: Mapping[int, Skeleton] | None = None,
) -> Variant:
    """Builds the row of a trained demo detector, which all have one size."""
    return rf_detr_row(
        name,
        family=family,
        resolution=160,
        patch=10,
        windows=2,
        decoder_layers=2,
        position_grid=16,
        feature_levels=(2, 3, 5, 6),
        classes=("circle", "square", "triangle", "star", "cross", "crescent"),
        num_queries=40,
        group_detr=3,
        width=128,
        layers=6,
        heads=4,
        d_model=96,
        ffn=256,
        self_heads=4,
        cross_heads=6,
        c2f_blocks=2,
        mask_ffn=mask_ffn,
        keypoints=keypoints,
        score_weight=0.0,
        bundled=f"demo/{name}",
        source=source,
    )


ROWS: tuple[Variant, ...] = (
    rf_detr_row(
        "nano",
        class_name="RFDETRNano",
        resolution=384,
        patch=16,
        windows=2,
        decoder_layers=2,
        position_grid=24,
        feature_levels=(3, 6, 9, 12),
        hub_id="Roboflow/rf-detr-nano",
        source=_RF_DETR_SOURCE.format(config="RFDETRNanoConfig"),
    ),
    rf_detr_row(
        "small",
        class_name="RFDETRSmall",
        resolution=512,
        patch=16,
        windows=2,
        decoder_layers=3,
        position_grid=32,
        feature_levels=(3, 6, 9, 12),
        hub_id="Roboflow/rf-detr-small",
        source=_RF_DETR_SOURCE.format(config="RFDETRSmallConfig"),
    ),
    rf_detr_row(
        "medium",
        class_name="RFDETRMedium",
        resolution=576,
        patch=16,
        windows=2,
        decoder_layers=4,
        position_grid=36,
        feature_levels=(3, 6, 9, 12),
        hub_id="Roboflow/rf-detr-medium",
        source=_RF_DETR_SOURCE.format(config="RFDETRMediumConfig"),
    ),
    rf_detr_row(
        "base",
        class_name="RFDETRBase",
        resolution=560,
        patch=14,
        windows=4,
        decoder_layers=3,
        position_grid=37,
        feature_levels=(2, 5, 8, 11),
        hub_id="Roboflow/rf-detr-base",
        source=_RF_DETR_SOURCE.format(config="RFDETRBaseConfig"),
    ),
    rf_detr_row(
        "large",
        class_name="RFDETRLarge",
        resolution=704,
        patch=16,
        windows=2,
        decoder_layers=4,
        position_grid=44,
        feature_levels=(3, 6, 9, 12),
        hub_id="Roboflow/rf-detr-large",
        source=_RF_DETR_SOURCE.format(config="RFDETRLargeConfig, the 2026 one"),
    ),
    rf_detr_row(
        "xlarge",
        class_name="RFDETRXLarge",
        resolution=700,
        patch=20,
        windows=1,
        decoder_layers=5,
        position_grid=35,
        feature_levels=(3, 6, 9, 12),
        width=768,
        heads=12,
        d_model=512,
        self_heads=16,
        cross_heads=32,
        points=4,
        source="rfdetr 1.4.1 (PyPI) rfdetr/platform/models.py, RFDETRXLargeConfig: encoder dinov2_windowed_base",
    ),
    rf_detr_row(
        "2xlarge",
        class_name="RFDETR2XLarge",
        resolution=880,
        patch=20,
        windows=2,
        decoder_layers=5,
        position_grid=44,
        feature_levels=(3, 6, 9, 12),
        width=768,
        heads=12,
        d_model=512,
        self_heads=16,
        cross_heads=32,
        points=4,
        source="rfdetr 1.4.1 (PyPI) rfdetr/platform/models.py, RFDETR2XLargeConfig: encoder dinov2_windowed_base",
    ),
    demo_row("tiny", source="tools/demo_training/detectors.py, rf_detr_config"),
)
