"""The record of a run: every time that was measured, and what is needed to judge them; as JSON, and read back.

What follows from the times (percentiles, ratios, the verdict on a budget) is in the JSON for scripts, and is computed again
from the times where a record is read.
"""

from __future__ import annotations

import importlib.resources
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.foreign_json import REPORT, conform, read_json
from detr2litert.verify.bench.budget import Budget
from detr2litert.verify.bench.interleave import Frames
from detr2litert.verify.bench.machine import Machine
from detr2litert.verify.bench.pipeline import Pipelined
from detr2litert.verify.bench.ratio import Ratio
from detr2litert.verify.bench.scaling import Scaled
from detr2litert.verify.bench.setup import Setup
from detr2litert.verify.bench.stages import FRAME, GRAPHS, Summary, summarise
from detr2litert.verify.report.report import plain

SCHEMA_VERSION = 1
DETECTOR_ALONE = "detector alone"
"""The part of a frame that is neither decoding, pre- nor post-processing."""


@dataclass(frozen=True)
class ContenderRecord:
    """What was measured of one contender.

    Attributes:
        name, setup, notes, variant: see ``Contender``.
        start_up_ms: from loading it to its first detections, compilation included.
        frames: timed in turns with the other contenders.
        pipelined: a run with pre-loading, if one was asked for.
        scaled: throughput by batch size or number of threads, if asked for.
        not_scaled: why there is none although it was asked for, "" otherwise.
    """

    name: str
    setup: Setup
    notes: tuple[str, ...]
    variant: str
    start_up_ms: float
    frames: Frames
    pipelined: Pipelined | None = None
    scaled: tuple[Scaled, ...] = ()
    not_scaled: str = ""

    @property
    def summary(self) -> dict[str, Summary]:
        """The figures of each stage and of the whole frame."""
        return {stage: summarise(times) for stage, times in self.frames.stages.items()}

    def part(self, name: str) -> tuple[float, ...]:
        """Returns the milliseconds of each frame's ``FRAME`` or ``DETECTOR_ALONE``."""
        if name == FRAME:
            return self.frames.stages[FRAME]
        stages = [times for stage, times in self.frames.stages.items() if stage in GRAPHS]
        return tuple(sum(times) for times in zip(*stages, strict=True))


@dataclass(frozen=True)
class Comparison:
    """Two contenders' ratio.

    Attributes:
        first, second: their names.
        part: ``FRAME`` or ``DETECTOR_ALONE``.
        ratio: time of the first as a multiple of the second's.
        saved: whether the second is from a saved record.
        differences: in what the set-ups differ, although compared.
    """

    first: str
    second: str
    part: str
    ratio: Ratio
    saved: bool
    differences: tuple[str, ...]


@dataclass(frozen=True)
class BenchRecord:
    """A run.

    Attributes:
        created: ISO 8601 time.
        machine: at the start.
        load_after: average number of busy cores in the minute before the end; the run's own threads count.
        pictures: how many.
        pictures_sha256: of their contents.
        runs, warm_up: timed and untimed frames of each contender.
        seed: of the order of the turns.
        contenders: in the order of the command line.
        comparisons: of the first contender with the others and with saved records.
        budget: None if none was given.
    """

    created: str
    machine: Machine
    load_after: float
    pictures: int
    pictures_sha256: str
    runs: int
    warm_up: int
    seed: int
    contenders: tuple[ContenderRecord, ...]
    comparisons: tuple[Comparison, ...] = ()
    budget: Budget | None = None

    def to_json(self) -> dict[str, Any]:
        """Returns a JSON-ready record."""
        data = asdict(self)
        for written, contender in zip(data["contenders"], self.contenders, strict=True):
            written["summary"] = {stage: asdict(summary) for stage, summary in contender.summary.items()}
        if self.budget is not None:
            data["budget"]["kept"] = self.budget.kept
        ready: dict[str, Any] = plain({"schema_version": SCHEMA_VERSION, "kind": "bench", **data})
        return ready

    @classmethod
    def from_json(cls, data: Any) -> BenchRecord:
        """Parses the result of ``to_json``, without what follows from the times.

        Raises:
            ValueError: it is something else, or its frames do not fit together.
        """
        if isinstance(data, Mapping) and data.get("kind") == "bench" and data.get("schema_version") != SCHEMA_VERSION:
            raise ValueError(
                f"it has schema version {str(data.get('schema_version'))[:20]}, and this program reads {SCHEMA_VERSION}"
            )
        data = conform(data, _schema())
        fields = {name: data[name] for name in _OWN}
        contenders = tuple(_contender(item) for item in data["contenders"])
        return cls(**fields, machine=Machine(**data["machine"]), contenders=contenders)


_OWN = ("created", "load_after", "pictures", "pictures_sha256", "runs", "warm_up", "seed")


def read_record(path: Path) -> BenchRecord:
    """Reads a record that ``detr2litert bench --json`` printed.

    Raises:
        UserError: it cannot be read or is something else.
    """
    data = read_json(path, "what `detr2litert bench --json` printed", REPORT)
    try:
        return BenchRecord.from_json(data)
    except ValueError as error:
        raise UserError(f"{path}: not a record of `detr2litert bench` ({error}); save one with --json > FILE.json") from error


def _contender(item: Mapping[str, Any]) -> ContenderRecord:
    stages = {stage: tuple(times) for stage, times in item["frames"]["stages"].items()}
    lengths = {len(times) for times in stages.values()}
    if len(lengths) != 1 or FRAME not in stages or not set(GRAPHS) & set(stages):
        raise ValueError(f"the stages of {item['name'][:80]!r} do not have the same frames, or lack the detector")
    pipelined = item["pipelined"]
    record = ContenderRecord(
        name=item["name"],
        setup=Setup(**item["setup"]),
        notes=tuple(item["notes"]),
        variant=item["variant"],
        start_up_ms=item["start_up_ms"],
        frames=Frames(stages, item["frames"]["detections"]),
        pipelined=None if pipelined is None else Pipelined(tuple(pipelined["latency"]), pipelined["frames_per_second"]),
        scaled=tuple(Scaled(**row) for row in item["scaled"]),
        not_scaled=item["not_scaled"],
    )
    if min(record.part(DETECTOR_ALONE)) <= 0:
        raise ValueError(f"the detector of {item['name'][:80]!r} takes no time")
    return record


def _schema() -> dict[str, Any]:
    text = importlib.resources.files(__package__).joinpath("record.schema.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema
