"""D-FINE: HGNetV2, hybrid encoder, two-stage selection, decoder with distribution refinement (FDR) and quality head (LQE)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from detr2litert.convert.models.coco import COCO_CONTIGUOUS
from detr2litert.convert.models.variants.distribution_heads import DISTRIBUTION_INIT_STD
from detr2litert.convert.models.variants.hybrid_names import HYBRID_ENCODER, RECOMPUTED, TWO_STAGE_DECODER
from detr2litert.convert.models.variants.row import ClassNames, Fact, Family, Renaming, Variant, resizes_images

_NAMES: Renaming = (
    (r"^backbone\.stem\.", r"model.backbone.model.embedder."),
    (r"^backbone\.stages\.", r"model.backbone.model.encoder.stages."),
    (r"^(model\.backbone\..*)\.conv\.weight$", r"\1.convolution.weight"),
    (r"^(model\.backbone\..*)\.bn\.", r"\1.normalization."),
    *HYBRID_ENCODER,
    (r"^(model\.encoder\.(?:fpn|pan)_blocks\.\d+)\.cv([14])\.", r"\1.conv\2."),
    (r"^(model\.encoder\.(?:fpn|pan)_blocks\.\d+)\.cv2\.0\.", r"\1.csp_rep1."),
    (r"^(model\.encoder\.(?:fpn|pan)_blocks\.\d+)\.cv2\.1\.", r"\1.conv2."),
    (r"^(model\.encoder\.(?:fpn|pan)_blocks\.\d+)\.cv3\.0\.", r"\1.csp_rep2."),
    (r"^(model\.encoder\.(?:fpn|pan)_blocks\.\d+)\.cv3\.1\.", r"\1.conv3."),
    (r"^(model\.encoder\.downsample_convs\.\d+)\.0\.cv([12])\.", r"\1.conv\2."),
    *TWO_STAGE_DECODER,
    (r"^decoder\.pre_bbox_head\.", r"model.decoder.pre_bbox_head."),
    (r"^decoder\.(up|reg_scale)$", r"model.decoder.\1"),
)

D_FINE = Family(
    name="D-FINE",
    model_type="d_fine",
    config_class="DFineConfig",
    model_class="DFineForObjectDetection",
    signature=(
        r"\bstem1\.conv(olution)?\.weight$",
        r"\blateral_convs\.0\.",
        r"\bdecoder\.layers\.0\.gateway\.gate\.weight$",
        # The feed-forward network of two plain layers; later relatives have a gated one.
        r"\bdecoder\.layers\.0\.(linear1|fc1|mlp\.layers\.0)\.weight$",
        r"\blqe_layers\.\d+\.reg_conf\.",
    ),
    facts={
        "logits": Fact(r"(^|\.)(class_embed|dec_score_head)\.\d+\.bias$"),
        "hidden size": Fact(r"\benc_output\.(0|proj)\.bias$"),
        "encoder width": Fact(r"\bencoder[._]input_proj\.0\.(1|norm)\.bias$"),
        "levels": Fact(r"\bencoder[._]input_proj\.(\d+)\.", how="count"),
        "input channels": Fact(r"\bstem1\.conv(olution)?\.weight$", axis=1),
        "stem width": Fact(r"\bstem1\.conv(olution)?\.weight$"),
        "first level width": Fact(r"\bencoder[._]input_proj\.0\.(0|conv)\.weight$", axis=1),
        "decoder layers": Fact(r"\bdecoder\.layers\.(\d+)\.", how="count"),
        "sampling points": Fact(r"\bdecoder\.layers\.0\.(cross|encoder)_attn\.attention_weights\.bias$"),
    },
    other_models={
        r"\.conv_bn_fused\.": "a D-FINE converted for deployment, its normalisations already folded; pass the checkpoint "
        "written by training",
    },
    ignored_tensors=RECOMPUTED,
    renaming=_NAMES,
    adjustments=("transpose_positions", "activate_heads"),
    fields={
        "input_channels": ("backbone_config", "num_channels"),
        "decoder_layers": ("decoder_layers",),
        "activation": ("decoder_activation_function",),
    },
    # post_process_object_detection in transformers' image_processing_rt_detr.py keeps as many detections as there are queries.
    config_states={"num_select": ("num_queries",)},
    defaults={"input_channels": 3, "activation": "relu"},
    copies={("backbone_config", "num_channels"): ("backbone_config", "stem_channels", 0)},
    init_std=DISTRIBUTION_INIT_STD,
    init_noise={r"\.lab\.(scale|bias)$": 0.1, r"norm\.(weight|bias)$": 0.1, r"\b(v_proj|o_proj)\.bias$": 0.1},
)

# name: stem channels; in, mid and out channels of the four stages; blocks of each; layers of each block.
_HGNET_V2: Mapping[str, tuple[list[int], list[int], list[int], list[int], list[int], int]] = {
    "B0": ([3, 16, 16], [16, 64, 256, 512], [16, 32, 64, 128], [64, 256, 512, 1024], [1, 1, 2, 1], 3),
    "B2": ([3, 24, 32], [32, 96, 384, 768], [32, 64, 128, 256], [96, 384, 768, 1536], [1, 1, 3, 1], 4),
    "B4": ([3, 32, 48], [48, 128, 512, 1024], [48, 96, 192, 384], [128, 512, 1024, 2048], [1, 1, 3, 1], 6),
    "B5": ([3, 32, 64], [64, 128, 512, 1024], [64, 128, 256, 512], [128, 512, 1024, 2048], [1, 2, 5, 2], 6),
}

_D_FINE_SOURCE = (
    "Peterande/D-FINE configs/dfine/{config} with include/dfine_hgnetv2.yml at 2562e29, src/nn/backbone/hgnetv2.py at 0d00c52; "
    "huggingface/transformers convert_d_fine_original_pytorch_checkpoint_to_hf.py at 1e98d00 (get_d_fine_config)"
)


def _backbone(name: str, affine: bool, feature_levels: tuple[int, ...]) -> dict[str, Any]:
    """Returns the transformers configuration of a published size of HGNetV2; ``affine``: with learnable affine blocks."""
    stem, into, middle, out, blocks, layers = _HGNET_V2[name]
    return {
        "model_type": "hgnet_v2",
        "stem_channels": stem,
        "stage_in_channels": into,
        "stage_mid_channels": middle,
        "stage_out_channels": out,
        "hidden_sizes": out,
        "stage_num_blocks": blocks,
        "stage_numb_of_layers": [layers] * 4,
        "stage_downsample": [False, True, True, True],
        "stage_light_block": [False, False, True, True],
        "stage_kernel_size": [3, 3, 5, 5],
        "use_learnable_affine_block": affine,
        "out_indices": list(feature_levels),
    }


def d_fine_row(
    name: str,
    *,
    backbone: Mapping[str, Any],
    decoder_layers: int,
    source: str,
    resolution: int = 640,
    classes: ClassNames = COCO_CONTIGUOUS,
    num_queries: int = 300,
    width: int = 256,
    encoder_width: int = 256,
    encoder_ffn: int = 1024,
    decoder_ffn: int = 1024,
    heads: int = 8,
    expansion: float = 1.0,
    depth: float = 1.0,
    points: tuple[int, ...] = (3, 6, 3),
    strides: tuple[int, ...] = (8, 16, 32),
    reg_scale: float = 4.0,
    frozen_norms: bool = True,
    num_denoising: int = 100,
    hub_id: str | None = None,
    bundled: str | None = None,
) -> Variant:
    """Builds a row of the D-FINE family; the defaults are those of most published sizes."""
    levels = len(strides)
    return Variant(
        name=name,
        family=D_FINE,
        resolution=resolution,
        resolution_step=strides[-1],
        num_queries=num_queries,
        num_select=num_queries,
        classes=classes,
        config={
            "backbone_config": dict(backbone),
            "freeze_backbone_batch_norms": frozen_norms,
            "encoder_in_channels": list(backbone["stage_out_channels"][-levels:]),
            "encoder_hidden_dim": encoder_width,
            "encoder_ffn_dim": encoder_ffn,
            "encoder_attention_heads": heads,
            "encode_proj_layers": [levels - 1],
            "feat_strides": list(strides),
            "hidden_expansion": expansion,
            "depth_mult": depth,
            "d_model": width,
            "decoder_in_channels": [encoder_width] * levels,
            "decoder_layers": decoder_layers,
            "decoder_ffn_dim": decoder_ffn,
            "decoder_attention_heads": heads,
            "decoder_n_points": list(points),
            "num_feature_levels": levels,
            "num_queries": num_queries,
            "num_denoising": num_denoising,
            "reg_scale": reg_scale,
        },
        expected={
            "hidden size": width,
            "encoder width": encoder_width,
            "levels": levels,
            "stem width": backbone["stem_channels"][1],
            "decoder layers": decoder_layers,
            "sampling points": heads * sum(points),
        },
        source=source,
        hub_id=hub_id,
        bundled=bundled,
        strides=strides,
        decoder_layers=decoder_layers,
        feature_levels=tuple(backbone["out_indices"]),
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        # transformers' processor resizes 8-bit tensors; the original's validation transforms resize the PIL image too
        # (configs/dfine/include/dataloader.yml: Resize, then ConvertPILImage with scale).
        resize="bilinear_8bit",
        original_settings=resizes_images("tools/inference/torch_inf.py"),
    )


ROWS: tuple[Variant, ...] = (
    d_fine_row(
        "dfine-n",
        backbone=_backbone("B0", affine=True, feature_levels=(3, 4)),
        decoder_layers=3,
        width=128,
        encoder_width=128,
        encoder_ffn=512,
        decoder_ffn=512,
        expansion=0.34,
        depth=0.5,
        points=(6, 6),
        strides=(16, 32),
        hub_id="ustc-community/dfine-nano-coco",
        source=_D_FINE_SOURCE.format(config="dfine_hgnetv2_n_coco.yml (as in tnt305/D-FINE at 82f62d2)"),
    ),
    d_fine_row(
        "dfine-s",
        backbone=_backbone("B0", affine=True, feature_levels=(2, 3, 4)),
        decoder_layers=3,
        expansion=0.5,
        depth=0.34,
        hub_id="ustc-community/dfine-small-coco",
        source=_D_FINE_SOURCE.format(config="dfine_hgnetv2_s_coco.yml at 4a826fc"),
    ),
    d_fine_row(
        "dfine-m",
        backbone=_backbone("B2", affine=True, feature_levels=(2, 3, 4)),
        decoder_layers=4,
        depth=0.67,
        hub_id="ustc-community/dfine-medium-coco",
        source=_D_FINE_SOURCE.format(config="dfine_hgnetv2_m_coco.yml at 955b35b"),
    ),
    d_fine_row(
        "dfine-l",
        backbone=_backbone("B4", affine=False, feature_levels=(2, 3, 4)),
        decoder_layers=6,
        hub_id="ustc-community/dfine-large-coco",
        source=_D_FINE_SOURCE.format(config="dfine_hgnetv2_l_coco.yml at 1856159"),
    ),
    d_fine_row(
        "dfine-x",
        backbone=_backbone("B5", affine=False, feature_levels=(2, 3, 4)),
        decoder_layers=6,
        encoder_width=384,
        encoder_ffn=2048,
        reg_scale=8.0,
        hub_id="ustc-community/dfine-xlarge-coco",
        source=_D_FINE_SOURCE.format(config="dfine_hgnetv2_x_coco.yml at 2562e29"),
    ),
    d_fine_row(
        "dfine-tiny",
        backbone={
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
        decoder_layers=3,
        resolution=160,
        classes=("circle", "square", "triangle", "star", "cross", "crescent"),
        num_queries=40,
        width=96,
        encoder_width=96,
        encoder_ffn=256,
        decoder_ffn=256,
        heads=4,
        expansion=0.5,
        depth=0.34,
        frozen_norms=False,
        num_denoising=20,
        bundled="demo/dfine-tiny",
        source="tools/demo_training/detectors.py, d_fine_config",
    ),
)
