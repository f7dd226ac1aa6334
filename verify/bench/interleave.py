"""Runs contenders in turns, in a random order that a seed fixes.

A machine's speed drifts: it heats up, other programs come and go. Contenders measured one after the other would differ by that
drift. Here every contender runs once in each turn, on the same picture, in an order that is drawn anew for each turn, so that
none always runs first or after the same other.

With several contenders, each one's frame of a turn is preceded by an untimed one: the other's threads, which may spin for some
milliseconds after their work, have gone to sleep, and the caches hold this contender's weights, as they do where it runs alone.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from detr2litert.verify.bench.contender import Contender, Picture
from detr2litert.verify.bench.stages import FRAME, STAGES
from detr2litert.verify.gates import Doing, unheard

WARM_UP = 3


@dataclass(frozen=True)
class Frames:
    """One contender's timed frames.

    Attributes:
        stages: stage to milliseconds of each frame, in the order of the turns; ``FRAME`` is the wall time of all of them.
        detections: over all frames; contenders of the same detector should find about as many.
    """

    stages: Mapping[str, tuple[float, ...]]
    detections: int


def turns(contenders: int, runs: int, seed: int) -> Iterator[tuple[int, ...]]:
    """Yields the order of the contenders in each of ``runs`` turns."""
    generator = np.random.default_rng(seed)
    for _ in range(runs):
        yield tuple(int(index) for index in generator.permutation(contenders))


def run_in_turns(
    contenders: Sequence[Contender],
    pictures: Sequence[Picture],
    runs: int,
    *,
    warm_up: int = WARM_UP,
    seed: int = 0,
    doing: Doing = unheard,
) -> list[Frames]:
    """Times ``runs`` frames of each contender, after ``warm_up`` untimed ones.

    Args:
        contenders: at least one.
        pictures: at least one; turn i uses picture i modulo their number.
        runs: timed frames of each, at least one.
        warm_up: untimed frames of each before the first turn.
        seed: of the order in each turn.
        doing: called with a description of the progress.

    Raises:
        UserError: a picture cannot be read, or a contender cannot compute it.
    """
    for contender in contenders:
        doing(f"{contender.name}: warming up")
        for frame in range(warm_up):
            time_frame(contender, pictures[frame % len(pictures)])
    taken: list[dict[str, list[float]]] = [{} for _ in contenders]
    detections = [0] * len(contenders)
    for turn, order in enumerate(turns(len(contenders), runs, seed)):
        doing(f"turn {turn + 1} of {runs}")
        picture = pictures[turn % len(pictures)]
        for index in order:
            if len(contenders) > 1:
                time_frame(contenders[index], picture)
            stages, found = time_frame(contenders[index], picture)
            detections[index] += found
            for stage, milliseconds in stages.items():
                taken[index].setdefault(stage, []).append(milliseconds)
    order_of_stages = (*STAGES, FRAME)
    return [
        Frames({stage: tuple(times[stage]) for stage in order_of_stages if stage in times}, found)
        for times, found in zip(taken, detections, strict=True)
    ]


def time_frame(contender: Contender, picture: Picture) -> tuple[dict[str, float], int]:
    """Runs one frame; returns the milliseconds of its stages and of the whole, and the number of detections."""
    start = time.perf_counter()
    prepared = contender.prepare(picture)
    inferred = contender.infer(prepared)
    whole = (time.perf_counter() - start) * 1e3
    return {**prepared.milliseconds, **inferred.milliseconds, FRAME: whole}, inferred.detections
