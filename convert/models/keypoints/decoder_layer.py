"""A decoder layer of RF-DETR that carries, beside each instance's token, one token for each of its keypoints.

GroupPose (Liu et al., "Group Pose: A Simple Baseline for End-to-End Multi-person Pose Estimation", ICCV 2023) as rfdetr 1.11.2
computes it (rfdetr/models/transformer.py, ``TransformerDecoderLayer``): the instance's part of the layer is that of the
detector; then an instance and its keypoints attend to each other, each keypoint samples the feature map within its instance's
box, and a perceptron ends the layer.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.models.rf_detr.modeling_rf_detr import RfDetrDecoderLayer, RfDetrMultiscaleDeformableAttention

Shape = tuple[int, int]


class GroupAttention(nn.Module):
    """Attention among the tokens of each group, without any between groups."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj, self.k_proj = nn.Linear(width, width), nn.Linear(width, width)
        self.v_proj, self.o_proj = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, tokens: Tensor, positions: Tensor, bias: Tensor | None) -> Tensor:
        """Computes the attention.

        Args:
            tokens: ``[G, T, C]``, T tokens of each of G groups.
            positions: ``[T, C]``, added to queries and keys.
            bias: ``[T, T]``, added to the logits of attention: of query and key.
        """
        placed = tokens + positions
        projections = ((self.q_proj, placed), (self.k_proj, placed), (self.v_proj, tokens))
        q, k, v = (layer(values).unflatten(-1, (self.heads, -1)).transpose(1, 2) for layer, values in projections)
        mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        result: Tensor = self.o_proj(mixed.transpose(1, 2).flatten(2))
        return result


class KeypointDecoderLayer(RfDetrDecoderLayer):  # type: ignore[misc]
    """transformers' decoder layer, then that of the keypoints."""

    def __init__(self, config: Any, layer_idx: int) -> None:
        super().__init__(config, layer_idx)
        width = config.d_model
        self.group_attn = GroupAttention(width, config.decoder_self_attention_heads)
        self.instance_scale = nn.Parameter(torch.full((1,), 1e-6))
        self.instance_layer_norm = nn.LayerNorm(width)
        self.group_layer_norm = nn.LayerNorm(width)
        self.keypoint_cross_attn = RfDetrMultiscaleDeformableAttention(
            config, num_heads=config.decoder_cross_attention_heads, n_points=config.decoder_n_points
        )
        self.keypoint_cross_layer_norm = nn.LayerNorm(width)
        self.keypoint_fc1, self.keypoint_fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.keypoint_layer_norm = nn.LayerNorm(width)

    def forward(
        self,
        instances: Tensor,
        keypoints: Tensor,
        *,
        positions: Tensor,
        keypoint_positions: Tensor,
        group_bias: Tensor | None,
        references: Tensor,
        memory: Tensor,
        keypoint_memory: Tensor,
        shape: Shape,
    ) -> tuple[Tensor, Tensor]:
        """Computes the layer.

        Args:
            instances: ``[B, Q, C]``.
            keypoints: ``[B, Q, K, C]``, K keypoints of each instance.
            positions: ``[B, Q, C]`` of the instances' boxes.
            keypoint_positions: ``[K, C]``, the same for all instances.
            group_bias: ``[1 + K, 1 + K]``, see ``GroupAttention``; the instance is the first token of its group.
            references: ``[B, Q, 1, 4]`` boxes of the instances, cx, cy, w, h in [0, 1].
            memory, keypoint_memory: ``[B, h w, C]`` that instances and keypoints sample.
            shape: h and w.

        Returns:
            The new tokens of instances and keypoints.
        """
        shapes = torch.tensor([shape], device=memory.device)
        levels = {"spatial_shapes": shapes, "spatial_shapes_list": [shape], "level_start_index": shapes.new_zeros(1)}
        instances = super().forward(
            instances, position_embeddings=positions, reference_points=references, encoder_hidden_states=memory, **levels
        )
        batch, queries, count, width = keypoints.shape
        groups = torch.cat([instances.unsqueeze(2), keypoints], 2).flatten(0, 1)
        # The instance's own position is 0: it is told apart by being the only one without.
        group_positions = torch.cat([torch.zeros_like(keypoint_positions[:1]), keypoint_positions])
        mixed = self.group_attn(groups, group_positions, group_bias).unflatten(0, (batch, queries))
        instances = self.instance_layer_norm(instances + mixed[:, :, 0] * self.instance_scale)
        keypoints = self.group_layer_norm(keypoints + mixed[:, :, 1:])

        sampled, _ = self.keypoint_cross_attn(
            (keypoints + positions.unsqueeze(2)).flatten(1, 2),
            encoder_hidden_states=keypoint_memory,
            reference_points=references.unsqueeze(2).expand(-1, -1, count, -1, -1).flatten(1, 2),
            **levels,
        )
        keypoints = self.keypoint_cross_layer_norm(keypoints + sampled.view(batch, queries, count, width))
        hidden = self.activation_fn(self.keypoint_fc1(keypoints))
        return instances, self.keypoint_layer_norm(keypoints + self.keypoint_fc2(hidden))
