"""RT-DETRv2: ResNet-vd, hybrid encoder, two-stage selection, deformable decoder with three feature levels.

The original project also trains each size with discrete sampling (its ``_dsp_`` configurations). Their ``.pth`` files do not
record it, so they are treated as the ordinary ones unless ``--set sampling=discrete`` says otherwise; in a transformers folder,
config.json has it (``decoder_method``).
"""

from __future__ import annotations

from detr2litert.convert.models.coco import COCO_CONTIGUOUS
from detr2litert.convert.models.variants.hybrid_names import HYBRID_ENCODER, RECOMPUTED, TWO_STAGE_DECODER
from detr2litert.convert.models.variants.row import Fact, Family, Renaming, Variant, resizes_images

_NAMES: Renaming = (
    (r"^backbone\.conv1\.conv1_1\.", r"model.backbone.model.embedder.embedder.0."),
    (r"^backbone\.conv1\.conv1_2\.", r"model.backbone.model.embedder.embedder.1."),
    (r"^backbone\.conv1\.conv1_3\.", r"model.backbone.model.embedder.embedder.2."),
    (r"^backbone\.res_layers\.(\d+)\.blocks\.(\d+)\.", r"model.backbone.model.encoder.stages.\1.layers.\2."),
    (r"^(model\.backbone\..*)\.branch2a\.", r"\1.layer.0."),
    (r"^(model\.backbone\..*)\.branch2b\.", r"\1.layer.1."),
    (r"^(model\.backbone\..*)\.branch2c\.", r"\1.layer.2."),
    (r"^(model\.backbone\..*)\.short\.conv\.(conv|norm)\.", r"\1.shortcut.1.\2."),
    (r"^(model\.backbone\..*)\.short\.", r"\1.shortcut."),
    (r"^(model\.backbone\..*)\.conv\.weight$", r"\1.convolution.weight"),
    (r"^(model\.backbone\..*)\.norm\.", r"\1.normalization."),
    *HYBRID_ENCODER,
    *TWO_STAGE_DECODER,
    (r"^(model\.decoder\.layers\.\d+\.encoder_attn)\.num_points_scale$", r"\1.n_points_scale"),
)

RT_DETR_V2 = Family(
    name="RT-DETRv2",
    model_type="rt_detr_v2",
    config_class="RTDetrV2Config",
    model_class="RTDetrV2ForObjectDetection",
    signature=(
        r"\b(conv1\.conv1_1\.conv|embedder\.embedder\.0\.convolution)\.weight$",
        r"\blateral_convs\.0\.",
        r"\benc_score_head\.weight$",
        # A buffer that RT-DETR's first version lacks.
        r"\bdecoder\.layers\.0\.(cross_attn\.num_points_scale|encoder_attn\.n_points_scale)$",
    ),
    facts={
        "logits": Fact(r"(^|\.)(class_embed|dec_score_head)\.\d+\.bias$"),
        "hidden size": Fact(r"\benc_output\.(0|proj)\.bias$"),
        "encoder width": Fact(r"\bencoder[._]input_proj\.0\.(1|norm)\.bias$"),
        "backbone width": Fact(r"\bencoder[._]input_proj\.2\.(0|conv)\.weight$", axis=1),
        "backbone blocks": Fact(r"\b(?:stages\.2\.layers|res_layers\.2\.blocks)\.(\d+)\.", how="count"),
        "fusion width": Fact(r"\bfpn_blocks\.0\.conv1\.norm\.bias$"),
        "decoder layers": Fact(r"\bdecoder\.layers\.(\d+)\.", how="count"),
        "query position layers": Fact(r"\bquery_pos_head\.layers\.(\d+)\.", how="count"),
        "sampling points": Fact(r"\bdecoder\.layers\.0\.(cross|encoder)_attn\.attention_weights\.bias$"),
    },
    other_models={
        r"\bbottlenecks\.\d+\.conv\.": "an RT-DETRv2 converted for deployment, its branches already merged; pass the "
        "checkpoint written by training",
    },
    ignored_tensors=RECOMPUTED,
    renaming=_NAMES,
    adjustments=("transpose_positions", "activate_heads"),
    fields={
        "decoder_layers": ("decoder_layers",),
        "activation": ("decoder_activation_function",),
        "sampling": ("decoder_method",),
    },
    # post_process_object_detection in transformers' image_processing_rt_detr.py keeps as many detections as there are queries.
    config_states={"num_select": ("num_queries",)},
    defaults={"activation": "relu", "sampling": "default"},
    init_std={
        r"\.(q_proj|k_proj)\.weight$": 1.0,
        r"\.(v_proj|o_proj|value_proj|output_proj)\.weight$": 1.0,
        r"\.(sampling_offsets|attention_weights)\.weight$": 1.0,
        r"\.mlp\.fc[12]\.weight$": 1.0,
        r"\benc_output\.0\.weight$": 1.0,
        r"\b(enc_bbox_head|query_pos_head)\.layers\.[01]\.weight$": 1.4,
        r"bbox_embed\.\d+\.layers\.[01]\.weight$": 1.4,
        r"(enc_bbox_head|bbox_embed\.\d+)\.layers\.2\.weight$": 0.3,
        r"(class_embed\.\d+|enc_score_head)\.weight$": 1.0,
    },
    init_noise={r"norm\.(weight|bias)$": 0.1, r"\b(v_proj|o_proj|value_proj|output_proj)\.bias$": 0.1},
)

