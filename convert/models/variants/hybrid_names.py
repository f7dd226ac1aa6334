"""Renaming rules for the common parts of RT-DETR and its descendants, to the naming of their published transformers folders.

Rules apply in order to each name, each to the result of the one before. The target is the naming of the published folders;
later renames are covered by transformers' own conversion mapping on load. Sources: huggingface/transformers
convert_d_fine_original_pytorch_checkpoint_to_hf.py at 1e98d00 (ORIGINAL_TO_CONVERTED_KEY_MAPPING, read_in_q_k_v) and
convert_rt_detr_v2_weights_to_hf.py at 03bb2cc (create_rename_keys, read_in_q_k_v); the original modules are
Peterande/D-FINE src/zoo/dfine and lyuwenyu/RT-DETR rtdetrv2_pytorch/src/zoo/rtdetr (hybrid_encoder.py, *_decoder.py).
"""

from __future__ import annotations

from detr2litert.convert.models.variants.row import Renaming

HYBRID_ENCODER: Renaming = (
    (r"^encoder\.input_proj\.(\d+)\.conv\.", r"model.encoder_input_proj.\1.0."),
    (r"^encoder\.input_proj\.(\d+)\.norm\.", r"model.encoder_input_proj.\1.1."),
    (r"^encoder\.", r"model.encoder."),
    (r"^(model\.encoder\.encoder\.\d+\.layers\.\d+)\.linear([12])\.", r"\1.fc\2."),
    (r"^(model\.encoder\.encoder\.\d+\.layers\.\d+)\.norm1\.", r"\1.self_attn_layer_norm."),
    (r"^(model\.encoder\.encoder\.\d+\.layers\.\d+)\.norm2\.", r"\1.final_layer_norm."),
)
"""Attention within the coarsest level and fusion across levels; the fusion blocks' names are the family's own."""

TWO_STAGE_DECODER: Renaming = (
    (r"^decoder\.input_proj\.(\d+)\.conv\.", r"model.decoder_input_proj.\1.0."),
    (r"^decoder\.input_proj\.(\d+)\.norm\.", r"model.decoder_input_proj.\1.1."),
    (r"^decoder\.enc_output\.proj\.", r"model.enc_output.0."),
    (r"^decoder\.enc_output\.norm\.", r"model.enc_output.1."),
    (r"^decoder\.(enc_score_head|enc_bbox_head|denoising_class_embed)\.", r"model.\1."),
    (r"^decoder\.decoder\.", r"model.decoder."),
    (r"^decoder\.dec_score_head\.", r"model.decoder.class_embed."),
    (r"^decoder\.dec_bbox_head\.", r"model.decoder.bbox_embed."),
    (r"^decoder\.query_pos_head\.", r"model.decoder.query_pos_head."),
    (r"^(model\.decoder\.layers\.\d+)\.cross_attn\.", r"\1.encoder_attn."),
    (r"^(model\.decoder\.layers\.\d+)\.linear([12])\.", r"\1.fc\2."),
    (r"^(model\.decoder\.layers\.\d+)\.norm1\.", r"\1.self_attn_layer_norm."),
    (r"^(model\.decoder\.layers\.\d+)\.norm2\.", r"\1.encoder_attn_layer_norm."),
    (r"^(model\.decoder\.layers\.\d+)\.norm3\.", r"\1.final_layer_norm."),
)
"""Query selection, decoder layers and heads."""

RECOMPUTED = (r"num_batches_tracked$", r"^decoder\.(anchors|valid_mask)$")
"""Tensors of a checkpoint that are derived from the resolution or used only in training."""
