"""Whether a frame keeps a budget of time, and which smaller variant would.

The time of a variant that was not measured is estimated: what a frame spends outside the detector stays as it is, and the
detector's time shrinks as its multiply-adds do. That is a rule of thumb (a small detector uses a processor less well than a
large one), so the estimate only says what to convert and measure next. Multiply-adds of every variant at its published size are
recorded in ``multiply_adds.json``, counted by PyTorch's FlopCounterMode (``python -m tools.benchmark.multiply_adds``).
"""

from __future__ import annotations

import functools
import importlib.resources
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from detr2litert.host_runtime.errors import UserError
from detr2litert.verify.bench.stages import FRAME, GRAPHS, summarise

_TEXT = re.compile(r"\s*([0-9]*\.?[0-9]+)\s*(ms|s|)\s*", re.IGNORECASE)
_LONGEST = 1e6  # milliseconds


@dataclass(frozen=True)
class Size:
    """A variant's arithmetic.

    Attributes:
        family: that it belongs to.
        macs: multiply-adds of a frame.
        height, width: of the input that they were counted for.
        demo: whether it is one of this project's demo detectors, which no budget is advised to meet.
    """

    family: str
    macs: float
    height: int
    width: int
    demo: bool = False


@dataclass(frozen=True)
class Smaller:
    """A variant that would keep the budget, by an estimate.

    Attributes:
        variant: its name.
        p95: estimated milliseconds of a whole frame.
        share: its multiply-adds, as a share of the measured detector's.
        height, width: of its published input; the measured detector itself may have a larger one.
    """

    variant: str
    p95: float
    share: float
    height: int
    width: int


@dataclass(frozen=True)
class Budget:
    """What a budget of time says about one contender.

    Attributes:
        milliseconds: the budget.
        contender: its name.
        p95: of the whole frame, milliseconds.
        measured: names of the other contenders of this run that keep it, the slowest first.
        smaller: the largest variant of the same family that would keep it, by an estimate; None if there is none, if the budget
            is kept, or if the contender's variant is not known.
    """

    milliseconds: float
    contender: str
    p95: float
    measured: tuple[str, ...]
    smaller: Smaller | None

    @property
    def kept(self) -> bool:
        """Whether 95 of 100 frames take no longer than the budget."""
        return self.p95 <= self.milliseconds


def parse_budget(text: str) -> float:
    """Returns the milliseconds of ``"33ms"``, ``"33"`` or ``"0.033 s"``.

    Raises:
        UserError: it is no such text, or not positive.
    """
    found = _TEXT.fullmatch(text)
    milliseconds = float(found[1]) * (1000 if found[2].lower() == "s" else 1) if found else math.nan
    if not 0 < milliseconds <= _LONGEST:
        raise UserError(f"--budget {text}: not a time above 0; give milliseconds, such as 33ms")
    return milliseconds


@functools.cache
def variant_sizes() -> Mapping[str, Size]:
    """Returns the recorded arithmetic of every variant, by name."""
    text = importlib.resources.files(__package__).joinpath("multiply_adds.json").read_text(encoding="utf-8")
    return {name: Size(**row) for name, row in json.loads(text).items()}


def judge_budget(
    milliseconds: float,
    contender: str,
    frames: Mapping[str, Mapping[str, Sequence[float]]],
    variant: str,
    pixels: int,
    sizes: Mapping[str, Size],
) -> Budget:
    """Judges a contender by its p95.

    Args:
        milliseconds: the budget.
        contender: whose frame is judged.
        frames: contender to stage to milliseconds of every frame, of all that ran.
        variant: of the contender, "" if it is not known.
        pixels: height × width of its input.
        sizes: every variant's arithmetic, see ``variant_sizes``.
    """
    own = frames[contender]
    p95 = summarise(own[FRAME]).p95
    if p95 <= milliseconds:
        return Budget(milliseconds, contender, p95, (), None)
    others = {name: summarise(stages[FRAME]).p95 for name, stages in frames.items() if name != contender}
    keeping = sorted((name for name, other in others.items() if other <= milliseconds), key=lambda name: -others[name])
    detector = sum(summarise(own[stage]).median for stage in GRAPHS if stage in own)
    smaller = _largest_that_keeps(milliseconds, p95, detector, variant, pixels, sizes)
    return Budget(milliseconds, contender, p95, tuple(keeping), smaller)


def _largest_that_keeps(
    milliseconds: float, p95: float, detector: float, variant: str, pixels: int, sizes: Mapping[str, Size]
) -> Smaller | None:
    size = sizes.get(variant)
    if size is None:
        return None
    # Another input size than the published one: convolutions and windowed attention grow with the pixels.
    macs = size.macs * pixels / (size.height * size.width)
    found = []
    for name, other in sizes.items():
        share = other.macs / macs
        estimate = p95 - (1 - share) * detector
        if other.family == size.family and not other.demo and share < 1 and estimate <= milliseconds:
            found.append(Smaller(name, estimate, share, other.height, other.width))
    return max(found, key=lambda smaller: smaller.share, default=None)
