"""Changes a transformers model so that it computes what the original project's model computes.

transformers rebuilt these detectors and differs from the originals in a few places. A transformers folder was trained with
transformers' model, so only checkpoints in the original naming are changed. Each change is a function over the built model,
before its weights are loaded; the families and variants name theirs (``Family.adjustments``). What each does to boxes was
measured with ``tests/originals``, whose detections are the original projects' own.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from detr2litert.convert.models.checkpoints import Checkpoint
from detr2litert.convert.models.variants import Variant

Adjustment = Callable[[nn.Module, Any], None]
"""Changes a transformers model in place, given its configuration."""

_HEADS = re.compile(r"(^|\.)(query_pos_head|enc_bbox_head|pre_bbox_head|bbox_embed\.\d+|reg_conf)$")
"""The multi-layer perceptrons outside the feed-forward networks, by their names in transformers."""


class Perceptron(nn.Module):
    """Linear layers with an activation between them; the layers' names are those of transformers' prediction heads."""

    def __init__(self, layers: nn.ModuleList, activation: nn.Module) -> None:
        super().__init__()
        self.layers = layers
        self.activation = activation

    def forward(self, values: Tensor) -> Tensor:
        """Applies the layers in turn."""
        for layer in self.layers[:-1]:
            values = self.activation(layer(values))
        result: Tensor = self.layers[-1](values)
        return result


class TransposedPositions(nn.Module):
    """A sine position embedding with width and height exchanged."""

    def __init__(self, embedding: nn.Module) -> None:
        super().__init__()
        self.embedding = embedding

    def forward(self, width: int, height: int, device: torch.device | str, dtype: torch.dtype) -> Tensor:
        """Computes the embedding of a map of ``height`` columns and ``width`` rows, in its order of cells."""
        result: Tensor = self.embedding(width=height, height=width, device=device, dtype=dtype)
        return result


class FirstQueryPosition(nn.Module):
    """Returns in every decoder layer what the head gives in the first; ``forget`` ends a run of the decoder."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.layers = head.layers
        self.activation = head.act
        self._first: Tensor | None = None

    def forward(self, boxes: Tensor) -> Tensor:
        """Computes the position embedding of the queries' boxes, in the first layer."""
        if self._first is None:
            self._first = Perceptron.forward(self, boxes)  # type: ignore[arg-type]
        return self._first

    def forget(self) -> None:
        """Drops the embedding."""
        self._first = None


def activate_heads(model: nn.Module, config: Any) -> None:
    """Gives every multi-layer perceptron the activation of the decoder's feed-forward networks.

    transformers' heads have ReLU, whatever ``decoder_activation_function`` is. DEIM has ``activation`` and ``mlp_act`` SiLU
    (engine/deim/dfine_decoder.py and rtdetrv2_decoder.py at 09d35d5, configs/base/deim.yml), DEIMv2 too. With ReLU in the heads
    of a DEIM no detection agrees with DEIM's own.
    """
    activation = _activation(config.decoder_activation_function)
    changed: dict[nn.Module, nn.Module] = {}
    for name, head in list(model.named_modules(remove_duplicate=False)):
        if not _HEADS.search(name):
            continue
        if hasattr(head, "act"):
            head.act = activation
        elif hasattr(head, "activation"):
            head.activation = activation
        else:
            # One head under several names remains one.
            changed.setdefault(head, Perceptron(head.layers, activation))
            _replace(model, name, changed[head])


def transpose_positions(model: nn.Module, config: Any) -> None:
    """Lays the position embedding of the hybrid encoder out by columns, while its tokens are laid out by rows.

    The originals flatten ``meshgrid(grid_w, grid_h, indexing="ij")`` (hybrid_encoder.py, build_2d_sincos_position_embedding, in
    RT-DETR, D-FINE, DEIM and DEIMv2). Equal for squares; at 384 × 640 no detection agrees without it.
    """
    for name, module in list(model.named_modules()):
        if type(module).__name__.endswith("SinePositionEmbedding"):
            _replace(model, name, TransposedPositions(module))


def deepen_query_positions(model: nn.Module, config: Any) -> None:
    """Computes the queries' position embedding with three layers as wide as the queries, transformers with two twice as wide.

    DEIM's RT-DETRv2 (``query_pos_method: as_reg`` in configs/base/rt_deim.yml at 09d35d5); its weights fit no other.
    """
    width = config.d_model
    layers = nn.ModuleList([nn.Linear(4, width), nn.Linear(width, width), nn.Linear(width, width)])
    _replace(model, "model.decoder.query_pos_head", Perceptron(layers, nn.ReLU()))


def score_tokens_directly(model: nn.Module, config: Any) -> None:
    """Removes the layer and the normalisation between the encoder's tokens and their scores and boxes.

    DEIMv2 has none (engine/deim/deim_decoder.py at 0fff8d4); its checkpoints have no weights for them.
    """
    _replace(model, "model.enc_output", nn.Identity())


