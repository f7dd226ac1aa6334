"""LW-DETR: plain ViT with windowed and global blocks, one or two feature levels, two-stage selection, deformable decoder.

RF-DETR is derived from it: the decoder and the heads are the same and have the same names; the backbones differ.

If a side has 50 or more cells, like the finer level of the two largest sizes, the original includes the border cells in the
query selection with zeroed features, while transformers excludes them (proposals within 0.01 of the border count as invalid).
"""

from __future__ import annotations

from detr2litert.convert.models.coco import COCO_SPARSE
from detr2litert.convert.models.variants.row import Fact, Family, Renaming, Variant, resizes_images

# Atten4Vis/LW-DETR models/backbone/vit.py, projector.py, models/transformer.py and models/lwdetr.py at d5e6e6c.
_BLOCK = r"^(model\.backbone\.backbone\.encoder\.layer\.\d+)\."
_LAYER = r"^(model\.decoder\.layers\.\d+)\."
_NAMES: Renaming = (
    (r"^backbone\.0\.encoder\.pos_embed$", r"model.backbone.backbone.embeddings.position_embeddings"),
    (r"^backbone\.0\.encoder\.patch_embed\.proj\.", r"model.backbone.backbone.embeddings.projection."),
    (r"^backbone\.0\.encoder\.blocks\.", r"model.backbone.backbone.encoder.layer."),
    (_BLOCK + r"norm1\.", r"\1.layernorm_before."),
    (_BLOCK + r"norm2\.", r"\1.layernorm_after."),
    (_BLOCK + r"mlp\.", r"\1.intermediate."),
    (_BLOCK + r"attn\.proj\.", r"\1.attention.o_proj."),
    (_BLOCK + r"attn\.([qv])_bias$", r"\1.attention.\2_proj.bias"),
    (
        r"^backbone\.0\.projector\.stages_sampling\.(\d+)\.(\d+)\.",
        r"model.backbone.projector.scale_layers.\1.sampling_layers.\2.layers.",
    ),
    (r"^backbone\.0\.projector\.stages\.(\d+)\.0\.", r"model.backbone.projector.scale_layers.\1.projector_layer."),
    (r"^backbone\.0\.projector\.stages\.(\d+)\.1\.", r"model.backbone.projector.scale_layers.\1.layer_norm."),
    (r"\.projector_layer\.m\.(\d+)\.", r".projector_layer.bottlenecks.\1."),
    (r"(\.projector_layer\..*)cv([12])\.", r"\1conv\2."),
    (r"(\.(?:projector_layer|sampling_layers)\..*)\.bn\.", r"\1.norm."),
    (r"^refpoint_embed\.", r"model.reference_point_embed."),
    (r"^query_feat\.", r"model.query_feat."),
    (r"^transformer\.decoder\.norm\.", r"model.decoder.layernorm."),
    (r"^transformer\.", r"model."),
    (_LAYER + r"linear([12])\.", r"\1.mlp.fc\2."),
    (_LAYER + r"norm1\.", r"\1.self_attn_layer_norm."),
    (_LAYER + r"norm2\.", r"\1.cross_attn_layer_norm."),
    (_LAYER + r"norm3\.", r"\1.layer_norm."),
    (_LAYER + r"self_attn\.out_proj\.", r"\1.self_attn.o_proj."),
)

LW_DETR = Family(
    name="LW-DETR",
    model_type="lw_detr",
    config_class="LwDetrConfig",
    model_class="LwDetrForObjectDetection",
    signature=(
        r"(^|\.)(embeddings\.projection|patch_embed\.proj)\.weight$",
        r"\bprojector\.",
        r"\b(refpoint_embed|reference_point_embed)\.weight$",
        r"\benc_out_class_embed\.0\.weight$",
        # The scales of CAE's pre-trained blocks, unique to this backbone among such detectors.
        r"\bencoder\.(layer|blocks)\.\d+\.gamma_1$",
    ),
    facts={
        "logits": Fact(r"(^|\.)class_embed\.bias$"),
        "hidden size": Fact(r"\benc_output\.0\.bias$"),
        "backbone width": Fact(r"(^|\.)(embeddings\.projection|patch_embed\.proj)\.bias$"),
        "backbone layers": Fact(r"\bencoder\.(?:layer|blocks)\.(\d+)\.", how="count"),
        "levels": Fact(r"\bprojector\.(?:scale_layers|stages)\.(\d+)\.", how="count"),
        "decoder layers": Fact(r"\bdecoder\.layers\.(\d+)\.", how="count"),
        "groups": Fact(r"\benc_output\.(\d+)\.bias$", how="count"),
        "query rows": Fact(r"\bquery_feat\.weight$"),
    },
    ignored_tensors=(r"num_batches_tracked$",),
    renaming=_NAMES,
    splits=((_BLOCK + r"attn\.qkv\.weight$", tuple(rf"\1.attention.{projection}_proj.weight" for projection in "qkv")),),
    config_from_facts={"groups": "group_detr", "queries": "num_queries"},
    fields={
        "decoder_layers": ("decoder_layers",),
        "windowed_blocks": ("backbone_config", "window_block_indices"),
        "feature_levels": ("backbone_config", "out_indices"),
        "self_attention_heads": ("decoder_self_attention_heads",),
        "cross_attention_heads": ("decoder_cross_attention_heads",),
    },
    # The arguments of its main.py, which a checkpoint has as a Namespace.
    arguments={
        "num_queries": "num_queries",
        "num_select": "num_select",
        "dec_layers": "decoder_layers",
        "window_block_indexes": "windowed_blocks",
        "out_feature_indexes": "feature_levels",
        "sa_nheads": "self_attention_heads",
        "ca_nheads": "cross_attention_heads",
    },
    counted_from_zero=("out_feature_indexes",),
    required_arguments={
        "two_stage": (True,),
        "bbox_reparam": (True,),
        "lite_refpoint_refine": (True,),
        "decoder_norm": ("LN",),
    },
    query_rows=r"(reference_point_embed|refpoint_embed|query_feat)\.weight$",
    init_std={
        r"\.(q_proj|k_proj)\.weight$": 1.0,
        r"\.(v_proj|o_proj|value_proj|output_proj)\.weight$": 1.0,
        r"\.(sampling_offsets|attention_weights)\.weight$": 1.0,
        r"\.(intermediate|mlp)\.fc[12]\.weight$": 1.0,
        r"\bembeddings\.projection\.weight$": 1.0,
        r"\benc_output\.0\.weight$": 1.0,
        r"\bref_point_head\.layers\.[01]\.weight$": 1.4,
        r"\b(reference_point_embed|query_feat)\.weight$": 1.0,
        r"bbox_embed(\.\d+)?\.layers\.[01]\.weight$": 1.4,
        r"bbox_embed(\.\d+)?\.layers\.2\.weight$": 0.3,
        r"class_embed(\.\d+)?\.weight$": 1.0,
    },
    init_noise={
        r"\bposition_embeddings$": 0.3,
        r"\.gamma_[12]$": 0.2,
        r"norm(_before|_after|\.\d+)?\.(weight|bias)$": 0.1,
        r"\b(v_proj|o_proj)\.bias$": 0.1,
    },
)

