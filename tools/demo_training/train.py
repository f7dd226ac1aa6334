"""Trains a demo detector from scratch on rendered scenes: ``python -m tools.demo_training.train VARIANT``.

The recipe is transformers' own set loss of the detector plus a dense auxiliary loss that exists in training only.

Seeded throughout: the same command on the same machine and thread count gives the same weights.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import torch
from torch import Tensor, nn

from tools.demo_training.dense_head import DenseHead
from tools.demo_training.detectors import DEMO_DETECTORS, DemoDetector
from tools.demo_training.pool import Pool
from tools.demo_training.training import training_options


@dataclass(frozen=True)
class Recipe:
    """Everything that determines the weights, on one machine and thread count.

    Attributes:
        steps: length of the learning rate's schedule.
        stop_after: steps after which to stop early; the schedule is not shortened.
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


def _learning_rate(recipe: Recipe, step: int) -> float:
    if step < recipe.warm_up:
        return recipe.peak_lr * (step + 1) / recipe.warm_up
    done = (step - recipe.warm_up) / max(1, recipe.steps - recipe.warm_up)
    return recipe.peak_lr * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))


def train(detector: DemoDetector, recipe: Recipe, out: Path, log_every: int = 50, save_every: int = 500) -> None:
    """Trains and writes a transformers folder (config.json, model.safetensors) of the averaged weights to ``out``."""
    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng(recipe.seed)
    model = detector.build().train().to(memory_format=torch.channels_last)
    module, channels = detector.features(model)
    dense = DenseHead(channels)
    features: list[Tensor] = []
    module.register_forward_hook(lambda _m, _i, output: features.append(output[0] if isinstance(output, tuple) else output))
    ema = torch.optim.swa_utils.get_ema_multi_avg_fn(recipe.ema)  # type: ignore[no-untyped-call]
    average = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=ema)
    parameters = [p for p in (*model.parameters(), *dense.parameters()) if p.requires_grad]
    optimiser = torch.optim.AdamW(parameters, lr=recipe.peak_lr, weight_decay=recipe.weight_decay)
    click.echo(f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters; rendering {recipe.pool} scenes")
    pool = Pool.rendered(recipe.pool, start=recipe.seed * recipe.pool, processes=2)
    started, running = time.time(), 0.0
    for step in range(recipe.stop_after):
        for group in optimiser.param_groups:
            group["lr"] = _learning_rate(recipe, step)
        pixels, targets = pool.draw(rng, recipe.batch)
        features.clear()
        loss = model(pixel_values=detector.normalise(pixels), labels=targets).loss
        auxiliary = dense.loss(features[0], targets)
        optimiser.zero_grad(set_to_none=True)
        (loss + detector.dense_weight * auxiliary).backward()
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
            settle_statistics(average.module, detector, pool)
            average.module.save_pretrained(out)  # type: ignore[operator]


def settle_statistics(model: nn.Module, detector: DemoDetector, pool: Pool, batches: int = 32, batch: int = 16) -> None:
    """Measures the batch norms' statistics again: those of the individual weights do not fit the averaged ones."""
    pixels = (pool.plain(slice(i * batch, (i + 1) * batch)) for i in range(min(batches, len(pool.images) // batch)))
    torch.optim.swa_utils.update_bn((detector.normalise(p) for p in pixels), model)


@click.command()
@click.argument("variant", type=click.Choice(list(DEMO_DETECTORS)))
@training_options({"--steps": (5000, "Optimiser steps; the schedule is a cosine over all of them.")}, threads=2)
def main(variant: str, steps: int, stop_after: int | None, seed: int, out: Path) -> None:
    """Train the demo detector VARIANT."""
    train(DEMO_DETECTORS[variant], Recipe(steps, min(stop_after or steps, steps), seed=seed), out)


if __name__ == "__main__":
    main()
