"""Contenders that compute nothing, and a record made by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from detr2litert.verify.bench.contender import Inferred, Picture, Prepared
from detr2litert.verify.bench.interleave import Frames
from detr2litert.verify.bench.machine import Machine
from detr2litert.verify.bench.record import BenchRecord, ContenderRecord
from detr2litert.verify.bench.setup import Setup
from detr2litert.verify.bench.stages import DETECTOR, FRAME, POSTPROCESS, PREPROCESS

SETUP = Setup("LiteRT", "cpu", "", "", False, 2, "fp32", "portable", 8, 8, "0" * 64)
MACHINE = Machine("2026-11-27", "Debian", "CPU", 2, 8 * 10**9, 0.1, "performance", {"Python": "3.11.7", "numpy": "2.4.6"})


class FakeContender:
    """Reports the milliseconds that it is given, and notes each call in ``calls``, which several may share."""

    def __init__(self, name: str = "fake", calls: list[tuple[str, Any]] | None = None, setup: Setup = SETUP) -> None:
        self.name = name
        self.setup = setup
        self.notes: tuple[str, ...] = ()
        self.variant = ""
        self.calls = [] if calls is None else calls
        self.closed = False

    def prepare(self, picture: Picture) -> Prepared:
        self.calls.append((self.name, picture))
        return Prepared(np.zeros((1, 3, 8, 8), np.float32), (8, 8), {PREPROCESS: 1.0})

    def infer(self, prepared: Prepared) -> Inferred:
        return Inferred({DETECTOR: 2.0, POSTPROCESS: 0.5}, 3)

    def close(self) -> None:
        self.closed = True


class FakeBatches(FakeContender):
    """Computes batches, of which it notes the sizes."""

    fixed_batch: int | None = None

    def infer_batch(self, prepared: list[Prepared]) -> Inferred:
        self.calls.append((self.name, len(prepared)))
        return Inferred({DETECTOR: 2.0}, len(prepared))


def contender(name: str = "tiny", frame: Sequence[float] = (10.0, 12.0, 11.0), **setup: Any) -> ContenderRecord:
    """A contender whose detector takes all but a millisecond of each frame."""
    stages: Mapping[str, tuple[float, ...]] = {
        PREPROCESS: tuple(1.0 for _ in frame),
        DETECTOR: tuple(time - 1.0 for time in frame),
        FRAME: tuple(frame),
    }
    return ContenderRecord(name, replace(SETUP, **setup), (), "tiny", 50.0, Frames(stages, 6))


def record(*contenders: ContenderRecord, **fields: Any) -> BenchRecord:
    """A run of these contenders, or of one."""
    made = contenders or (contender(),)
    runs = len(made[0].frames.stages[FRAME])
    given = BenchRecord("2026-11-27T12:00:00+00:00", MACHINE, 1.0, 1, "ab" * 32, runs, 3, 0, tuple(made))
    return replace(given, **fields)


PICTURES = (Path("one.png"), Path("two.png"))
