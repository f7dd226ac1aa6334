"""Trains tiny-keypoints: tiny's trained detector, whose queries get the corners of the shapes as keypoints.

``python -m tools.demo_training.train_keypoints``: first the decoder alone, where the keypoints are, on the frozen backbone,
then everything at a smaller rate. The loss of boxes and classes is transformers' own, that of the keypoints that of
``keypoint_loss``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import torch
from torch import Tensor
from transformers import RfDetrForObjectDetection
from transformers.loss.loss_lw_detr import LwDetrHungarianMatcher, LwDetrImageLoss

from detr2litert.convert.demo.corners import COUNTS
from detr2litert.convert.demo.scenes import CLASSES
from detr2litert.convert.models.keypoints.detector import KeypointOutput, RfDetrForKeypointDetection, RfDetrKeypointConfig
from detr2litert.convert.models.variants import VARIANTS
from tools.demo_training.detectors import rf_detr_config
from tools.demo_training.keypoint_loss import keypoint_losses
from tools.demo_training.pool import Targets
from tools.demo_training.training import Recipe, Training, run, training_options

_COUNTS = [COUNTS[name] for name in CLASSES]
_WEIGHTS = {"distance": 2.0, "likelihood": 0.5, "findable": 0.5, "visible": 0.5}
_FROZEN = ("model.backbone.", "model.enc_")


class KeypointTraining(Training):
    """The training of tiny-keypoints."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe, untrained(recipe.seed))
        config = self.model.config
        matcher = LwDetrHungarianMatcher(config.class_cost, config.bbox_cost, config.giou_cost)
        self.criterion = LwDetrImageLoss(matcher, config.num_labels, config.focal_alpha, ["labels", "boxes"], 1).eval()

    def losses(self, pixels: Tensor, targets: Targets, generator: torch.Generator) -> dict[str, Tensor]:
        """Sums the losses of all decoder layers."""
        self.model.eval()
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(self.step >= self.recipe.head_steps or not name.startswith(_FROZEN))
        losses: dict[str, Tensor] = {}
        for layer in self.model.layers_of(self.detector.normalise(pixels)):
            for name, loss in self._of_layer(layer, targets):
                losses[name] = losses.get(name, torch.zeros(())) + loss
        return losses

    def _of_layer(self, found: KeypointOutput, targets: Targets) -> Iterator[tuple[str, Tensor]]:
        config = self.model.config
        output = {"logits": found.logits, "pred_boxes": found.pred_boxes}
        matches = self.criterion.matcher(output, targets, 1)
        objects = max(1, sum(len(target["class_labels"]) for target in targets))
        classes = self.criterion.get_loss("labels", output, targets, matches, objects)
        boxes = self.criterion.get_loss("boxes", output, targets, matches, objects)
        yield "classes", config.class_loss_coefficient * classes["loss_ce"]
        yield "boxes", config.bbox_loss_coefficient * boxes["loss_bbox"] + config.giou_loss_coefficient * boxes["loss_giou"]
        for name, loss in keypoint_losses(found.pred_keypoints, targets, matches, _COUNTS).items():
            yield name, _WEIGHTS[name] * loss


def rf_detr_keypoint_config() -> RfDetrKeypointConfig:
    """Returns tiny's architecture with the corners of each class."""
    return RfDetrKeypointConfig(**rf_detr_config().to_dict(), keypoints_per_class=_COUNTS, keypoint_score_weight=0.0)


def untrained(seed: int) -> RfDetrForKeypointDetection:
    """Returns tiny's trained detector with seeded random keypoints; their projector begins as the detector's."""
    torch.manual_seed(seed)
    model = RfDetrForKeypointDetection(rf_detr_keypoint_config())
    trained = RfDetrForObjectDetection.from_pretrained(VARIANTS["tiny"].default_weights).state_dict()
    model.load_state_dict(trained, strict=False)
    model.keypoint_projector.load_state_dict(model.model.backbone.projector.state_dict())
    return model


@click.command()
@training_options(
    {
        "--head-steps": (700, "Steps of the decoder alone, on the frozen backbone."),
        "--all-steps": (900, "Steps of everything after that."),
    }
)
def main(head_steps: int, all_steps: int, stop_after: int | None, seed: int, out: Path) -> None:
    """Train tiny-keypoints; a run that was interrupted continues where the folder's checkpoint ends."""
    recipe = Recipe(head_steps, all_steps, seed=seed, stop_after=stop_after)
    # In 16 bits, to be no larger than the other demo detectors.
    run(KeypointTraining(recipe), out, masks=False, dtype=torch.float16)


if __name__ == "__main__":
    main()
