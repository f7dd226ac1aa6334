"""RF-DETR with keypoints: the "preview" model of rfdetr 1.9 and later.

transformers has no class for it; ``convert.models.keypoints`` builds one on transformers' RF-DETR, so that the tensors' names
are translated here.
"""

from __future__ import annotations

from dataclasses import replace

from detr2litert.convert.models.keypoints.skeletons import CORNERS, PERSON
from detr2litert.convert.models.variants.rf_detr import RF_DETR, demo_row, rf_detr_row
from detr2litert.convert.models.variants.row import Variant

_LAYER = r"^(transformer\.decoder\.layers\.\d+)\."

_RENAMING = (
    (r"^backbone\.0\.encoder\.encoder\.", "model.backbone.backbone."),
    (r"^backbone\.0\.projector\.", "model.backbone.projector."),
    (r"^backbone\.0\.cross_attn_projector\.", "keypoint_projector."),
    (r"projector\.stages\.0\.0\.m\.(\d+)\.", r"projector.projector_layer.bottlenecks.\1."),
    (r"projector\.stages\.0\.0\.", "projector.projector_layer."),
    (r"projector\.stages\.0\.1\.", "projector.layer_norm."),
    (r"(projector_layer\.\S*?)cv([12])\.conv\.", r"\1conv\2.conv."),
    (r"(projector_layer\.\S*?)cv([12])\.bn\.", r"\1conv\2.norm."),
    (r"\.attention\.attention\.query\.", ".attention.q_proj."),
    (r"\.attention\.attention\.key\.", ".attention.k_proj."),
    (r"\.attention\.attention\.value\.", ".attention.v_proj."),
    (r"\.attention\.output\.dense\.", ".attention.o_proj."),
    (_LAYER + r"kp_inst_self_attn\.", r"\1.group_attn."),
    (_LAYER + r"kp_inst_norm\.", r"\1.instance_layer_norm."),
    (_LAYER + r"instance_kp_layer_scale$", r"\1.instance_scale"),
    (_LAYER + r"kp_norm\.", r"\1.group_layer_norm."),
    (_LAYER + r"kp_cross_attn\.", r"\1.keypoint_cross_attn."),
    (_LAYER + r"kp_cross_attn_norm\.", r"\1.keypoint_cross_layer_norm."),
    (_LAYER + r"kp_linear1\.", r"\1.keypoint_fc1."),
    (_LAYER + r"kp_linear3\.", r"\1.keypoint_fc2."),
    (_LAYER + r"kp_norm5\.", r"\1.keypoint_layer_norm."),
    (_LAYER + r"norm1\.", r"\1.self_attn_layer_norm."),
    (_LAYER + r"norm2\.", r"\1.cross_attn_layer_norm."),
    (_LAYER + r"norm3\.", r"\1.layer_norm."),
    (_LAYER + r"linear([12])\.", r"\1.mlp.fc\2."),
    (r"_attn\.out_proj\.", "_attn.o_proj."),
    (r"^transformer\.decoder\.keypoint_pos_embed$", "keypoint_positions"),
    (r"^transformer\.decoder\.norm\.", "model.decoder.layernorm."),
    (r"^transformer\.keypoint_query_initializer\.adaLN_modulation\.", "keypoint_queries.modulation."),
    (r"^transformer\.keypoint_query_initializer\.", "keypoint_queries."),
    (r"^transformer\.", "model."),
    (r"^refpoint_embed\.", "model.reference_point_embed."),
    (r"^query_feat\.", "model.query_feat."),
)

RF_DETR_KEYPOINTS = replace(
    RF_DETR,
    name="RF-DETR Keypoints",
    model_type="rf_detr_keypoints",
    module="detr2litert.convert.models.keypoints.detector",
    config_class="RfDetrKeypointConfig",
    model_class="RfDetrForKeypointDetection",
    signature=(
        *RF_DETR.signature,
        r"^keypoint_embed\.layers\.2\.weight$",
        r"(^backbone\.0\.cross_attn_projector|^keypoint_projector)\.",
        r"\.(kp_cross_attn|keypoint_cross_attn)\.sampling_offsets\.weight$",
    ),
    other_models={pattern: what for pattern, what in RF_DETR.other_models.items() if pattern != "keypoint"}
    | {
        r"\.inter_inst_kp_attn\.": "an RF-DETR keypoint checkpoint whose instances attend to each other's keypoints "
        "(inter_instance_kp_attn), which the reference cannot compute",
        r"\.inst_(in|out|pos_in)_proj\.|\.memory_in_proj\.": "an RF-DETR keypoint checkpoint with narrower keypoints "
        "(grouppose_keypoint_dim_downscale), which the reference cannot compute",
    },
    # What the first stage makes of keypoints is for training alone; keypoint_head is a remnant in the published preview.
    ignored_tensors=(
        *RF_DETR.ignored_tensors,
        r"\bkeypoint_query_initializer_enc\.",
        r"\benc_out_keypoint_embed\.",
        r"\bkeypoint_class_mask$",
        r"^keypoint_head\.keypoint_proj\.",
    ),
    renaming=_RENAMING,
    splits=((r"^(.*\.group_attn)\.in_proj_(weight|bias)$", tuple(rf"\1.{name}_proj.\2" for name in "qkv")),),
    fields={
        **RF_DETR.fields,
        "keypoints_per_class": ("keypoints_per_class",),
        "keypoint_score_weight": ("keypoint_score_weight",),
    },
    arguments={
        **RF_DETR.arguments,
        "num_keypoints_per_class": "keypoints_per_class",
        "postprocess_trace_alpha": "keypoint_score_weight",
    },
    required_arguments={
        **RF_DETR.required_arguments,
        "use_grouppose_keypoints": (True,),
        "keypoint_cross_attn": (True,),
        "inter_instance_kp_attn": (False,),
        "grouppose_keypoint_dim_downscale": (1,),
        "dual_projector": (True,),
        "dual_projector_kp_only": (True,),
        "num_decoder_registers": (0,),
    },
    init_std={
        **RF_DETR.init_std,
        r"^keypoint_embed\.layers\.[01]\.weight$": 1.4,
        r"^keypoint_embed\.layers\.2\.weight$": 0.3,
    },
    init_noise={r"\.instance_scale$": 0.3, r"^keypoint_(positions|queries\.queries)$": 1.0},
    keypoints_output="pred_keypoints",
)

_SOURCE = (
    "rfdetr 1.11.2 (PyPI) rfdetr/config.py, RFDETRKeypointPreviewConfig: encoder dinov2_windowed_small, projector P4, "
    "dual_projector, dual_projector_kp_only, keypoint_cross_attn"
)

ROWS: tuple[Variant, ...] = (
    rf_detr_row(
        "keypoint-preview",
        family=RF_DETR_KEYPOINTS,
        class_name="RFDETRKeypointPreview",
        resolution=576,
        patch=12,
        windows=2,
        decoder_layers=4,
        position_grid=48,
        feature_levels=(3, 6, 9, 12),
        num_queries=100,
        source=_SOURCE,
        keypoints={1: PERSON},
    ),
    # With a weight, the score of a circle, which has no keypoints, would stay below 0.5.
    demo_row(
        "tiny-keypoints",
        family=RF_DETR_KEYPOINTS,
        keypoints=dict(enumerate(CORNERS, start=1)),
        source="tools/demo_training/train_keypoints.py",
    ),
)
