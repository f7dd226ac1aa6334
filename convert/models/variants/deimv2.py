"""DEIMv2: D-FINE's decoder with gated feed-forward networks behind HGNetV2 (small sizes) or a ViT with a spatial adapter.

transformers' model differs from the original project's in several places, so that weights converted to a transformers folder
detect worse: transformers' own test finds one cat, at 0.27, in COCO's image of two. Checkpoints in the original naming are
computed as the original does (``convert.models.originals``), folders as transformers does. The original
(engine/deim/deim_decoder.py and hybrid_encoder.py, engine/backbone/vit_tiny.py at 0fff8d4)

- scores the tokens directly, where transformers has a LayerNorm before;
- computes the queries' position embedding once, not in each decoder layer;
- has SiLU in the box heads and in the quality estimation (``mlp_act``), where transformers has ReLU;
- uses the last feature level of the two tiny ViTs unchanged, where transformers normalises it, and has 1e-6 in their LayerNorms
  and a bias of the keys, which transformers has not;
- lays the position embedding of the hybrid encoder out by columns, see ``originals.transpose_positions``;
- adds position embeddings in the hybrid encoder. transformers leaves them out where ``eval_size`` is set, which its converter
  does; ``fixed_config`` below overrides that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from detr2litert.convert.models.coco import COCO_CONTIGUOUS
from detr2litert.convert.models.settings.fields import FieldPath
from detr2litert.convert.models.variants.deimv2_names import HYBRID_PROJECTIONS, NAMES, NEEDLESS, SPLITS
from detr2litert.convert.models.variants.distribution_heads import DISTRIBUTION_INIT_STD
from detr2litert.convert.models.variants.hybrid_names import RECOMPUTED
from detr2litert.convert.models.variants.row import Fact, Family, Variant, resizes_images

DEIMV2 = Family(
    name="DEIMv2",
    model_type="deimv2",
    config_class="Deimv2Config",
    model_class="Deimv2ForObjectDetection",
    signature=(
        r"\benc_score_head\.weight$",
        r"\blqe_layers\.\d+\.reg_conf\.",
        # The gated feed-forward network, where D-FINE has two plain layers.
        r"\bdecoder\.layers\.0\.(swish_ffn\.w3|mlp\.down_proj)\.weight$",
    ),
    facts={
        "logits": Fact(r"(^|\.)(class_embed|dec_score_head)\.\d+\.bias$"),
        "hidden size": Fact(r"\benc_score_head\.weight$", axis=1),
        "backbone width": Fact(r"\b(patch_embeddings|patch_embed\.proj)\.bias$"),
        "decoder layers": Fact(r"\bdecoder\.layers\.(\d+)\.", how="count"),
        "sampling points": Fact(r"\bdecoder\.layers\.0\.(cross|encoder)_attn\.attention_weights\.bias$"),
    },
    # The mask token is used only in the ViT's pre-training.
    ignored_tensors=(*RECOMPUTED, r"\bembeddings\.mask_token$", *NEEDLESS),
    renaming=NAMES,
    splits=SPLITS,
    adjustments=("transpose_positions", "score_tokens_directly", "keep_first_query_positions", "activate_heads"),
    fields={"decoder_layers": ("decoder_layers",), "activation": ("decoder_activation_function",)},
    # post_process_object_detection in transformers' image_processing_rt_detr.py keeps as many detections as there are queries.
    config_states={"num_select": ("num_queries",)},
    fixed_config={"eval_size": None},
    init_std={
        **DISTRIBUTION_INIT_STD,
        r"\.mlp\.(gate|up|down)_proj\.weight$": 1.4,
        r"\bpatch_embeddings\.weight$": 1.0,
    },
    init_noise={
        r"\.lab\.(scale|bias)$": 0.1,
        r"\.lambda1$": 0.3,
        r"\b(cls_token|register_tokens)$": 0.5,
        r"norm[12]?\.(weight|bias)$": 0.1,
        r"\benc_output\.1\.(weight|bias)$": 0.1,
        r"\b(v_proj|o_proj)\.bias$": 0.1,
    },
)

# VisionTransformer in engine/backbone/vit_tiny.py: norm_layer, qkv_bias.
_TINY_VIT: Mapping[FieldPath, Any] = {("backbone_config", "layer_norm_eps"): 1e-6, ("backbone_config", "key_bias"): True}
# SwiGLUFFN in engine/backbone/dinov3/layers/ffn_layers.py; transformers' default is GELU.
_GATED_VIT: Mapping[FieldPath, Any] = {("backbone_config", "hidden_act"): "silu"}

_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_PLAIN = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))

_DEIMV2_SOURCE = (
    "Intellindust-AI-Lab/DEIMv2 hf_models.ipynb at 0855124 (deimv2_{size}_config); configs/base/deimv2.yml (as in "
    "yyq19990828/DEIMv2 at c06250e) and configs/deimv2/{config}; huggingface/transformers "
    "convert_deimv2_original_pytorch_checkpoint_to_hf.py at 1e64c24 (get_deimv2_config)"
)


@dataclass(frozen=True)
class Backbone:
    """The backbone: its transformers configuration, its output channels, and the normalisation of its image.

    ``distilled``: one of the two tiny ViTs; ``original``: configuration with which it computes as in the original project.
    """

    config: Mapping[str, Any]
    channels: tuple[int, ...]
    adapter: int | None = None
    distilled: bool = False
    original: Mapping[FieldPath, Any] = field(default_factory=dict)
    normalisation: tuple[tuple[float, float, float], tuple[float, float, float]] = _PLAIN

    @property
    def is_vit(self) -> bool:
        """True for a ViT with an adapter of ``adapter`` channels."""
        return self.adapter is not None


def _hgnet(
    *, out: list[int], hidden: list[int] | None = None, blocks: list[int], kernels: list[int], feature_levels: tuple[int, ...]
) -> Backbone:
    """Builds an HGNetV2 of 3 or 4 stages, 3 layers per block; inner widths start at 16 channels and double at each stage."""
    stages = len(out)
    return Backbone(
        config={
            "model_type": "hgnet_v2",
            "stem_channels": [3, 16, 16],
            "stage_in_channels": [16, *out[:-1]],
            "stage_mid_channels": [16 * 2**stage for stage in range(stages)],
            "stage_out_channels": out,
            "hidden_sizes": hidden or out,
            "depths": [3] * stages,
            "stage_num_blocks": blocks,
            "stage_downsample": [stage > 0 for stage in range(stages)],
            "stage_light_block": [stage > 1 for stage in range(stages)],
            "stage_kernel_size": kernels,
            "stage_numb_of_layers": [3] * stages,
            "use_learnable_affine_block": True,
            "out_indices": list(feature_levels),
        },
        channels=tuple(out[level - 1] for level in feature_levels),
    )


def _vit(
    *,
    width: int,
    hidden: int,
    feature_levels: tuple[int, ...],
    adapter: int,
    distilled: bool,
    ffn: int | None = None,
) -> Backbone:
    """Builds DINOv3's ViT-S or its gated variant, or one of the two tiny ViTs that DEIMv2 distilled from it.

    ``hidden``: output channels of the fusion with the adapter.
    """
    return Backbone(
        config={
            "model_type": "dinov3_vit",
            "hidden_size": width,
            "num_attention_heads": width // 64,
            "num_hidden_layers": 12,
            "intermediate_size": ffn or 4 * width,
            "use_gated_mlp": ffn is not None,
            "layerscale_value": 1.0 if distilled else 1e-5,
            "num_register_tokens": 0 if distilled else 4,
            "pos_embed_rescale": None if distilled else 2.0,
            "key_bias": not distilled,
            "rope_theta": 100.0,
            "out_indices": list(feature_levels),
            "apply_layernorm": not distilled,
            "reshape_hidden_states": True,
        },
        channels=(hidden, hidden, hidden),
        adapter=adapter,
        distilled=distilled,
        original=_TINY_VIT if distilled else _GATED_VIT if ffn is not None else {},
        normalisation=_IMAGENET,
    )


def deimv2_row(
    size: str,
    *,
    backbone: Backbone,
    width: int,
    decoder_layers: int,
    decoder_ffn: int,
    expansion: float,
    depth: float,
    source: str,
    encoder_ffn: int | None = None,
    points: tuple[int, ...] = (3, 6, 3),
    strides: tuple[int, ...] = (8, 16, 32),
    resolution: int = 640,
    num_queries: int = 300,
    hub_id: str | None = None,
) -> Variant:
    """Builds a row of the DEIMv2 family. Without ``encoder_ffn`` the encoder is the light one without gates in the decoder."""
    light, levels = encoder_ffn is None, len(strides)
    mean, std = backbone.normalisation
    config: dict[str, Any] = {
        "backbone_config": dict(backbone.config),
        "encoder_type": "lite" if light else "hybrid",
        "encoder_layers": 0 if light else 1,
        "encoder_hidden_dim": width,
        "encoder_in_channels": list(backbone.channels),
        "encoder_attention_heads": 8,
        "encode_proj_layers": [2] if light else [levels - 1],
        "encoder_has_trailing_conv": not backbone.is_vit,
        "feat_strides": list(strides[:1] if light else strides),
        "encoder_fuse_op": "sum",
        "activation_function": "silu",
        "hidden_expansion": expansion,
        "depth_mult": depth,
        "d_model": width,
        "decoder_in_channels": [width] * levels,
        "decoder_layers": decoder_layers,
        "decoder_ffn_dim": decoder_ffn,
        "decoder_n_points": list(points),
        "decoder_activation_function": "silu",
        "num_feature_levels": levels,
        "num_queries": num_queries,
        "share_bbox_head": light,
        "use_gateway": not light,
        "layer_scale": 1,
        "reg_scale": 4.0,
    }
    if encoder_ffn is not None:
        config["encoder_ffn_dim"] = encoder_ffn
    expected = {"hidden size": width, "decoder layers": decoder_layers, "sampling points": 8 * sum(points)}
    if backbone.adapter is not None:
        config["spatial_tuning_adapter_inplanes"] = backbone.adapter
        expected["backbone width"] = backbone.config["hidden_size"]
    return Variant(
        name=f"deimv2-{size}",
        family=DEIMV2,
        resolution=resolution,
        resolution_step=32,
        num_queries=num_queries,
        # PostProcessor, num_top_queries: of the pairs of query and class, also where there are fewer queries than that.
        num_select=300,
        classes=COCO_CONTIGUOUS,
        config=config,
        expected=expected,
        source=source,
        hub_id=hub_id,
        strides=strides,
        decoder_layers=decoder_layers,
        feature_levels=tuple(backbone.config["out_indices"]),
        mean=mean,
        std=std,
        # transformers' processor resizes 8-bit tensors; the original's val_dataloader resizes the PIL image too.
        resize="bilinear_8bit",
        original_settings=resizes_images("tools/inference/torch_inf.py"),
        adjustments=("simplify_tiny_vit",) if backbone.distilled else (),
        original_config=backbone.original,
        renaming=() if light else HYBRID_PROJECTIONS,
    )


# The Intellindust repositories on the hub hold the original format. The ids below are of the folders that transformers' own
# tests load (tests/models/deimv2/test_modeling_deimv2.py at 0035bc8).
ROWS: tuple[Variant, ...] = (
    deimv2_row(
        "atto",
        backbone=_hgnet(out=[64, 256, 256], blocks=[1, 1, 1], kernels=[3, 3, 3], feature_levels=(3,)),
        width=64,
        decoder_layers=3,
        decoder_ffn=160,
        expansion=0.34,
        depth=0.5,
        points=(4, 2),
        strides=(16, 32),
        resolution=320,
        num_queries=100,
        source=_DEIMV2_SOURCE.format(size="atto", config="deimv2_hgnetv2_atto_coco.yml (as in szh299/LMF-DETR at cc5d5b5)"),
    ),
    deimv2_row(
        "femto",
        backbone=_hgnet(out=[64, 256, 512], blocks=[1, 1, 1], kernels=[3, 3, 5], feature_levels=(3,)),
        width=96,
        decoder_layers=3,
        decoder_ffn=256,
        expansion=0.34,
        depth=0.5,
        points=(4, 2),
        strides=(16, 32),
        resolution=416,
        num_queries=150,
        source=_DEIMV2_SOURCE.format(size="femto", config="deimv2_hgnetv2_femto_coco.yml (as in szh299/LMF-DETR at cc5d5b5)"),
    ),
    deimv2_row(
        "pico",
        backbone=_hgnet(out=[64, 256, 512], blocks=[1, 1, 2], kernels=[3, 3, 5], feature_levels=(3,)),
        width=112,
        decoder_layers=3,
        decoder_ffn=320,
        expansion=0.34,
        depth=0.5,
        points=(4, 2),
        strides=(16, 32),
        num_queries=200,
        hub_id="harshaljanjani/DEIMv2_HGNetv2_PICO_COCO_Transformers",
        source=_DEIMV2_SOURCE.format(size="pico", config="deimv2_hgnetv2_pico_coco.yml (as in szh299/LMF-DETR at cc5d5b5)"),
    ),
    deimv2_row(
        "n",
        backbone=_hgnet(
            out=[64, 256, 512, 1024],
            hidden=[128, 256, 512, 1024],
            blocks=[1, 1, 2, 1],
            kernels=[3, 3, 5, 5],
            feature_levels=(3, 4),
        ),
        width=128,
        decoder_layers=3,
        decoder_ffn=512,
        encoder_ffn=512,
        expansion=0.34,
        depth=0.5,
        points=(6, 6),
        strides=(16, 32),
        hub_id="harshaljanjani/DEIMv2_HGNetv2_N_COCO_Transformers",
        source=_DEIMV2_SOURCE.format(size="n", config="deimv2_hgnetv2_n_coco.yml (as in Chuong98CC/DEIMv2 at 8b5248d)"),
    ),
    deimv2_row(
        "s",
        backbone=_vit(width=192, hidden=192, feature_levels=(4, 8, 12), adapter=16, distilled=True),
        width=192,
        decoder_layers=4,
        decoder_ffn=512,
        encoder_ffn=512,
        expansion=0.34,
        depth=0.67,
        hub_id="harshaljanjani/DEIMv2_DINOv3_S_COCO_Transformers",
        source=_DEIMV2_SOURCE.format(size="s", config="deimv2_dinov3_s_coco.yml (as in demuxin/DEIMv2-deploy at 42435b9)"),
    ),
    deimv2_row(
        "m",
        backbone=_vit(width=256, hidden=256, feature_levels=(4, 8, 12), adapter=16, distilled=True),
        width=256,
        decoder_layers=4,
        decoder_ffn=512,
        encoder_ffn=512,
        expansion=0.67,
        depth=1.0,
        source=_DEIMV2_SOURCE.format(size="m", config="deimv2_dinov3_m_coco.yml (as in demuxin/DEIMv2-deploy at 42435b9)"),
    ),
    deimv2_row(
        "l",
        backbone=_vit(width=384, hidden=224, feature_levels=(6, 9, 12), adapter=32, distilled=False),
        width=224,
        decoder_layers=4,
        decoder_ffn=1792,
        encoder_ffn=896,
        expansion=1.0,
        depth=1.0,
        source=_DEIMV2_SOURCE.format(size="l", config="deimv2_dinov3_l_coco.yml (as in szh299/LMF-DETR at cc5d5b5)"),
    ),
    deimv2_row(
        "x",
        backbone=_vit(width=384, hidden=256, feature_levels=(6, 9, 12), adapter=64, distilled=False, ffn=1536),
        width=256,
        decoder_layers=6,
        decoder_ffn=2048,
        encoder_ffn=1024,
        expansion=1.25,
        depth=1.37,
        source=_DEIMV2_SOURCE.format(size="x", config="deimv2_dinov3_x_coco.yml (as in demuxin/DEIMv2-deploy at 42435b9)"),
    ),
)
