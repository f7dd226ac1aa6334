"""Builds the reference: a PyTorch detector reduced to image in, boxes and logits out.

The model is transformers'; ``convert.models.configuration`` says with which figures, ``convert.models.loading`` with which
weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from detr2litert.convert.models.checkpoints import Checkpoint, choose_variant, hash_tensors, load_checkpoint
from detr2litert.convert.models.configuration import configuration, settings_of
from detr2litert.convert.models.levels import adapt_levels
from detr2litert.convert.models.loading import load_model
from detr2litert.convert.models.originals import model_class
from detr2litert.convert.models.random_weights import draw_weights
from detr2litert.convert.models.settings import Settings, Size
from detr2litert.convert.models.variants import Variant
from detr2litert.convert.quiet import quiet
from detr2litert.host_runtime.errors import UserError

RANDOM = "random"
"""Value of ``--weights`` for seeded random weights."""


class Detector(nn.Module):
    """A detector of transformers' form with one tensor in and two out, for ``torch.export``."""

    def __init__(self, model: nn.Module, boxes_output: str, logits_output: str) -> None:
        super().__init__()
        self.model = model
        self._boxes_output = boxes_output
        self._logits_output = logits_output

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised image ``[1, channels, H, W]`` to boxes ``[1, Q, 4]`` (cx, cy, w, h in [0, 1]) and logits ``[1, Q, C]``."""
        output = self.model(pixel_values=image)
        return getattr(output, self._boxes_output), getattr(output, self._logits_output)


class DetectorOfMore(Detector):
    """A detector that also gives the masks or the keypoints of its queries."""

    def __init__(self, detector: Detector, third_output: str) -> None:
        super().__init__(detector.model, detector._boxes_output, detector._logits_output)
        self._third_output = third_output

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:  # type: ignore[override]
        """Normalised image ``[1, channels, H, W]`` to boxes, logits, and masks' logits ``[1, Q, h, w]`` or keypoints."""
        output = self.model(pixel_values=image)
        boxes, logits = getattr(output, self._boxes_output), getattr(output, self._logits_output)
        return boxes, logits, getattr(output, self._third_output)


@dataclass(frozen=True)
class Reference:
    """A detector with weights, ready to run and to export.

    Attributes:
        module: in evaluation mode, float32, on the CPU.
        variant: the row it was built from.
        settings: what is not in the weights, with the origin of each.
        logit_columns: C of its outputs.
        source, sha256, random: the origin of the weights, their ``hash_tensors``, and whether they are random.
        place: which weights of a training checkpoint they are, see ``Checkpoint.place``.
    """

    module: Detector
    variant: Variant
    settings: Settings
    logit_columns: int
    source: str
    sha256: str
    random: bool
    place: str = ""

    @property
    def masks(self) -> bool:
        """Returns whether masks are converted too."""
        setting = self.settings.architecture.get("masks")
        return setting is not None and setting.value == "on"

    @property
    def keypoints_per_class(self) -> tuple[int, ...]:
        """Returns the number of keypoints of each class, by column; () of other detectors."""
        setting = self.settings.architecture.get("keypoints_per_class")
        return () if setting is None else tuple(setting.value)

    @property
    def keypoint_score_weight(self) -> float:
        """Returns how much a score depends on how sure the detection's keypoints are; 0 of other detectors."""
        setting = self.settings.architecture.get("keypoint_score_weight")
        return 0.0 if setting is None else float(setting.value)

    @property
    def exported(self) -> Detector:
        """Returns what is exported: ``module``, or the same model with masks or keypoints as a third output."""
        family = self.variant.family
        third = (family.masks_output if self.masks else None) or family.keypoints_output
        return self.module if third is None else DetectorOfMore(self.module, third).eval()

    @property
    def size(self) -> Size:
        """Returns height and width of the input in pixels."""
        return self.settings.resolution.value

    @property
    def channels(self) -> int:
        """Returns the number of channels of the input."""
        return self.settings.channels

    @property
    def num_queries(self) -> int:
        """Returns Q of the outputs."""
        return self.settings.num_queries.value

    def example_input(self, seed: int = 0) -> Tensor:
        """Returns a seeded ``[1, channels, height, width]`` image of unit variance."""
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(1, self.channels, *self.size, generator=generator)


def load_reference(
    variant: Variant | None, weights: str | None, requested: Mapping[str, Any] | None = None, seed: int = 0
) -> tuple[Reference, Checkpoint | None]:
    """Loads the reference detector, and its checkpoint unless its weights are random.

    Raises:
        UserError: the detector is not specified, or the weights are not available or do not fit.
    """
    if weights == RANDOM:
        if variant is None:
            raise UserError("--weights random needs --variant, since there is no checkpoint to detect it from")
        return build_reference(variant, None, requested, seed), None
    source = weights or (variant.default_weights if variant is not None else None)
    if source is None and variant is not None:
        raise UserError(f"no weights of {variant.name} are published in a form that can be downloaded; give --weights")
    if source is None:
        raise UserError("give --variant, --weights, or both (`convert variants` lists the detectors)")
    checkpoint = load_checkpoint(source)
    chosen = choose_variant(checkpoint, None if variant is None else variant.name)
    return build_reference(chosen, checkpoint, requested), checkpoint


def build_reference(
    variant: Variant, checkpoint: Checkpoint | None = None, requested: Mapping[str, Any] | None = None, seed: int = 0
) -> Reference:
    """Builds the variant with a checkpoint's weights, or with seeded random ones if ``checkpoint`` is None.

    Args:
        variant: row of the table.
        checkpoint: of a detector of this variant.
        requested: settings that the user chose, by name (``convert.models.settings``); they come before the checkpoint's.
        seed: of random weights.

    Position embeddings keep the checkpoint's grid and are interpolated by the model (bicubic, antialiased, as rfdetr does).

    Raises:
        UserError: a setting is contradictory or does not fit, or the weights do not fit the variant.
    """
    if checkpoint is not None:
        variant, checkpoint = adapt_levels(variant, checkpoint)
    settings = settings_of(variant, checkpoint, requested)
    config = configuration(variant, checkpoint, settings)
    if checkpoint is None:
        model, sha256 = _random_model(variant, config, settings, seed)
        source = f"random, seed {seed}"
    else:
        model, sha256 = load_model(variant, config, checkpoint, settings), checkpoint.sha256
        source = checkpoint.source
    module = Detector(model, variant.family.boxes_output, variant.family.logits_output).eval().requires_grad_(False)
    place = "" if checkpoint is None else checkpoint.place
    return Reference(module, variant, settings, config.num_labels, source, sha256, checkpoint is None, place)


def _random_model(variant: Variant, config: Any, settings: Settings, seed: int) -> tuple[nn.Module, str]:
    """Builds a model with seeded weights that exercise every path; see ``convert.models.random_weights``."""
    with quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = model_class(variant, None)._from_config(config, dtype=torch.float32)
        if model.is_custom_code():
            # transformers leaves this out for our own classes: the class head's biases, by the prior probability of an object.
            model._init_weights(model)
        draw_weights(model, variant.family, settings, seed)
    return model, hash_tensors(model.state_dict())


def count_parameters(variant: Variant) -> int:
    """Counts the variant's parameters, without allocating them."""
    with quiet(), torch.device("meta"):
        model: nn.Module = model_class(variant, None)(configuration(variant, None, settings_of(variant)))
    return sum(parameter.numel() for parameter in model.parameters())
