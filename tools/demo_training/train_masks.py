"""Trains tiny-seg: tiny's trained detector with the head that gives its queries masks.

``python -m tools.demo_training.train_masks``: first the head alone, on the frozen detector, then everything at a small rate,
with transformers' own set loss for boxes and classes beside the masks' (``mask_loss``).

Seeded: the same command on the same machine and thread count gives the same weights. A run that was interrupted continues from
its last checkpoint, since every step draws from a generator of its own.
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import RfDetrForInstanceSegmentation, RfDetrForObjectDetection

from detr2litert.convert.models.variants import VARIANTS
from tools.demo_training.detectors import DEMO_DETECTORS, rf_detr_seg_config
from tools.demo_training.mask_loss import mask_loss, match, matched_masks
from tools.demo_training.pool import Pool, Targets


@dataclass(frozen=True)
class Recipe:
    """Everything that determines the weights, on one machine and thread count.

    Attributes:
        head_steps: steps of the head alone; then
        all_steps: steps of everything. Each has a cosine of its own.
        stop_after: steps of both after which to stop early, if given; no schedule is shortened.
    """

    head_steps: int
    all_steps: int
    batch: int = 16
    pool: int = 8000
    head_lr: float = 1e-3
    all_lr: float = 2e-4
    weight_decay: float = 1e-4
    warm_up: int = 50
    clip: float = 1.0
    ema: float = 0.99
    mask_weight: float = 5.0
    seed: int = 0
    stop_after: int | None = None

    @property
    def steps(self) -> int:
        """Returns the number of steps to take."""
        whole = self.head_steps + self.all_steps
        return whole if self.stop_after is None else min(whole, self.stop_after)

    def learning_rate(self, step: int) -> float:
        """Returns the rate of a step, counted from 0 over both phases."""
        done, steps, peak = step, self.head_steps, self.head_lr
        if step >= self.head_steps:
            done, steps, peak = step - self.head_steps, self.all_steps, self.all_lr
        return peak * min(1, (done + 1) / self.warm_up) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done / steps)))


class Training:
    """A model in training, its averaged weights and its optimiser: everything that a checkpoint holds."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.step = 0
        self.model = untrained(recipe.seed).to(memory_format=torch.channels_last)
        ema = torch.optim.swa_utils.get_ema_multi_avg_fn(recipe.ema)  # type: ignore[no-untyped-call]
        self.average = torch.optim.swa_utils.AveragedModel(self.model, multi_avg_fn=ema)
        self.optimiser = torch.optim.AdamW(self.model.parameters(), lr=recipe.head_lr, weight_decay=recipe.weight_decay)
        self.detector = DEMO_DETECTORS["tiny"]

    def losses(self, pixels: Tensor, targets: Targets, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Returns the set loss of the detector, 0 while it is frozen, and that of the masks."""
        frozen = self.step < self.recipe.head_steps
        self.model.train(not frozen)
        with torch.set_grad_enabled(not frozen):
            labels = None if frozen else [{name: target[name] for name in ("boxes", "class_labels")} for target in targets]
            output = self.model.model(pixel_values=self.detector.normalise(pixels), labels=labels)
        matches = match(output.logits, output.pred_boxes, targets, 1 if frozen else self.model.config.group_detr)
        objects = torch.cat([target["masks"][which] for target, (_, which) in zip(targets, matches, strict=True)])
        total = torch.zeros(())
        for masks in matched_masks(self.model, output.backbone_features, output.intermediate_hidden_states, matches):
            total = total + sum(mask_loss(masks, objects, generator))
        return torch.zeros(()) if frozen else output.loss, total

    def advance(self, pool: Pool) -> tuple[float, float]:
        """Takes one step; returns its losses."""
        rng = np.random.default_rng((self.recipe.seed, self.step))
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        pixels, targets = pool.draw(rng, self.recipe.batch)
        boxes, masks = self.losses(pixels, targets, generator)
        for group in self.optimiser.param_groups:
            group["lr"] = self.recipe.learning_rate(self.step)
        self.optimiser.zero_grad(set_to_none=True)
        (boxes + self.recipe.mask_weight * masks).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_([p for p in self.model.parameters() if p.grad is not None], self.recipe.clip)
        self.optimiser.step()
        self.average.update_parameters(self.model)
        self.step += 1
        return float(boxes.detach()), float(masks.detach())

    def save(self, path: Path) -> None:
        """Writes a checkpoint, replacing the last one only when it is whole."""
        tensors = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        tensors |= {f"average.{name}": value for name, value in self.average.state_dict().items()}
        for index, state in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{index}.{name}": value for name, value in state.items()}
        part = path.with_suffix(".part")
        save_file({name: value.contiguous() for name, value in tensors.items()}, part, {"step": json.dumps(self.step)})
        part.replace(path)

    def resume(self, path: Path) -> None:
        """Reads a checkpoint."""
        with safe_open(path, "pt") as file:
            self.step = json.loads(file.metadata()["step"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        parts: dict[str, dict[str, Tensor]] = {"model": {}, "average": {}, "optimiser": {}}
        for name, value in tensors.items():
            part, rest = name.split(".", 1)
            parts[part][rest] = value
        self.model.load_state_dict(parts["model"])
        self.average.load_state_dict(parts["average"])
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in parts["optimiser"].items():
            index, key = name.split(".")
            state.setdefault(int(index), {})[key] = value
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": state})


def untrained(seed: int) -> RfDetrForInstanceSegmentation:
    """Returns tiny's trained detector with a head of seeded random weights."""
    torch.manual_seed(seed)
    model = RfDetrForInstanceSegmentation(rf_detr_seg_config())
    folder = VARIANTS["tiny"].default_weights
    model.model.load_state_dict(RfDetrForObjectDetection.from_pretrained(folder).state_dict())
    return model


def train(recipe: Recipe, out: Path, log_every: int = 25, save_every: int = 50) -> None:
    """Trains, and writes a transformers folder (config.json, model.safetensors) of the averaged weights to ``out``.

    ``out`` also holds the checkpoint (checkpoint.safetensors) until training completes.
    """
    out.mkdir(parents=True, exist_ok=True)
    checkpoint = out / "checkpoint.safetensors"
    training = Training(recipe)
    if checkpoint.exists():
        training.resume(checkpoint)
        click.echo(f"continues after step {training.step}")
    parameters = sum(p.numel() for p in training.model.parameters()) / 1e6
    click.echo(f"{parameters:.2f} M parameters; rendering {recipe.pool} scenes")
    pool = Pool.rendered(recipe.pool, start=recipe.seed * recipe.pool, processes=1, masks=True)
    started, first = time.time(), training.step
    running = np.zeros(2)
    while training.step < recipe.steps:
        running += training.advance(pool)
        if training.step % log_every == 0:
            boxes, masks = running / log_every
            seconds = (time.time() - started) / (training.step - first)
            click.echo(f"step {training.step:5d}  set loss {boxes:7.3f}  masks {masks:6.3f}  {seconds:.2f} s/step")
            running[:] = 0
        if training.step % save_every == 0:
            training.save(checkpoint)
    training.average.module.save_pretrained(out)  # type: ignore[operator]
    checkpoint.unlink(missing_ok=True)


@click.command()
@click.option("--head-steps", default=600, show_default=True, help="Steps of the head alone, on the frozen detector.")
@click.option("--all-steps", default=400, show_default=True, help="Steps of everything after that.")
@click.option("--stop-after", default=None, type=int, help="Steps to run  [default: all].")
@click.option("--seed", default=0, show_default=True)
@click.option("--threads", default=1, show_default=True, help="Torch threads; part of what makes a run reproducible.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for config.json and model.safetensors.")
def main(head_steps: int, all_steps: int, stop_after: int | None, seed: int, threads: int, out: Path) -> None:
    """Train tiny-seg; a run that was interrupted continues where the folder's checkpoint ends."""
    torch.set_num_threads(threads)
    train(Recipe(head_steps, all_steps, seed=seed, stop_after=stop_after), out)


if __name__ == "__main__":
    main()
