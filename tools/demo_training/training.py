"""What the training commands share: their options, and a run in two phases that continues where it was interrupted.

The new parts are trained alone first, on the frozen detector that they were added to, then everything. Seeded: the same command
on the same machine and thread count gives the same weights, since every step draws from a generator of its own.
"""

from __future__ import annotations

import json
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from tools.demo_training.detectors import DEMO_DETECTORS
from tools.demo_training.pool import Pool, Targets

Main = Callable[..., None]


def training_options(steps: Mapping[str, tuple[int, str]], threads: int = 1) -> Callable[[Main], Main]:
    """Adds the options of a training command, of which the number of threads is set before it is called, not passed on.

    Args:
        steps: the command's numbers of steps, by option: the default, and what they are of.
        threads: the default number.
    """
    own = [click.option(name, default=default, show_default=True, help=text) for name, (default, text) in steps.items()]
    shared = [
        click.option("--stop-after", default=None, type=int, help="Steps to run  [default: all]."),
        click.option("--seed", default=0, show_default=True),
        click.option(
            "--threads", default=threads, show_default=True, help="Torch threads; part of what makes a run reproducible."
        ),
        click.option(
            "--out", type=click.Path(path_type=Path), required=True, help="Folder for config.json and model.safetensors."
        ),
    ]

    def decorate(main: Main) -> Main:
        @wraps(main)
        def with_threads(*args: Any, threads: int, **options: Any) -> None:
            torch.set_num_threads(threads)
            main(*args, **options)

        # Click lists the options in the order of decorators in the source, which are applied from the last to the first.
        command: Main = with_threads
        for option in reversed([*own, *shared]):
            command = option(command)
        return command

    return decorate


@dataclass(frozen=True)
class Recipe:
    """Everything that determines the weights, on one machine and thread count.

    Attributes:
        head_steps: steps of the new parts alone; then
        all_steps: steps of everything. Each has a cosine of its own.
        stop_after: steps of both after which to stop early, if given; no schedule is shortened.
    """

    head_steps: int
    all_steps: int
    batch: int = 16
    pool: int = 8000
    head_lr: float = 1e-3
    all_lr: float = 4e-4
    weight_decay: float = 1e-4
    warm_up: int = 50
    clip: float = 1.0
    ema: float = 0.99
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


class Training(ABC):
    """A model in training, its averaged weights and its optimiser: everything that a checkpoint holds."""

    def __init__(self, recipe: Recipe, model: nn.Module) -> None:
        self.recipe = recipe
        self.step = 0
        self.model: Any = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        ema = torch.optim.swa_utils.get_ema_multi_avg_fn(recipe.ema)  # type: ignore[no-untyped-call]
        self.average = torch.optim.swa_utils.AveragedModel(self.model, multi_avg_fn=ema)
        self.optimiser = torch.optim.AdamW(self.model.parameters(), lr=recipe.head_lr, weight_decay=recipe.weight_decay)
        self.detector = DEMO_DETECTORS["tiny"]

    @abstractmethod
    def losses(self, pixels: Tensor, targets: Targets, generator: torch.Generator) -> dict[str, Tensor]:
        """Returns the losses of a batch by name, weighted; their sum is minimised."""

    def advance(self, pool: Pool) -> dict[str, float]:
        """Takes one step; returns its losses."""
        rng = np.random.default_rng((self.recipe.seed, self.step))
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        pixels, targets = pool.draw(rng, self.recipe.batch)
        losses = self.losses(pixels, targets, generator)
        for group in self.optimiser.param_groups:
            group["lr"] = self.recipe.learning_rate(self.step)
        self.optimiser.zero_grad(set_to_none=True)
        sum(losses.values()).backward()  # type: ignore[union-attr]
        nn.utils.clip_grad_norm_([p for p in self.model.parameters() if p.grad is not None], self.recipe.clip)
        self.optimiser.step()
        self.average.update_parameters(self.model)
        self.step += 1
        return {name: float(loss.detach()) for name, loss in losses.items()}

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


def run(
    training: Training, out: Path, masks: bool, dtype: torch.dtype = torch.float32, log_every: int = 25, save_every: int = 50
) -> None:
    """Trains, and writes a transformers folder (config.json, model.safetensors) of the averaged weights to ``out``.

    Args:
        training: at its first step.
        out: also holds the checkpoint (checkpoint.safetensors) until training completes.
        masks: whether the losses need those of the objects.
        dtype: of the written weights.
        log_every, save_every: steps between two lines, and between two checkpoints.
    """
    recipe = training.recipe
    out.mkdir(parents=True, exist_ok=True)
    checkpoint = out / "checkpoint.safetensors"
    if checkpoint.exists():
        training.resume(checkpoint)
        click.echo(f"continues after step {training.step}")
    parameters = sum(p.numel() for p in training.model.parameters()) / 1e6
    click.echo(f"{parameters:.2f} M parameters; rendering {recipe.pool} scenes")
    pool = Pool.rendered(recipe.pool, start=recipe.seed * recipe.pool, processes=1, masks=masks)
    started, first = time.time(), training.step
    running: dict[str, float] = {}
    while training.step < recipe.steps:
        for name, loss in training.advance(pool).items():
            running[name] = running.get(name, 0.0) + loss / log_every
        if training.step % log_every == 0:
            seconds = (time.time() - started) / (training.step - first)
            shown = "  ".join(f"{name} {loss:6.3f}" for name, loss in running.items())
            click.echo(f"step {training.step:5d}  {shown}  {seconds:.2f} s/step")
            running.clear()
        if training.step % save_every == 0:
            training.save(checkpoint)
    training.average.module.to(dtype).save_pretrained(out)  # type: ignore[operator]
    checkpoint.unlink(missing_ok=True)
