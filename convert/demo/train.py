"""Train the demo detector from scratch on rendered scenes: ``python -m convert.demo.train``.

The recipe is transformers' own set loss (Hungarian matching, group DETR) plus a dense auxiliary loss on the projector's
feature map, which exists in training only: a one-to-many target teaches the backbone what a shape is long before the
matching settles, and makes training from scratch possible in an hour or two on two cores. The auxiliary head is thrown away.

Seeded throughout: the same command on the same machine and thread count gives the same weights.
"""

from __future__ import annotations

import math
import multiprocessing
import time
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import RfDetrConfig, RfDetrForObjectDetection

from convert.demo.scenes import CLASSES, render

SIDE = 160
_PATCH = 10
_MEAN = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
_STD = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)

Targets = list[dict[str, Tensor]]


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the weights, on one machine and thread count.

    Attributes:
        steps: length of the learning rate's schedule.
        stop_after: steps after which to stop all the same; the schedule is not shortened.
    """

    steps: int
    stop_after: int
    batch: int = 16
    pool: int = 8000
    peak_lr: float = 4e-4
    weight_decay: float = 1e-4
    warm_up: int = 200
    clip: float = 0.5
    ema: float = 0.998
    seed: int = 0


def demo_config() -> RfDetrConfig:
    """The demo detector: RF-DETR's architecture at about 1.7 M parameters, 160 × 160 pixels."""
    return RfDetrConfig(
        backbone_config={
            "model_type": "rf_detr_dinov2",
            "image_size": SIDE,
            "patch_size": _PATCH,
            "hidden_size": 128,
            "num_hidden_layers": 6,
            "num_attention_heads": 4,
            "mlp_ratio": 4,
            "num_windows": 2,
            "out_indices": [2, 3, 5, 6],
        },
        d_model=96,
        decoder_layers=2,
        decoder_ffn_dim=256,
        decoder_n_points=2,
        decoder_self_attention_heads=4,
        decoder_cross_attention_heads=6,
        c2f_num_blocks=2,
        num_queries=40,
        group_detr=3,
        dropout=0.0,
        layer_norm_eps=1e-6,
        id2label=dict(enumerate(CLASSES)),
        label2id={name: i for i, name in enumerate(CLASSES)},
    )


