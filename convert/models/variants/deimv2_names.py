"""Renaming rules from the original DEIMv2 to transformers, which has no conversion mapping for it.

Sources: huggingface/transformers convert_deimv2_original_pytorch_checkpoint_to_hf.py at 1e64c24; Intellindust-AI-Lab/DEIMv2
engine/backbone (hgnetv2.py, vit_tiny.py, dinov3_adapter.py) and engine/deim (lite_encoder.py, hybrid_encoder.py,
deim_decoder.py) at 0fff8d4.
"""

from __future__ import annotations

from detr2litert.convert.models.variants.row import Renaming

_HGNET: Renaming = (
    (r"^backbone\.stem\.", r"model.conv_encoder.model.embedder."),
    (r"^backbone\.stages\.", r"model.conv_encoder.model.encoder.stages."),
    (r"^(model\.conv_encoder\.model\..*)\.conv\.weight$", r"\1.convolution.weight"),
    (r"^(model\.conv_encoder\.model\..*)\.bn\.", r"\1.normalization."),
)

_VIT_LAYER = r"^(model\.conv_encoder\.backbone\.model\.layer\.\d+)\."
_ADAPTER = r"model.conv_encoder.spatial_tuning_adapter."
_VIT: Renaming = (
    # The tiny ViTs are inside another module, DINOv3's are not.
    (r"^backbone\.dinov3\.(_model\.)?cls_token$", r"model.conv_encoder.backbone.embeddings.cls_token"),
    (r"^backbone\.dinov3\.storage_tokens$", r"model.conv_encoder.backbone.embeddings.register_tokens"),
    (r"^backbone\.dinov3\.(_model\.)?patch_embed\.proj\.", r"model.conv_encoder.backbone.embeddings.patch_embeddings."),
    (r"^backbone\.dinov3\.(_model\.)?blocks\.", r"model.conv_encoder.backbone.model.layer."),
    (r"^backbone\.dinov3\.norm\.", r"model.conv_encoder.backbone.norm."),
    (_VIT_LAYER + r"attn\.proj\.", r"\1.attention.o_proj."),
    (_VIT_LAYER + r"ls([12])\.gamma$", r"\1.layer_scale\2.lambda1"),
    (_VIT_LAYER + r"mlp\.(fc1|w2)\.", r"\1.mlp.up_proj."),
    (_VIT_LAYER + r"mlp\.(fc2|w3)\.", r"\1.mlp.down_proj."),
    (_VIT_LAYER + r"mlp\.w1\.", r"\1.mlp.gate_proj."),
    (r"^backbone\.sta\.stem\.0\.", _ADAPTER + r"stem_conv.conv."),
    (r"^backbone\.sta\.stem\.1\.", _ADAPTER + r"stem_conv.norm."),
    (r"^backbone\.sta\.conv2\.0\.", _ADAPTER + r"conv2.conv."),
    (r"^backbone\.sta\.conv2\.1\.", _ADAPTER + r"conv2.norm."),
    (r"^backbone\.sta\.conv([34])\.1\.", _ADAPTER + r"conv\1.conv."),
    (r"^backbone\.sta\.conv([34])\.2\.", _ADAPTER + r"conv\1.norm."),
    (r"^backbone\.convs\.(\d)\.", r"model.conv_encoder.fusion_proj.\1.conv."),
    (r"^backbone\.norms\.(\d)\.", r"model.conv_encoder.fusion_proj.\1.norm."),
)

