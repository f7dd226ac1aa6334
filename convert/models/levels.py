"""Adapts a row to a checkpoint whose detector reads other levels of the backbone than the published one.

A detector of the D-FINE family may read strides 4, 8 and 16 instead of 8, 16 and 32 (``return_idx`` of the original's
backbone). The first projection shows it: it takes as many channels as the finest level has. The anchors show the strides only
together with the input size: those of strides 4, 8, 16 at 320 are the same as those of 8, 16, 32 at 640.
"""

from __future__ import annotations

import copy
from dataclasses import replace

from detr2litert.convert.models.checkpoints import Checkpoint
from detr2litert.convert.models.settings.anchors import size_of_anchors
from detr2litert.convert.models.variants import Variant

FACT = "first level width"
"""The fact that shows the finest level: the channels that its projection takes."""


def adapt_levels(variant: Variant, checkpoint: Checkpoint) -> tuple[Variant, Checkpoint]:
    """Returns the row with the checkpoint's levels, and the checkpoint with the size that its anchors mean then."""
    width = checkpoint.facts.get(FACT)
    if width is None or not checkpoint.is_original:
        return variant, checkpoint
    channels = variant.config["encoder_in_channels"]
    stages = variant.config["backbone_config"]["stage_out_channels"]
    if channels[0] == width or stages.count(width) != 1:
        return variant, checkpoint
    levels = tuple(range(stages.index(width) + 1, stages.index(width) + 1 + len(channels)))
    if levels[-1] > len(stages):
        return variant, checkpoint
    # Stage 1 follows a stem of stride 4, and each further stage halves its map.
    strides = tuple(2 ** (level + 1) for level in levels)
    config = copy.deepcopy(dict(variant.config))
    config["backbone_config"]["out_indices"] = list(levels)
    config["encoder_in_channels"] = [stages[level - 1] for level in levels]
    config["feat_strides"] = list(strides)
    # The whole backbone runs, so that its coarsest stage still limits the resolution.
    adapted = replace(variant, config=config, strides=strides, feature_levels=levels)
    return adapted, replace(
        checkpoint,
        statements=tuple(
            replace(statement, value=size_of_anchors(checkpoint.tensors[name], (strides,)))
            if (name := statement.place.partition(",")[0]) in checkpoint.tensors
            else statement
            for statement in checkpoint.statements
        ),
    )