class DenseHead(nn.Module):
    """One-to-many training targets on the feature map: every cell near a box's middle predicts its class and box."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.tower = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.SiLU())
        self.out = nn.Conv2d(channels, len(CLASSES) + 4, 1)
        nn.init.zeros_(self.out.weight)
        if self.out.bias is not None:
            nn.init.constant_(self.out.bias[: len(CLASSES)], -math.log(99))

    def loss(self, features: Tensor, targets: Targets) -> Tensor:
        """Focal loss on classes plus GIoU loss on boxes, for features ``[B, C, H, W]``."""
        cells = features.shape[-1]
        prediction = self.out(self.tower(features)).permute(0, 2, 3, 1)
        axis = (torch.arange(cells) + 0.5) / cells
        centre = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1)
        wanted_class = torch.zeros_like(prediction[..., : len(CLASSES)])
        wanted_box = torch.zeros_like(prediction[..., -4:])
        positive = torch.zeros(prediction.shape[:3], dtype=torch.bool)
        for i, target in enumerate(targets):
            order = (target["boxes"][:, 2] * target["boxes"][:, 3]).argsort(descending=True)
            for box, label in zip(target["boxes"][order], target["class_labels"][order], strict=True):
                near = ((centre - box[:2]).abs() < box[2:] * 0.35).all(-1)
                wanted_class[i][near] = F.one_hot(label, len(CLASSES)).to(wanted_class)
                wanted_box[i][near] = box
                positive[i] |= near
        logits = prediction[..., : len(CLASSES)]
        p = logits.sigmoid()
        error = (wanted_class - p).abs()
        focal = F.binary_cross_entropy_with_logits(logits, wanted_class, reduction="none") * error**2
        n = positive.sum().clamp(min=1)
        sides = prediction[..., -4:][positive].clamp(max=4).exp() / 8
        at = centre.expand(len(targets), -1, -1, -1)[positive]
        found = torch.cat([at - sides[:, :2], at + sides[:, 2:]], -1)
        loss: Tensor = focal.sum() / n + 2 * _giou_loss(found, _corners(wanted_box[positive])).sum() / n
        return loss


def _corners(boxes: Tensor) -> Tensor:
    return torch.cat([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2], -1)


def _giou_loss(a: Tensor, b: Tensor) -> Tensor:
    """1 - generalised IoU (Rezatofighi et al., 2019) of paired corner boxes ``[n, 4]``."""
    overlap = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(min=0).prod(-1)
    hull = (torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])).prod(-1)
    union = (a[:, 2:] - a[:, :2]).prod(-1) + (b[:, 2:] - b[:, :2]).prod(-1) - overlap
    return 1 - overlap / union + (hull - union) / hull


@dataclass(frozen=True)
class Pool:
    """Rendered scenes held in memory: images ``[n, S, S, 3]`` uint8, boxes as cx, cy, w, h in [0, 1]."""

    images: np.ndarray
    boxes: list[np.ndarray]
    labels: list[np.ndarray]

    @classmethod
    def rendered(cls, count: int, start: int, processes: int) -> Pool:
        with multiprocessing.Pool(processes) as workers:
            scenes = workers.map(render, range(start, start + count), chunksize=64)
        boxes = []
        for scene in scenes:
            low, high = scene.boxes[:, :2] / SIDE, scene.boxes[:, 2:] / SIDE
            boxes.append(np.concatenate([(low + high) / 2, high - low], 1).astype(np.float32))
        return cls(np.stack([np.asarray(s.image) for s in scenes]), boxes, [s.labels for s in scenes])

    def draw(self, rng: np.random.Generator, batch: int) -> tuple[Tensor, Targets]:
        """A random batch, mirrored, transposed and recoloured: no class depends on direction or colour."""
        images, targets = [], []
        for i in rng.integers(len(self.images), size=batch):
            image, boxes = self.images[i], self.boxes[i].copy()
            if rng.random() < 0.5:
                image = image[:, ::-1]
                boxes[:, 0] = 1 - boxes[:, 0]
            if rng.random() < 0.5:
                image = image[::-1]
                boxes[:, 1] = 1 - boxes[:, 1]
            if rng.random() < 0.5:
                image = image.transpose(1, 0, 2)
                boxes = boxes[:, [1, 0, 3, 2]]
            image = image[..., rng.permutation(3)]
            images.append(255 - image if rng.random() < 0.5 else image)
            targets.append({"boxes": torch.from_numpy(boxes), "class_labels": torch.from_numpy(self.labels[i])})
        pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
        return (pixels - _MEAN) / _STD, targets


def _learning_rate(recipe: Recipe, step: int) -> float:
    if step < recipe.warm_up:
        return recipe.peak_lr * (step + 1) / recipe.warm_up
    done = (step - recipe.warm_up) / max(1, recipe.steps - recipe.warm_up)
    return recipe.peak_lr * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))


def train(recipe: Recipe, out: Path, log_every: int = 50, save_every: int = 500) -> None:
    """Train and write a transformers folder (config.json, model.safetensors) of the averaged weights to ``out``."""
    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng(recipe.seed)
    model = RfDetrForObjectDetection(demo_config()).train()
    dense = DenseHead(model.config.d_model)
    features: list[Tensor] = []
    model.model.backbone.register_forward_hook(lambda _m, _i, output: features.append(output[0]))
    ema = torch.optim.swa_utils.get_ema_multi_avg_fn(recipe.ema)  # type: ignore[no-untyped-call]
    average = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=ema)
    parameters = [*model.parameters(), *dense.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=recipe.peak_lr, weight_decay=recipe.weight_decay)
    click.echo(f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters; rendering {recipe.pool} scenes")
    pool = Pool.rendered(recipe.pool, start=recipe.seed * recipe.pool, processes=2)
    started, running = time.time(), 0.0
    for step in range(recipe.stop_after):
        for group in optimiser.param_groups:
            group["lr"] = _learning_rate(recipe, step)
        pixels, targets = pool.draw(rng, recipe.batch)
        features.clear()
        loss = model(pixel_values=pixels, labels=targets).loss
        auxiliary = dense.loss(features[0], targets)
        optimiser.zero_grad(set_to_none=True)
        (loss + 2 * auxiliary).backward()
        nn.utils.clip_grad_norm_(parameters, recipe.clip)
        optimiser.step()
        average.update_parameters(model)
        running += float(loss.detach())
        if (step + 1) % log_every == 0:
            click.echo(
                f"step {step + 1:5d}  set loss {running / log_every:7.3f}  dense {float(auxiliary.detach()):6.3f}"
                f"  {(time.time() - started) / (step + 1):.2f} s/step"
            )
            running = 0.0
        if (step + 1) % save_every == 0 or step + 1 == recipe.stop_after:
            average.module.save_pretrained(out)  # type: ignore[operator]


@click.command()
@click.option("--steps", default=5000, show_default=True, help="Optimiser steps; the schedule is a cosine over all of them.")
@click.option("--stop-after", default=3000, show_default=True, help="Steps actually taken; the shipped weights took 3000.")
@click.option("--seed", default=0, show_default=True)
@click.option("--threads", default=2, show_default=True, help="Torch threads; part of what makes a run reproducible.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for config.json and model.safetensors.")
def main(steps: int, stop_after: int, seed: int, threads: int, out: Path) -> None:
    """Train the demo detector."""
    torch.set_num_threads(threads)
    train(Recipe(steps, min(stop_after, steps), seed=seed), out)


if __name__ == "__main__":
    main()
