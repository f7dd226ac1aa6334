"""RF-DETR's inference written from its architecture, over a state dict in rfdetr's own naming.

Independent of transformers: tensors are read by name from the dict, and the arithmetic is written out, so that agreement
verifies both. Facts from roboflow/rf-detr: models/backbone/dinov2_with_windowed_attn.py (windows, position embedding, levels),
models/backbone/projector.py (C2f, channels-first LayerNorm, eps 1e-6), models/transformer.py (two-stage selection, box
reparametrisation, decoder), models/ops/modules/ms_deform_attn.py, models/lwdetr.py (heads).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from detr2litert.convert.models.variants import Variant

_BACKBONE = "backbone.0.encoder.encoder"


@dataclass(frozen=True)
class Sizes:
    """Configuration that the state dict does not contain."""

    patch: int
    windows: int
    feature_levels: tuple[int, ...]
    backbone_heads: int
    self_heads: int
    cross_heads: int
    queries: int
    projector_eps: float = 1e-6

    @classmethod
    def of(cls, variant: Variant, projector_eps: float = 1e-6) -> Sizes:
        assert variant.patch is not None and variant.windows is not None
        config = variant.config
        return cls(
            patch=variant.patch,
            windows=variant.windows,
            feature_levels=variant.feature_levels,
            backbone_heads=config["backbone_config"]["num_attention_heads"],
            self_heads=config["decoder_self_attention_heads"],
            cross_heads=config["decoder_cross_attention_heads"],
            queries=variant.num_queries,
            projector_eps=projector_eps,
        )


@dataclass(frozen=True)
class Output:
    boxes: Tensor
    logits: Tensor
    selected: Tensor


@torch.no_grad()
def detect(state: Mapping[str, Tensor], image: Tensor, sizes: Sizes) -> Output:
    """Image ``[1, 3, R, R]`` to boxes ``[1, Q, 4]``, logits ``[1, Q, C]`` and the selected tokens ``[1, Q]``."""
    memory_map = _projector(state, torch.cat(_backbone(state, image, sizes), 1), sizes.projector_eps)
    side = memory_map.shape[-1]
    memory = memory_map.flatten(2).transpose(1, 2)

    centres = (torch.arange(side) + 0.5) / side
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    proposals = torch.stack([x, y, torch.full_like(x, 0.05), torch.full_like(x, 0.05)], -1).reshape(1, -1, 4)
    inside = ((proposals > 0.01) & (proposals < 0.99)).all(-1, keepdim=True)
    proposals = proposals * inside
    tokens = _linear(state, "transformer.enc_output.0", memory * inside)
    tokens = _norm(state, "transformer.enc_output_norm.0", tokens, 1e-5)
    scores = _linear(state, "transformer.enc_out_class_embed.0", tokens).amax(-1)
    selected = scores.topk(sizes.queries, dim=1).indices
    take = selected[..., None].expand(-1, -1, 4)
    deltas = _mlp(state, "transformer.enc_out_bbox_embed.0", tokens, 3)
    first_boxes = _refine(proposals, deltas).gather(1, take)

    reference = _refine(first_boxes, state["refpoint_embed.weight"][: sizes.queries][None])
    hidden = state["query_feat.weight"][: sizes.queries][None]
    position = _mlp(state, "transformer.decoder.ref_point_head", _sine(reference, hidden.shape[-1] // 2), 2)
    layer = 0
    while f"transformer.decoder.layers.{layer}.linear1.weight" in state:
        hidden = _decoder_layer(state, f"transformer.decoder.layers.{layer}", hidden, position, reference, memory, side, sizes)
        layer += 1
    hidden = _norm(state, "transformer.decoder.norm", hidden, 1e-5)
    boxes = _refine(reference, _mlp(state, "bbox_embed", hidden, 3))
    return Output(boxes, _linear(state, "class_embed", hidden), selected)


def _backbone(state: Mapping[str, Tensor], image: Tensor, sizes: Sizes) -> list[Tensor]:
    """Feature maps ``[1, width, R / patch, R / patch]``, one per feature level."""
    cells = image.shape[-1] // sizes.patch
    per_window = cells // sizes.windows
    tokens = F.conv2d(
        image,
        state[f"{_BACKBONE}.embeddings.patch_embeddings.projection.weight"],
        state[f"{_BACKBONE}.embeddings.patch_embeddings.projection.bias"],
        stride=sizes.patch,
    )
    width = tokens.shape[1]
    embedding = state[f"{_BACKBONE}.embeddings.position_embeddings"]
    grid = math.isqrt(embedding.shape[1] - 1)
    grid_embedding = embedding[:, 1:].reshape(1, grid, grid, width).permute(0, 3, 1, 2)
    if grid != cells:
        grid_embedding = F.interpolate(grid_embedding, size=(cells, cells), mode="bicubic", align_corners=False, antialias=True)
    tokens = (tokens + grid_embedding)[0].permute(1, 2, 0)
    start = state[f"{_BACKBONE}.embeddings.cls_token"][0] + embedding[0, :1]
    windows = [
        torch.cat([start, tokens[r : r + per_window, c : c + per_window].reshape(-1, width)])
        for r in range(0, cells, per_window)
        for c in range(0, cells, per_window)
    ]
    hidden = torch.stack(windows)
    maps = []
    for layer in range(sizes.feature_levels[-1]):
        hidden = _backbone_layer(
            state, f"{_BACKBONE}.encoder.layer.{layer}", hidden, layer in sizes.feature_levels, sizes.backbone_heads
        )
        if layer + 1 in sizes.feature_levels:
            normed = _norm(state, f"{_BACKBONE}.layernorm", hidden, 1e-6)[:, 1:]
            map_ = torch.empty(cells, cells, width)
            for i, window in enumerate(normed):
                r, c = (i // sizes.windows) * per_window, (i % sizes.windows) * per_window
                map_[r : r + per_window, c : c + per_window] = window.reshape(per_window, per_window, width)
            maps.append(map_.permute(2, 0, 1)[None])
    return maps


def _backbone_layer(state: Mapping[str, Tensor], name: str, hidden: Tensor, everywhere: bool, heads: int) -> Tensor:
    windows, length, width = hidden.shape
    normed = _norm(state, f"{name}.norm1", hidden, 1e-6)
    if everywhere:
        normed = normed.reshape(1, windows * length, width)
    q, k, v = (_linear(state, f"{name}.attention.attention.{part}", normed) for part in ("query", "key", "value"))
    mixed = _linear(state, f"{name}.attention.output.dense", _attention(q, k, v, heads)).reshape(windows, length, width)
    hidden = hidden + mixed * state[f"{name}.layer_scale1.lambda1"]
    inner = F.gelu(_linear(state, f"{name}.mlp.fc1", _norm(state, f"{name}.norm2", hidden, 1e-6)))
    return hidden + _linear(state, f"{name}.mlp.fc2", inner) * state[f"{name}.layer_scale2.lambda1"]


def _projector(state: Mapping[str, Tensor], features: Tensor, eps: float) -> Tensor:
    """C2f over the concatenated feature levels, one scale (P4), then a LayerNorm over channels."""
    stage = "backbone.0.projector.stages.0"

    def unit(name: str, value: Tensor) -> Tensor:
        weight = state[f"{name}.conv.weight"]
        return F.silu(_channels_norm(state, f"{name}.bn", F.conv2d(value, weight, padding=weight.shape[-1] // 2), eps))

    parts = list(unit(f"{stage}.0.cv1", features).chunk(2, 1))
    block = 0
    while f"{stage}.0.m.{block}.cv1.conv.weight" in state:
        parts.append(unit(f"{stage}.0.m.{block}.cv2", unit(f"{stage}.0.m.{block}.cv1", parts[-1])))
        block += 1
    return _channels_norm(state, f"{stage}.1", unit(f"{stage}.0.cv2", torch.cat(parts, 1)), 1e-6)


def _decoder_layer(
    state: Mapping[str, Tensor],
    name: str,
    hidden: Tensor,
    position: Tensor,
    reference: Tensor,
    memory: Tensor,
    side: int,
    sizes: Sizes,
) -> Tensor:
    weights, biases = state[f"{name}.self_attn.in_proj_weight"].chunk(3), state[f"{name}.self_attn.in_proj_bias"].chunk(3)
    inputs = (hidden + position, hidden + position, hidden)
    q, k, v = (F.linear(value, w, b) for value, w, b in zip(inputs, weights, biases, strict=True))
    mixed = _linear(state, f"{name}.self_attn.out_proj", _attention(q, k, v, sizes.self_heads))
    hidden = _norm(state, f"{name}.norm1", hidden + mixed, 1e-5)
    sampled = _sample(state, f"{name}.cross_attn", hidden + position, reference, memory, side, sizes.cross_heads)
    hidden = _norm(state, f"{name}.norm2", hidden + sampled, 1e-5)
    inner = F.relu(_linear(state, f"{name}.linear1", hidden))
    return _norm(state, f"{name}.norm3", hidden + _linear(state, f"{name}.linear2", inner), 1e-5)


def _sample(
    state: Mapping[str, Tensor], name: str, query: Tensor, reference: Tensor, memory: Tensor, side: int, heads: int
) -> Tensor:
    """Deformable attention over one level, by explicit bilinear interpolation with zeros outside."""
    queries = query.shape[1]
    value = _linear(state, f"{name}.value_proj", memory)[0].reshape(side, side, heads, -1)
    offsets = _linear(state, f"{name}.sampling_offsets", query)[0].reshape(queries, heads, -1, 2)
    points = offsets.shape[2]
    weights = _linear(state, f"{name}.attention_weights", query)[0].reshape(queries, heads, points).softmax(-1)
    box = reference[0][:, None, None]
    where = (box[..., :2] + offsets / points * box[..., 2:] * 0.5) * side - 0.5
    low = where.floor()
    head = torch.arange(heads)[None, :, None].expand(queries, heads, points)
    total = torch.zeros(queries, heads, points, value.shape[-1])
    for dx in (0, 1):
        for dy in (0, 1):
            cx, cy = low[..., 0] + dx, low[..., 1] + dy
            share = (1 - (where[..., 0] - cx).abs()) * (1 - (where[..., 1] - cy).abs())
            inside = (cx >= 0) & (cx < side) & (cy >= 0) & (cy < side)
            column, row = cx.clamp(0, side - 1).long(), cy.clamp(0, side - 1).long()
            total += value[row, column, head] * (share * inside)[..., None]
    mixed = (total * weights[..., None]).sum(2).reshape(1, queries, -1)
    return _linear(state, f"{name}.output_proj", mixed)


def _attention(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    batch, length, width = q.shape
    q, k, v = (value.reshape(batch, length, heads, -1).transpose(1, 2) for value in (q, k, v))
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    return (scores.softmax(-1) @ v).transpose(1, 2).reshape(batch, length, width)


def _refine(boxes: Tensor, deltas: Tensor) -> Tensor:
    return torch.cat([deltas[..., :2] * boxes[..., 2:] + boxes[..., :2], deltas[..., 2:].exp() * boxes[..., 2:]], -1)


def _sine(boxes: Tensor, width: int) -> Tensor:
    """Interleaved sine and cosine of each coordinate, in the order y, x, w, h."""
    frequencies = 10000 ** (2 * (torch.arange(width) // 2) / width)
    angles = boxes[..., [1, 0, 2, 3], None] * 2 * math.pi / frequencies
    even = torch.arange(width) % 2 == 0
    return torch.where(even, angles.sin(), angles.cos()).flatten(-2)


def _mlp(state: Mapping[str, Tensor], name: str, value: Tensor, layers: int) -> Tensor:
    for i in range(layers):
        value = _linear(state, f"{name}.layers.{i}", value)
        value = F.relu(value) if i < layers - 1 else value
    return value


def _linear(state: Mapping[str, Tensor], name: str, value: Tensor) -> Tensor:
    return F.linear(value, state[f"{name}.weight"], state[f"{name}.bias"])


def _norm(state: Mapping[str, Tensor], name: str, value: Tensor, eps: float) -> Tensor:
    centred = value - value.mean(-1, keepdim=True)
    scaled = centred / (centred.square().mean(-1, keepdim=True) + eps).sqrt()
    return scaled * state[f"{name}.weight"] + state[f"{name}.bias"]


def _channels_norm(state: Mapping[str, Tensor], name: str, value: Tensor, eps: float) -> Tensor:
    return _norm(state, name, value.permute(0, 2, 3, 1), eps).permute(0, 3, 1, 2)