_ENCODER_LAYER = r"^(model\.encoder\.aifi\.\d+\.layers\.\d+)\."
_FUSION = r"^(model\.encoder\.(?:fpn|pan)_blocks?(?:\.\d+)?)\."
_ENCODER: Renaming = (
    (r"^encoder\.down_sample([12])\.1\.", r"model.encoder.down_conv\1.conv."),
    (r"^encoder\.down_sample([12])\.2\.", r"model.encoder.down_conv\1.norm."),
    (r"^encoder\.bi_fusion\.cv\.", r"model.encoder.bi_fusion_conv."),
    (r"^encoder\.encoder\.(\d+)\.", r"model.encoder.aifi.\1."),
    (_ENCODER_LAYER + r"linear1\.", r"\1.mlp.layers.0."),
    (_ENCODER_LAYER + r"linear2\.", r"\1.mlp.layers.1."),
    (_ENCODER_LAYER + r"norm1\.", r"\1.self_attn_layer_norm."),
    (_ENCODER_LAYER + r"norm2\.", r"\1.final_layer_norm."),
    (r"^encoder\.", r"model.encoder."),
    (_FUSION + r"cv1\.", r"\1.conv1."),
    (_FUSION + r"cv4\.", r"\1.conv2."),
    (_FUSION + r"cv([23])\.0\.", r"\1.csp_rep<\2>."),
    (_FUSION + r"cv([23])\.1\.", r"\1.csp_rep<\2>.conv2."),
    (r"\.csp_rep<2>\.", r".csp_rep1."),
    (r"\.csp_rep<3>\.", r".csp_rep2."),
    (r"^(model\.encoder\.downsample_convs\.\d+)\.0\.cv([12])\.", r"\1.conv\2."),
)

_DECODER_LAYER = r"^(model\.decoder\.layers\.\d+)\."
_DECODER: Renaming = (
    (r"^decoder\.(enc_score_head|enc_bbox_head|denoising_class_embed)\.", r"model.\1."),
    (r"^decoder\.input_proj\.(\d+)\.(conv|norm)\.", r"model.decoder_input_proj.\1.\2."),
    (r"^decoder\.decoder\.", r"model.decoder."),
    (r"^decoder\.dec_score_head\.", r"model.decoder.class_embed."),
    (r"^decoder\.dec_bbox_head\.", r"model.decoder.bbox_embed."),
    (r"^decoder\.(query_pos_head|pre_bbox_head)\.", r"model.decoder.\1."),
    (r"^decoder\.(up|reg_scale)$", r"model.decoder.\1"),
    (_DECODER_LAYER + r"cross_attn\.", r"\1.encoder_attn."),
    (_DECODER_LAYER + r"norm1\.", r"\1.self_attn_layer_norm."),
    (_DECODER_LAYER + r"norm2\.", r"\1.encoder_attn_layer_norm."),
    (_DECODER_LAYER + r"norm3\.", r"\1.final_layer_norm."),
    (_DECODER_LAYER + r"swish_ffn\.w3\.", r"\1.mlp.down_proj."),
    # RMSNorm.
    (r"^(model\.decoder\..*norm)\.scale$", r"\1.weight"),
    (r"\.self_attn\.out_proj\.", r".self_attn.o_proj."),
)

NAMES: Renaming = (*_HGNET, *_VIT, *_ENCODER, *_DECODER)

HYBRID_PROJECTIONS: Renaming = ((r"^encoder\.input_proj\.", r"model.conv_encoder.encoder_input_proj."),)
"""For ``Variant.renaming``: where the sizes with a hybrid encoder have what the light encoder has inside."""

SPLITS = (
    (_DECODER_LAYER + r"swish_ffn\.w12\.(weight|bias)$", (r"\1.mlp.gate_proj.\2", r"\1.mlp.up_proj.\2")),
    (_VIT_LAYER + r"attn\.qkv\.(weight|bias)$", tuple(rf"\1.attention.{projection}_proj.\2" for projection in "qkv")),
)
"""For ``Family.splits``: the halves of the gated network's input, and the ViT's projections."""

NEEDLESS = (
    r"\brope_embed\.periods$",
    # Multiplied with the bias, see ``convert.models.checkpoints.renaming``.
    r"\battn\.qkv\.bias_mask$",
    # Of the pre-training.
    r"\bdinov3\.(_model\.)?mask_token$",
)
"""Tensors that are computed from the configuration, or used only in training."""
