"""State dicts of D-FINE and RT-DETRv2 as the original projects write them, made from transformers models.

The rules are written from the original modules (Peterande/D-FINE src/nn/backbone/hgnetv2.py, src/zoo/dfine/hybrid_encoder.py
and dfine_decoder.py; lyuwenyu/RT-DETR rtdetrv2_pytorch/src/nn/backbone/presnet.py, src/zoo/rtdetr/hybrid_encoder.py and
rtdetrv2_decoder.py) and share nothing with the package's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from tests.originals.recipe import anchors

_Rules = tuple[tuple[str, str], ...]

# A layer of nn.MultiheadAttention, LayerNorms norm1 to norm3, and a feed-forward network of linear1 and linear2.
_LAYERS: _Rules = (
    (r"^model\.encoder\.aifi\.", "encoder.encoder."),
    (r"\.self_attn\.o_proj\.", ".self_attn.out_proj."),
    (r"\.mlp\.(?:layers\.0|fc1)\.", ".linear1."),
    (r"\.mlp\.(?:layers\.1|fc2)\.", ".linear2."),
    (r"\.self_attn_layer_norm\.", ".norm1."),
    (r"\.encoder_attn_layer_norm\.", ".norm2."),
    (r"^(encoder\..*)\.final_layer_norm\.", r"\1.norm2."),
    (r"\.final_layer_norm\.", ".norm3."),
    (r"\.encoder_attn\.n(?:um)?_points_scale$", ".cross_attn.num_points_scale"),
    (r"\.encoder_attn\.", ".cross_attn."),
)
_HEADS: _Rules = (
    (r"^model\.(en|de)coder_input_proj\.(\d+)\.0\.", r"\1coder.input_proj.\2.conv."),
    (r"^model\.(en|de)coder_input_proj\.(\d+)\.1\.", r"\1coder.input_proj.\2.norm."),
    (r"^model\.enc_output\.0\.", "decoder.enc_output.proj."),
    (r"^model\.enc_output\.1\.", "decoder.enc_output.norm."),
    (r"^model\.(enc_score_head|enc_bbox_head|denoising_class_embed)\.", r"decoder.\1."),
    (r"^model\.decoder\.class_embed\.", "decoder.dec_score_head."),
    (r"^model\.decoder\.bbox_embed\.", "decoder.dec_bbox_head."),
    (r"^model\.decoder\.(query_pos_head|pre_bbox_head)\.", r"decoder.\1."),
    (r"^model\.decoder\.(up|reg_scale)$", r"decoder.\1"),
    (r"^model\.decoder\.", "decoder.decoder."),
    (r"^model\.encoder\.", "encoder."),
)
_D_FINE: _Rules = (
    (r"^model\.backbone\.model\.embedder\.", "backbone.stem."),
    (r"^model\.backbone\.model\.encoder\.", "backbone."),
    (r"\.convolution\.", ".conv."),
    (r"\.normalization\.", ".bn."),
    (r"_blocks\.(\d+)\.conv([14])\.", r"_blocks.\1.cv\2."),
    (r"_blocks\.(\d+)\.csp_rep1\.", r"_blocks.\1.cv2.0."),
    (r"_blocks\.(\d+)\.conv2\.(?=conv|norm)", r"_blocks.\1.cv2.1."),
    (r"_blocks\.(\d+)\.csp_rep2\.", r"_blocks.\1.cv3.0."),
    (r"_blocks\.(\d+)\.conv3\.", r"_blocks.\1.cv3.1."),
    (r"downsample_convs\.(\d+)\.conv([12])\.", r"downsample_convs.\1.0.cv\2."),
)
_RT_DETR_V2: _Rules = (
    (r"^model\.backbone\.model\.embedder\.embedder\.0\.", "backbone.conv1.conv1_1."),
    (r"^model\.backbone\.model\.embedder\.embedder\.1\.", "backbone.conv1.conv1_2."),
    (r"^model\.backbone\.model\.embedder\.embedder\.2\.", "backbone.conv1.conv1_3."),
    (r"^model\.backbone\.model\.encoder\.stages\.(\d)\.layers\.", r"backbone.res_layers.\1.blocks."),
    (r"\.layer\.0\.", ".branch2a."),
    (r"\.layer\.1\.", ".branch2b."),
    (r"\.layer\.2\.", ".branch2c."),
    (r"\.shortcut\.1\.", ".short.conv."),
    (r"\.shortcut\.", ".short."),
    (r"\.convolution\.", ".conv."),
    (r"\.normalization\.", ".norm."),
)


def to_d_fine(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A transformers D-FINE state dict as D-FINE's own model has it."""
    original = _renamed(state, (*_D_FINE, *_LAYERS, *_HEADS))
    # The inner decoder has the same parameters, so PyTorch lists them twice.
    return {**original, **{f"decoder.decoder.{name}": original[f"decoder.{name}"] for name in ("up", "reg_scale")}}


def to_rt_detr_v2(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A transformers RT-DETRv2 state dict as the original project's model has it."""
    return _renamed(state, (*_RT_DETR_V2, *_LAYERS, *_HEADS))


def _renamed(state: Mapping[str, Tensor], rules: _Rules) -> dict[str, Tensor]:
    original: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if name.startswith(("class_embed.", "bbox_embed.")):
            continue  # transformers' second copy of the decoder's heads
        for pattern, replacement in rules:
            name = re.sub(pattern, replacement, name)
        original[name] = tensor.detach().clone()
    for name in [name for name in original if ".self_attn.q_proj." in name]:
        parts = [original.pop(name.replace("q_proj", part)) for part in ("q_proj", "k_proj", "v_proj")]
        original[name.replace("q_proj.", "in_proj_")] = torch.cat(parts)
    return original


def decoder_buffers(size: tuple[int, int], strides: Sequence[int]) -> dict[str, Tensor]:
    """The decoder's buffers for its evaluation size (height, width)."""
    values = torch.from_numpy(anchors(*size, strides))
    return {"decoder.anchors": values, "decoder.valid_mask": values.isfinite().all(dim=-1, keepdim=True)}
