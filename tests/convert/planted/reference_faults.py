"""Faults in what both sides share: the reference itself is not the detector that was trained, and the bundle follows it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from detr2litert.convert.models.checkpoints import Checkpoint, load_checkpoint
from detr2litert.convert.models.reference import Detector, Reference, build_reference
from detr2litert.convert.models.settings import Size, Sourced
from detr2litert.convert.models.settings.statements import from_config
from detr2litert.convert.models.variants import VARIANTS
from tests.convert.planted.fault import BOTH

Names = tuple[str | None, ...]


@dataclass(frozen=True)
class ReferenceFault:
    """As ``Fault``; ``build`` makes the wrong reference and its class names, ``costs_ap`` if 60 scenes show it as well."""

    name: str
    build: Callable[[str], tuple[Reference, Names]]
    detectors: tuple[str, ...] = BOTH
    costs_ap: bool = True

    def __str__(self) -> str:
        return self.name.replace(" ", "-")


def original(detector: str) -> tuple[Reference, Names]:
    """The detector as it was trained."""
    return _built(detector, load(detector))


def load(detector: str) -> Checkpoint:
    return load_checkpoint(str(VARIANTS[detector].default_weights))


def _built(detector: str, checkpoint: Checkpoint) -> tuple[Reference, Names]:
    variant = VARIANTS[detector]
    return build_reference(variant, checkpoint), variant.classes


def _configured(**changed: Any) -> Callable[[str], tuple[Reference, Names]]:
    """Another configuration; ``backbone__KEY`` is the backbone's."""

    def build(detector: str) -> tuple[Reference, Names]:
        checkpoint = load(detector)
        config = copy.deepcopy(dict(checkpoint.config or {}))
        for key, value in changed.items():
            place = config["backbone_config"] if key.startswith("backbone__") else config
            assert place[key.removeprefix("backbone__")] != value
            place[key.removeprefix("backbone__")] = value
        stated = tuple(from_config(config, checkpoint.family.fields, "planted"))
        return _built(detector, replace(checkpoint, config=config, statements=stated))

    return build


def _other_picture(**settings: Any) -> Callable[[str], tuple[Reference, Names]]:
    """Other settings: the same network sees another picture."""

    def build(detector: str) -> tuple[Reference, Names]:
        reference, names = original(detector)
        wrong = {name: Sourced(value, "planted") for name, value in settings.items()}
        return replace(reference, settings=replace(reference.settings, **wrong)), names

    return build


def _other_resolution(detector: str) -> tuple[Reference, Names]:
    reference, names = original(detector)
    side = reference.size.height + 2 * reference.variant.resolution_step
    return build_reference(reference.variant, load(detector), {"resolution": Size(side, side)}), names


class _FirstLayer(Detector):
    """Hands out what the first decoder layer predicts."""

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        model: Any = self.model
        found = model(pixel_values=image)
        hidden, points = found.intermediate_hidden_states[0], found.init_reference_points
        moved = model.model.bbox_embed(hidden) if hasattr(model.model, "bbox_embed") else model.bbox_embed(hidden)
        centres = moved[..., :2] * points[..., 2:] + points[..., :2]
        return torch.cat((centres, moved[..., 2:].exp() * points[..., 2:]), -1), model.class_embed(hidden)


def _first_layer(detector: str) -> tuple[Reference, Names]:
    reference, names = original(detector)
    module = reference.module
    first = _FirstLayer(module.model, module._boxes_output, module._logits_output).eval().requires_grad_(False)
    return replace(reference, module=first), names


def _shifted_names(detector: str) -> tuple[Reference, Names]:
    reference, names = original(detector)
    return reference, (names[-1], *names[:-1])


def _not_averaged(detector: str) -> tuple[Reference, Names]:
    """The weights of one step instead of their moving average: near it, and worse."""
    checkpoint, generator = load(detector), torch.Generator().manual_seed(0)
    tensors = {
        name: value + 0.12 * value.std() * torch.randn(value.shape, generator=generator)
        if value.is_floating_point() and value.dim() > 1
        else value
        for name, value in checkpoint.tensors.items()
    }
    return _built(detector, replace(checkpoint, tensors=tensors))


REFERENCE_FAULTS = (
    ReferenceFault(
        "other feature levels",
        _configured(
            backbone__out_features=["stage1", "stage2", "stage4", "stage5"],
            backbone__out_indices=[1, 2, 4, 5],
            backbone__window_block_indexes=[0, 2, 3],
        ),
        ("tiny",),
    ),
    ReferenceFault("another number of heads", _configured(backbone__num_attention_heads=8), ("tiny",), costs_ap=False),
    ReferenceFault(
        "another number of heads in the decoder", _configured(decoder_self_attention_heads=8), ("tiny",), costs_ap=False
    ),
    ReferenceFault("first decoder layer", _first_layer, ("tiny",), costs_ap=False),
    ReferenceFault("class names shifted", _shifted_names),
    ReferenceFault("no mean and std", _other_picture(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)), ("tiny",)),
    ReferenceFault(
        "ImageNet's mean and std", _other_picture(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)), ("dfine-tiny",)
    ),
    ReferenceFault("another resolution", _other_resolution),
    ReferenceFault("fewer detections selected", _other_picture(num_select=2)),
    ReferenceFault("weights that are not the average", _not_averaged),
)
