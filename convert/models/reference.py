"""Builds the reference: a PyTorch detector reduced to image in, boxes and logits out.

The model is transformers'. Weights in the original projects' naming are renamed by transformers' own conversion mapping, the
same that ``from_pretrained`` applies to a folder, or, without one, by the family's; no tensor may be left over or missing.
"""

from __future__ import annotations

import copy
import importlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from detr2litert.convert.models.checkpoints import Checkpoint, hash_tensors, to_transformers
from detr2litert.convert.models.random_weights import draw_weights
from detr2litert.convert.models.variants import Variant, checked_resolution
from detr2litert.convert.quiet import quiet
from detr2litert.host_runtime.errors import UserError


class Detector(nn.Module):
    """A transformers detector with one tensor in and two out, for ``torch.export``."""

    def __init__(self, model: nn.Module, boxes_output: str, logits_output: str) -> None:
        super().__init__()
        self.model = model
        self._boxes_output = boxes_output
        self._logits_output = logits_output

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised image ``[1, 3, R, R]`` to boxes ``[1, Q, 4]`` (cx, cy, w, h in [0, 1]) and logits ``[1, Q, C]``."""
        output = self.model(pixel_values=image)
        return getattr(output, self._boxes_output), getattr(output, self._logits_output)


@dataclass(frozen=True)
class Reference:
    """A detector with weights, ready to run and to export.

    Attributes:
        module: in evaluation mode, float32, on the CPU.
        variant: the row it was built from.
        resolution: side of its input in pixels.
        num_queries, logit_columns: Q and C of its outputs.
        source, sha256, random: the origin of the weights, their ``hash_tensors``, and whether they are random.
    """

    module: Detector
    variant: Variant
    resolution: int
    num_queries: int
    logit_columns: int
    source: str
    sha256: str
    random: bool

    def example_input(self, seed: int = 0) -> Tensor:
        """Returns a seeded ``[1, 3, R, R]`` image of unit variance."""
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(1, 3, self.resolution, self.resolution, generator=generator)


def build_reference(
    variant: Variant, checkpoint: Checkpoint | None = None, resolution: int | None = None, seed: int = 0
) -> Reference:
    """Builds the variant with a checkpoint's weights, or with seeded random ones if ``checkpoint`` is None.

    The default ``resolution`` is the variant's, or that of a fine-tuned checkpoint, as derived from its position grid.
    Position embeddings keep the checkpoint's grid and are interpolated by the model (bicubic, antialiased, as rfdetr does).

    Raises:
        UserError: the resolution does not fit, or the weights do not fit the variant.
    """
    side = checked_resolution(variant, resolution if resolution is not None else _trained_resolution(variant, checkpoint))
    config = _configuration(variant, checkpoint)
    if checkpoint is None:
        model, sha256 = _random_model(variant, config, seed)
        source = f"random, seed {seed}"
    else:
        model, sha256 = _loaded_model(variant, config, checkpoint)
        source = checkpoint.source
    _check_token_count(variant, side, config.num_queries)
    module = Detector(model, variant.family.boxes_output, variant.family.logits_output).eval().requires_grad_(False)
    return Reference(module, variant, side, config.num_queries, config.num_labels, source, sha256, checkpoint is None)


def _trained_resolution(variant: Variant, checkpoint: Checkpoint | None) -> int:
    """Returns the resolution of a checkpoint's training, derived from its position grid.

    If a variant's own grid is resolution / patch, a fine-tuned checkpoint's is too (rfdetr 1.6.5, config.py,
    _sync_pe_with_resolution).
    """
    grid = checkpoint.facts.get("position grid") if checkpoint is not None else None
    if grid is None or variant.patch is None or variant.position_grid is None:
        return variant.resolution
    trained = grid * variant.patch
    follows = variant.position_grid * variant.patch == variant.resolution
    return trained if follows and trained % variant.resolution_step == 0 else variant.resolution


def _check_token_count(variant: Variant, side: int, num_queries: int) -> None:
    def tokens(size: int) -> int:
        return sum((size // stride) ** 2 for stride in variant.strides)

    if variant.strides and tokens(side) < num_queries:
        step = variant.resolution_step
        least = next(size for size in range(step, 100 * step, step) if tokens(size) >= num_queries)
        raise UserError(
            f"resolution {side} gives {variant.name} {tokens(side)} tokens, too few for {num_queries} queries; "
            f"the least resolution is {least}"
        )


def _configuration(variant: Variant, checkpoint: Checkpoint | None) -> Any:
    """Returns the transformers configuration: the folder's own if there is one, else the row's with facts from the weights."""
    family = variant.family
    published = checkpoint is not None and checkpoint.logit_columns == len(variant.classes)
    if checkpoint is not None and checkpoint.config is not None:
        values = copy.deepcopy(dict(checkpoint.config))
        # A folder converted from the original project's weights has transformers' defaults for values that the project fixes; a
        # folder that was trained in transformers was trained with the values it states.
        if published:
            values.update(family.fixed_config)
    else:
        values = copy.deepcopy(dict(variant.config))
        if checkpoint is not None:
            _adopt(values, variant, checkpoint)
    columns = len(variant.classes) if checkpoint is None else checkpoint.logit_columns
    values["id2label"] = {column: f"class {column}" for column in range(columns)}
    values["label2id"] = {name: column for column, name in values["id2label"].items()}
    # Fused attention is transformers' default for every part that has it; requesting it fails for backbones without attention.
    for key in ("num_labels", "attn_implementation", "_attn_implementation"):
        values.pop(key, None)
    with quiet():
        config_class = getattr(importlib.import_module("transformers"), family.config_class)
        try:
            return config_class(**values)
        except Exception as error:
            # Configurations validate themselves and raise many types of errors; only a folder's config.json can cause one.
            where = checkpoint.source if checkpoint is not None else variant.name
            raise UserError(
                f"config.json of {where} is not a valid {family.name} configuration: {_first_line(error)}"
            ) from error


def _adopt(values: dict[str, Any], variant: Variant, checkpoint: Checkpoint) -> None:
    for fact, setting in variant.family.config_from_facts.items():
        if fact in checkpoint.facts:
            values[setting] = checkpoint.facts[fact]
    grid, path = checkpoint.facts.get("position grid"), variant.family.grid_field
    if grid is not None and path and variant.patch is not None:
        place = values
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = grid * variant.patch


def _loaded_model(variant: Variant, config: Any, checkpoint: Checkpoint) -> tuple[nn.Module, str]:
    try:
        with quiet():
            model_class = getattr(importlib.import_module("transformers"), variant.family.model_class)
            model, report = model_class.from_pretrained(
                None,
                config=config,
                state_dict=to_transformers(checkpoint.tensors, variant.family),
                output_loading_info=True,
                dtype=torch.float32,
            )
    except Exception as error:
        # Shapes that do not fit raise a RuntimeError here; an inconsistent config.json can raise anything.
        raise UserError(f"the weights of {checkpoint.source} do not fit {variant.name}: {_first_line(error)}") from error
    needless = variant.family.ignored_tensors + variant.unused
    for kind, names in (
        ("missing", _without(report["missing_keys"], variant.family.ignored_tensors)),
        ("unexpected", _without(report["unexpected_keys"], needless)),
        ("of another shape", report["mismatched_keys"]),
    ):
        if names:
            raise UserError(
                f"the weights of {checkpoint.source} do not fit {variant.name}: {len(names)} tensors are {kind}, the first is "
                f"{sorted(map(str, names))[0]}"
            )
    return model, checkpoint.sha256


def _without(names: Iterable[str], patterns: tuple[str, ...]) -> list[str]:
    return [name for name in names if not any(re.search(pattern, name) for pattern in patterns)]


def _random_model(variant: Variant, config: Any, seed: int) -> tuple[nn.Module, str]:
    """Builds a model with seeded weights that exercise every path; see ``convert.models.random_weights``."""
    with quiet(), torch.random.fork_rng(devices=[]):
        model_class = getattr(importlib.import_module("transformers"), variant.family.model_class)
        torch.manual_seed(seed)
        model = model_class._from_config(config, dtype=torch.float32)
        draw_weights(model, variant, seed)
    return model, hash_tensors(model.state_dict())


def count_parameters(variant: Variant) -> int:
    """Counts the variant's parameters, without allocating them."""
    with quiet(), torch.device("meta"):
        model_class = getattr(importlib.import_module("transformers"), variant.family.model_class)
        model: nn.Module = model_class(_configuration(variant, None))
    return sum(parameter.numel() for parameter in model.parameters())


def _first_line(error: Exception) -> str:
    """Returns the first non-empty line of a message; some of transformers' begin with an empty one."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