_RT_DETR_V2_SOURCE = (
    "lyuwenyu/RT-DETR rtdetrv2_pytorch/configs/rtdetrv2/{config} with include/rtdetrv2_r50vd.yml at 751ea60; "
    "huggingface/transformers convert_rt_detr_v2_weights_to_hf.py at 03bb2cc (get_rt_detr_config)"
)


def rt_detr_v2_row(
    name: str,
    *,
    blocks: tuple[int, ...],
    decoder_layers: int,
    source: str,
    basic: bool = False,
    encoder_width: int = 256,
    encoder_ffn: int = 1024,
    expansion: float = 1.0,
    trained_layers: int = 0,
    hub_id: str | None = None,
) -> Variant:
    """Builds a row of the RT-DETRv2 family; ``basic`` blocks are those of ResNet-18 and 34, the others are bottlenecks.

    ``trained_layers``: decoder layers in the checkpoints, if evaluation stops before the last.
    """
    channels = [64, 128, 256, 512] if basic else [256, 512, 1024, 2048]
    return Variant(
        name=name,
        family=RT_DETR_V2,
        resolution=640,
        resolution_step=32,
        num_queries=300,
        num_select=300,
        classes=COCO_CONTIGUOUS,
        config={
            "backbone_config": {
                "model_type": "rt_detr_resnet",
                "hidden_sizes": channels,
                "depths": list(blocks),
                "layer_type": "basic" if basic else "bottleneck",
                "out_indices": [2, 3, 4],
            },
            "encoder_in_channels": channels[1:],
            "encoder_hidden_dim": encoder_width,
            "encoder_ffn_dim": encoder_ffn,
            "hidden_expansion": expansion,
            "decoder_in_channels": [encoder_width] * 3,
            "decoder_layers": decoder_layers,
            "decoder_n_points": 4,
            "num_queries": 300,
        },
        expected={
            "hidden size": 256,
            "encoder width": encoder_width,
            "backbone width": channels[-1],
            "backbone blocks": blocks[2],
            "fusion width": int(encoder_width * expansion),
            "decoder layers": trained_layers or decoder_layers,
            "sampling points": 8 * 3 * 4,
            "query position layers": 2,
        },
        source=source,
        hub_id=hub_id,
        strides=(8, 16, 32),
        decoder_layers=decoder_layers,
        feature_levels=(2, 3, 4),
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        # transformers' processor resizes 8-bit tensors; the original's validation transforms resize the PIL image too
        # (configs/rtdetrv2/include/dataloader.yml: Resize, then ConvertPILImage with scale).
        resize="bilinear_8bit",
        original_settings=resizes_images("references/deploy/rtdetrv2_torch.py"),
    )


ROWS: tuple[Variant, ...] = (
    rt_detr_v2_row(
        "rtdetrv2-r18",
        blocks=(2, 2, 2, 2),
        basic=True,
        expansion=0.5,
        decoder_layers=3,
        hub_id="PekingU/rtdetr_v2_r18vd",
        source=_RT_DETR_V2_SOURCE.format(config="rtdetrv2_r18vd_120e_coco.yml at 21e620c"),
    ),
    rt_detr_v2_row(
        "rtdetrv2-r34",
        blocks=(3, 4, 6, 3),
        basic=True,
        expansion=0.5,
        decoder_layers=4,
        hub_id="PekingU/rtdetr_v2_r34vd",
        source=_RT_DETR_V2_SOURCE.format(config="rtdetrv2_r34vd_120e_coco.yml at 31e55a4"),
    ),
    rt_detr_v2_row(
        "rtdetrv2-r50",
        blocks=(3, 4, 6, 3),
        decoder_layers=6,
        hub_id="PekingU/rtdetr_v2_r50vd",
        source=_RT_DETR_V2_SOURCE.format(config="rtdetrv2_r50vd_6x_coco.yml at 31e55a4"),
    ),
    rt_detr_v2_row(
        "rtdetrv2-r50m",
        blocks=(3, 4, 6, 3),
        expansion=0.5,
        # Trained with six, evaluated after the third (eval_idx 2).
        decoder_layers=3,
        trained_layers=6,
        source=_RT_DETR_V2_SOURCE.format(config="rtdetrv2_r50vd_m_7x_coco.yml at 751ea60"),
    ),
    rt_detr_v2_row(
        "rtdetrv2-r101",
        blocks=(3, 4, 23, 3),
        encoder_width=384,
        encoder_ffn=2048,
        decoder_layers=6,
        hub_id="PekingU/rtdetr_v2_r101vd",
        source=_RT_DETR_V2_SOURCE.format(config="rtdetrv2_r101vd_6x_coco.yml at b8957b3"),
    ),
)