def keep_first_query_positions(model: nn.Module, config: Any) -> None:
    """Computes the queries' position embedding from the selected boxes alone, where transformers does from each layer's boxes.

    DEIMv2's TransformerDecoder calls ``query_pos_head`` before its loop (engine/deim/deim_decoder.py at 0fff8d4).
    """
    decoder = model.get_submodule("model.decoder")
    decoder.query_pos_head = FirstQueryPosition(decoder.query_pos_head)  # type: ignore[arg-type]
    decoder.register_forward_hook(_forget_query_positions, always_call=True)


def _forget_query_positions(decoder: nn.Module, _arguments: object, _result: object) -> None:
    decoder.query_pos_head.forget()  # type: ignore[union-attr, operator]


def simplify_tiny_vit(model: nn.Module, config: Any) -> None:
    """Removes the normalisation of the ViT's last level, the scales of its blocks' outputs and the register tokens.

    The tiny ViTs of DEIMv2 return each block's output unchanged (engine/backbone/vit_tiny.py at 0fff8d4). Their checkpoints
    have no weights for these parts; in transformers the scales are 1 and there are no tokens, but the last level is normalised.
    """
    backbone = model.get_submodule("model.conv_encoder.backbone")
    for name, _ in list(backbone.named_modules()):
        if name == "norm" or re.search(r"\.layer_scale[12]$", name):
            _replace(backbone, name, nn.Identity())
    embeddings = backbone.get_submodule("embeddings")
    empty = embeddings.register_tokens.data
    del embeddings.register_tokens
    embeddings.register_buffer("register_tokens", empty, persistent=False)  # type: ignore[arg-type]


def select_border_tokens(model: nn.Module, config: Any) -> None:
    """Lets the query selection choose cells at the picture's border, with zeroed features, as RF-DETR does.

    A cell whose centre is within 0.01 of the border is no proposal; there are some if a side has 50 or more cells, as in
    seg-xlarge and seg-2xlarge. RF-DETR zeroes its features and its box, and ranks what the heads make of them
    (gen_encoder_output_proposals in rfdetr/models/transformer.py, 1.11.2); transformers excludes it. With weights that rank
    them first, 204 of seg-xlarge's 300 queries are such cells, and boxes differ by up to 1.07 without this and 1e-6 with it.
    """
    for module in model.modules():
        if hasattr(module, "generate_topk_proposals"):
            module.generate_topk_proposals = _SelectAll(module.generate_topk_proposals)  # type: ignore[assignment, arg-type]


class _SelectAll:
    """transformers' selection of the proposals, with none excluded."""

    def __init__(self, select: Callable[[int, Tensor, Tensor, Tensor, int], tuple[Tensor, Tensor, Tensor]]) -> None:
        self._select = select

    def __call__(
        self, group: int, tokens: Tensor, proposals: Tensor, invalid: Tensor, count: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Selects ``count`` of the tokens ``[1, N, C]`` and their proposals ``[1, N, 4]``."""
        return self._select(group, tokens, proposals, torch.zeros_like(invalid), count)


ADJUSTMENTS: Mapping[str, Adjustment] = {
    adjustment.__name__: adjustment
    for adjustment in (
        transpose_positions,
        deepen_query_positions,
        score_tokens_directly,
        keep_first_query_positions,
        simplify_tiny_vit,
        activate_heads,
        select_border_tokens,
    )
}
"""Every adjustment by name, in the order in which they are made."""


def computes_as_original(variant: Variant, checkpoint: Checkpoint | None) -> bool:
    """Returns whether the model must compute what the original project's does: a checkpoint in its form, or none of another."""
    return variant.only_original if checkpoint is None else checkpoint.is_original


def model_class(variant: Variant, checkpoint: Checkpoint | None) -> Any:
    """Returns the class of the detector's model: transformers' own, or one derived from it that makes the adjustments."""
    base = getattr(importlib.import_module(variant.family.module), variant.family.model_class)
    named = {*variant.family.adjustments, *variant.adjustments}
    adjustments = [change for name, change in ADJUSTMENTS.items() if name in named]
    if not adjustments or not computes_as_original(variant, checkpoint):
        return base

    class Adjusted(base):  # type: ignore[misc, valid-type]
        def __init__(self, config: Any) -> None:
            super().__init__(config)
            for adjust in adjustments:
                adjust(self, config)

    Adjusted.__name__ = Adjusted.__qualname__ = base.__name__
    if not variant.family.renaming:
        # transformers renames an original project's tensors for the classes of its own modules alone.
        Adjusted.__module__ = base.__module__
    return Adjusted


def _activation(name: str) -> nn.Module:
    function = importlib.import_module("transformers.activations").ACT2FN[name]
    module: nn.Module = function
    return module


def _replace(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, module)
