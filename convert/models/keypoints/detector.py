"""RF-DETR's keypoint detector, built on transformers' RF-DETR, which has no class for it.

What differs from the detector (rfdetr 1.11.2, rfdetr/models/lwdetr.py and transformer.py): a second projector makes the map
that keypoints sample; each query has K tokens beside its own (``KeypointDecoderLayer``); a head gives eight numbers for each of
them, of which the last is added to the score of the keypoint's class. The keypoints of the first stage (``…_enc``,
``enc_out_keypoint_embed``) are for training alone: the decoder does not read them.

``tests/originals`` compares it with rfdetr's own forward pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import RfDetrConfig, RfDetrForObjectDetection
from transformers.models.rf_detr.modeling_rf_detr import RfDetrMLPPredictionHead, RfDetrScaleProjector, refine_bboxes

from detr2litert.convert.models.keypoints.decoder_layer import KeypointDecoderLayer

_BLOCKED = -1e4
"""Added to the logit of an attention that is not allowed: its share is 0 in every precision, and it is a number in fp16."""


class RfDetrKeypointConfig(RfDetrConfig):  # type: ignore[misc]
    """transformers' configuration, and how many keypoints each class has.

    Attributes:
        keypoints_per_class: by column of the class head; columns after its last have none.
        keypoint_score_weight: how much a detection's score depends on how sure its keypoints are (rfdetr's
            ``postprocess_trace_alpha``); the model does not compute with it.
    """

    model_type = "rf_detr_keypoints"
    keypoints_per_class: Sequence[int] = (17,)
    keypoint_score_weight: float = 0.2


@dataclass(frozen=True)
class KeypointOutput:
    """What the detector computes for B images.

    Attributes:
        logits: ``[B, Q, C]``.
        pred_boxes: ``[B, Q, 4]``, cx, cy, w, h in [0, 1].
        pred_keypoints: ``[B, Q, K, 7]``, class after class: x and y in [0, 1]; logits of being findable and of being visible;
            log l11, l21 and log l22 of the Cholesky factor of the precision of x and y.
    """

    logits: Tensor
    pred_boxes: Tensor
    pred_keypoints: Tensor


class KeypointQueries(nn.Module):
    """The first tokens of the keypoints of each query: learned ones, modulated by the query (adaptive layer norm)."""

    def __init__(self, width: int, count: int) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(count, width))
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulation = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, 3 * width))
        self.out_proj = nn.Linear(width, width)

    def forward(self, instances: Tensor) -> Tensor:
        """Computes tokens ``[Q, K, C]`` of queries ``[Q, C]``."""
        scale, shift, gate = self.modulation(instances).unsqueeze(-2).chunk(3, -1)
        tokens: Tensor = self.out_proj((scale + 1) * self.norm(self.queries) + shift) * gate + self.queries
        return tokens


class RfDetrForKeypointDetection(RfDetrForObjectDetection):  # type: ignore[misc]
    """transformers' detector with keypoints, for inference: one group of queries."""

    config_class = RfDetrKeypointConfig

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        width, count = config.d_model, sum(config.keypoints_per_class)
        self.model.decoder.layers = nn.ModuleList(KeypointDecoderLayer(config, i) for i in range(config.decoder_layers))
        self.keypoint_projector = RfDetrScaleProjector(config)
        self.keypoint_queries = KeypointQueries(width, count)
        self.keypoint_positions = nn.Parameter(torch.randn(count, width))
        self.keypoint_embed = RfDetrMLPPredictionHead(width, width, 8, num_layers=3)
        self.post_init()

    def forward(self, pixel_values: Tensor, **_ignored: object) -> KeypointOutput:
        """Detects in normalised images ``[B, channels, H, W]``."""
        return self.layers_of(pixel_values)[-1]

    def layers_of(self, pixel_values: Tensor) -> list[KeypointOutput]:
        """Returns what the heads make of each decoder layer's tokens, for training; the last is the detector's output."""
        model, queries = self.model, self.config.num_queries
        maps = model.backbone.backbone(pixel_values).feature_maps
        features, keypoint_features = model.backbone.projector(maps), self.keypoint_projector(maps)
        memory, keypoint_memory = (values.flatten(2).transpose(1, 2) for values in (features, keypoint_features))
        height, width = features.shape[2:]

        padding = torch.zeros(memory.shape[:2], dtype=torch.bool, device=memory.device)
        tokens, proposals, invalid = model.gen_encoder_output_proposals(memory, padding, [(height, width)])
        _, boxes, _ = model.generate_topk_proposals(0, tokens, proposals, invalid, queries)
        batch = len(pixel_values)
        references = refine_bboxes(boxes, model.reference_point_embed.weight[:queries].expand(batch, -1, -1))
        inputs, positions = model.decoder.get_reference(references, references.new_ones(1, 1, 2))

        instances = model.query_feat.weight[:queries]
        keypoints = self.keypoint_queries(instances).expand(batch, -1, -1, -1)
        instances = instances.expand(batch, -1, -1)
        group_bias, outputs = self._group_bias(), []
        for layer in model.decoder.layers:
            instances, keypoints = layer(
                instances,
                keypoints,
                positions=positions,
                keypoint_positions=self.keypoint_positions,
                group_bias=group_bias,
                references=inputs,
                memory=memory,
                keypoint_memory=keypoint_memory,
                shape=(height, width),
            )
            outputs.append(self._heads(model.decoder.layernorm(instances), keypoints, references))
        return outputs

    def _heads(self, instances: Tensor, keypoints: Tensor, references: Tensor) -> KeypointOutput:
        logits, boxes = self.predict_class_and_boxes(instances, references)
        values = self.keypoint_embed(keypoints)
        centres = values[..., :2] * references[..., None, 2:] + references[..., None, :2]
        return KeypointOutput(logits + values[..., 7] @ self._columns(), boxes, torch.cat([centres, values[..., 2:7]], -1))

    def _classes(self) -> list[int]:
        """Returns the column of the class of each keypoint."""
        return [column for column, count in enumerate(self.config.keypoints_per_class) for _ in range(count)]

    def _columns(self) -> Tensor:
        """Returns 1 ``[K, C]`` where the keypoint is of the column's class, else 0."""
        return torch.tensor([[float(own == column) for column in range(self.config.num_labels)] for own in self._classes()])

    def _group_bias(self) -> Tensor | None:
        """Returns the bias ``[1 + K, 1 + K]`` that keeps keypoints of different classes apart; None if one class has all."""
        classes = self._classes()
        if len(set(classes)) < 2:
            return None
        rows = [[0.0 if own == other else _BLOCKED for other in classes] for own in classes]
        return torch.tensor([[0.0] * (1 + len(classes)), *([0.0, *row] for row in rows)])
