"""Puts a checkpoint's weights into the transformers model, and checks that every tensor has found its place."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from detr2litert.convert.models.checkpoints import Checkpoint, to_transformers
from detr2litert.convert.models.configuration import first_line
from detr2litert.convert.models.originals import model_class
from detr2litert.convert.models.settings import Settings
from detr2litert.convert.models.variants import Variant
from detr2litert.convert.quiet import quiet
from detr2litert.host_runtime.errors import UserError


def load_model(variant: Variant, config: Any, checkpoint: Checkpoint, settings: Settings) -> nn.Module:
    """Returns the transformers model with a checkpoint's weights in float32.

    Weights in the original projects' naming are renamed by transformers' own conversion mapping, the same that
    ``from_pretrained`` applies to a folder, or, without one, by the family's.

    Raises:
        UserError: a tensor is missing, left over or of another shape; the first one is named.
    """
    tensors = to_transformers(checkpoint.tensors, variant.family, variant.renaming)
    _cut_query_rows(tensors, variant, config, checkpoint)
    try:
        with quiet():
            model, report = model_class(variant, checkpoint).from_pretrained(
                None,
                config=config,
                state_dict=tensors,
                output_loading_info=True,
                dtype=torch.float32,
                ignore_mismatched_sizes=True,
            )
    except Exception as error:
        # An inconsistent config.json can raise anything.
        raise UserError(f"the weights of {checkpoint.source} do not fit {variant.name}: {first_line(error)}") from error
    _check_shapes(report["mismatched_keys"], variant, checkpoint)
    needless = variant.family.ignored_tensors + _left_out_layers(checkpoint, settings)
    for kind, names in (
        ("missing", _without(report["missing_keys"], variant.family.ignored_tensors)),
        ("unexpected", _without(report["unexpected_keys"], needless)),
    ):
        if names:
            raise UserError(
                f"the weights of {checkpoint.source} do not fit {variant.name}: {len(names)} tensors are {kind}, the first is "
                f"{sorted(map(str, names))[0]}"
            )
    loaded: nn.Module = model
    return loaded


def _cut_query_rows(tensors: dict[str, Tensor], variant: Variant, config: Any, checkpoint: Checkpoint) -> None:
    """Drops the rows of queries beyond ``num_queries``; an evaluation uses those of the first group."""
    rows, pattern = checkpoint.facts.get("query rows"), variant.family.query_rows
    if pattern is None or rows is None:
        return
    needed = config.num_queries * getattr(config, "group_detr", 1)
    for name, tensor in tensors.items():
        if re.search(pattern, name) and tensor.shape[0] > needed:
            tensors[name] = tensor[:needed].clone()


def _left_out_layers(checkpoint: Checkpoint, settings: Settings) -> tuple[str, ...]:
    """Returns patterns of the tensors of decoder layers that are not evaluated; transformers stores the heads twice."""
    present, used = checkpoint.facts.get("decoder layers"), settings.architecture.get("decoder_layers")
    if present is None or used is None:
        return ()
    parts = "layers|class_embed|bbox_embed|lqe_layers"
    # `blocks` are those of RF-DETR's segmentation head, one a decoder layer.
    return tuple(
        rf"\b(decoder\.({parts})|class_embed|bbox_embed)\.{layer}\.|^(model\.)*blocks\.{layer}\."
        for layer in range(used.value, present)
    )


def _check_shapes(mismatched: Iterable[Any], variant: Variant, checkpoint: Checkpoint) -> None:
    """Refuses tensors of another shape than the model's.

    Raises:
        UserError: the first tensor, both shapes, and which figure of the variant decides the shape.
    """
    wrong = sorted((str(entry[0]), tuple(entry[1]), tuple(entry[2])) for entry in mismatched)
    if wrong:
        name, found, expected = wrong[0]
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise UserError(
            f"the weights of {checkpoint.source} do not fit {variant.name}: {name} is {list(found)}, but this detector has "
            f"{list(expected)}{more}; {_behind(name)}"
        )


_SHAPE_SETTINGS = (
    (r"reference_point_embed|query_feat", "num_queries and group_detr decide its rows"),
    (r"attention_weights|sampling_offsets", "the decoder's heads, levels and sampling points decide its rows"),
    (r"patch_embeddings|stem|embedder", "the input's channels and the patch size decide its shape"),
    (r"keypoint_(positions|queries)", "the keypoints of all classes together (keypoints_per_class) decide its rows"),
    (r"position_embeddings", "the position grid decides its length"),
    (r"class_embed|score_head", "the number of classes decides its rows"),
    (r"fc[12]|mlp|linear[12]", "the width of the feed-forward network decides its shape"),
)


def _behind(name: str) -> str:
    """Returns what decides the shape of a tensor, in words."""
    return next((words for pattern, words in _SHAPE_SETTINGS if re.search(pattern, name)), "another width or size of the model")


def _without(names: Iterable[str], patterns: tuple[str, ...]) -> list[str]:
    return [name for name in names if not any(re.search(pattern, name) for pattern in patterns)]