_LW_DETR_SOURCE = (
    "Atten4Vis/LW-DETR scripts/{script} and models/backbone/backbone.py, vit.py, projector.py at 7141c43; "
    "huggingface/transformers convert_lw_detr_to_hf.py at 0eb69e6 (BACKBONE_CONFIGS, MODEL_CONFIGS)"
)


def lw_detr_row(
    size: str,
    *,
    width: int,
    windowed: tuple[int, ...] = (0, 1, 3, 6, 7, 9),
    feature_levels: tuple[int, ...] = (3, 5, 6, 10),
    layers: int = 10,
    scales: tuple[float, ...] = (1.0,),
    d_model: int = 256,
    self_heads: int = 8,
    cross_heads: int = 16,
    points: int = 2,
    num_queries: int = 300,
) -> Variant:
    """Builds a row of the LW-DETR family; the defaults are those of most published sizes.

    ``windowed`` are the blocks that attend within windows, counted from 0. ``feature_levels`` are the blocks whose output is
    read, counted from 1, as in transformers: its stage 0 is the input of the first block. (The original's out_feature_indexes,
    and those in transformers' converter, count from 0.)
    """
    hub_id = f"AnnaZhang/lwdetr_{size}_60e_coco"
    return Variant(
        name=f"lwdetr-{size}",
        family=LW_DETR,
        resolution=640,
        resolution_step=64,
        num_queries=num_queries,
        num_select=num_queries,
        classes=COCO_SPARSE,
        config={
            "backbone_config": {
                "model_type": "lw_detr_vit",
                "image_size": 1024,
                "pretrain_image_size": 224,
                "patch_size": 16,
                "hidden_size": width,
                "num_hidden_layers": layers,
                "num_attention_heads": 12,
                "mlp_ratio": 4,
                "num_windows": 16,
                "window_block_indices": list(windowed),
                "out_indices": list(feature_levels),
                "layer_norm_eps": 1e-6,
            },
            "projector_scale_factors": list(scales),
            "hidden_expansion": 0.5,
            "c2f_num_blocks": 3,
            "d_model": d_model,
            "decoder_layers": 3,
            "decoder_ffn_dim": 2048,
            "decoder_n_points": points,
            "decoder_self_attention_heads": self_heads,
            "decoder_cross_attention_heads": cross_heads,
            "num_queries": num_queries,
            "group_detr": 13,
        },
        expected={
            "backbone width": width,
            "backbone layers": layers,
            "hidden size": d_model,
            "levels": len(scales),
            "decoder layers": 3,
        },
        source=_LW_DETR_SOURCE.format(script=f"lwdetr_{size}_coco_eval.sh"),
        hub_id=hub_id,
        strides=tuple(int(16 / scale) for scale in scales),
        patch=16,
        windows=4,
        decoder_layers=3,
        feature_levels=feature_levels,
        # transformers' processor resizes 8-bit tensors; the original's validation transforms (datasets/coco.py,
        # make_coco_transforms_square_div_64) resize the PIL image, then apply ImageNet's mean and deviation.
        resize="bilinear_8bit",
        original_settings=resizes_images("SquareResize of datasets/transforms.py"),
    )


ROWS: tuple[Variant, ...] = (
    lw_detr_row("tiny", width=192, layers=6, windowed=(0, 2, 4), feature_levels=(2, 4, 6), num_queries=100),
    lw_detr_row("small", width=192),
    lw_detr_row("medium", width=384),
    lw_detr_row("large", width=384, scales=(2.0, 0.5), d_model=384, self_heads=12, cross_heads=24, points=4),
    lw_detr_row("xlarge", width=768, scales=(2.0, 0.5), d_model=384, self_heads=12, cross_heads=24, points=4),
)
