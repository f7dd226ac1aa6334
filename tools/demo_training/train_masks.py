"""Trains tiny-seg: tiny's trained detector with the head that gives its queries masks.

``python -m tools.demo_training.train_masks``: first the head alone, on the frozen detector, then everything at a smaller rate,
with transformers' own set loss for boxes and classes beside the masks' (``mask_loss``).
"""

from __future__ import annotations

from pathlib import Path

import click
import torch
from torch import Tensor
from transformers import RfDetrForInstanceSegmentation, RfDetrForObjectDetection

from detr2litert.convert.models.variants import VARIANTS
from tools.demo_training.detectors import rf_detr_seg_config
from tools.demo_training.mask_loss import mask_loss, match, matched_masks
from tools.demo_training.pool import Targets
from tools.demo_training.training import Recipe, Training, run, training_options

_MASK_WEIGHT = 5.0


class MaskTraining(Training):
    """The training of tiny-seg."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe, untrained(recipe.seed))

    def losses(self, pixels: Tensor, targets: Targets, generator: torch.Generator) -> dict[str, Tensor]:
        """Returns the set loss of the detector, 0 while it is frozen, and that of the masks."""
        frozen = self.step < self.recipe.head_steps
        self.model.train(not frozen)
        with torch.set_grad_enabled(not frozen):
            labels = None if frozen else [{name: target[name] for name in ("boxes", "class_labels")} for target in targets]
            output = self.model.model(pixel_values=self.detector.normalise(pixels), labels=labels)
        matches = match(output.logits, output.pred_boxes, targets, 1 if frozen else self.model.config.group_detr)
        objects = torch.cat([target["masks"][which] for target, (_, which) in zip(targets, matches, strict=True)])
        masks = torch.zeros(())
        for found in matched_masks(self.model, output.backbone_features, output.intermediate_hidden_states, matches):
            masks = masks + sum(mask_loss(found, objects, generator))
        return {"boxes": torch.zeros(()) if frozen else output.loss, "masks": _MASK_WEIGHT * masks}


def untrained(seed: int) -> RfDetrForInstanceSegmentation:
    """Returns tiny's trained detector with a head of seeded random weights."""
    torch.manual_seed(seed)
    model = RfDetrForInstanceSegmentation(rf_detr_seg_config())
    folder = VARIANTS["tiny"].default_weights
    model.model.load_state_dict(RfDetrForObjectDetection.from_pretrained(folder).state_dict())
    return model


@click.command()
@training_options(
    {
        "--head-steps": (300, "Steps of the head alone, on the frozen detector."),
        "--all-steps": (1400, "Steps of everything after that."),
    }
)
def main(head_steps: int, all_steps: int, stop_after: int | None, seed: int, out: Path) -> None:
    """Train tiny-seg; a run that was interrupted continues where the folder's checkpoint ends."""
    run(MaskTraining(Recipe(head_steps, all_steps, seed=seed, stop_after=stop_after)), out, masks=True)


if __name__ == "__main__":
    main()
