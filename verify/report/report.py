"""The report of a run, as one typed record and as report.json.

The JSON holds everything except the pictures, so that a run can be judged again from it: ``load_report`` then ``judge``. The
HTML page is made from the same record (``verify.report.html``).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.foreign_json import REPORT, escaped, parse_json
from detr2litert.host_runtime.manifest import SettingRecord, Weights
from detr2litert.host_runtime.whole_file import whole_file
from detr2litert.verify.accuracy.outside import outside_note
from detr2litert.verify.gates import Finding, GateResult, Measurement, Verdict, overall
from detr2litert.verify.parity.detections import MatchRow
from detr2litert.verify.report.headroom import RangeRecord
from detr2litert.verify.report.static_int8 import Sweep

SCHEMA_VERSION = 1
_FIRST_GATES = ("rewrites", "lint", "residency", "numerics", "fp16", "host", "detections")
"""The gates expected of reports that do not record ``expected_gates``."""


@dataclass(frozen=True)
class Stage:
    """One stage of a run: its name, wall time, and a short description."""

    name: str
    seconds: float
    detail: str = ""


@dataclass(frozen=True)
class Place:
    """A node that a rewrite looked at: its name, its module's dotted path, and what was done or why nothing was."""

    node: str
    module: str
    text: str


@dataclass(frozen=True)
class RewriteRecord:
    """One rewrite of one graph.

    Attributes:
        graph: ``"detector"`` before the cut, ``"graph_a"`` or ``"graph_b"`` after it, and the files' names once converted.
        name: the rewrite.
        reason: why it is there, in a line.
        fired: how often it fired.
        nodes_before, nodes_after: operators of the graph.
        sites: where it fired.
        misses: where it looked and did not fire; only a rewrite that matches a pattern has any.
    """

    graph: str
    name: str
    reason: str
    fired: int
    nodes_before: int
    nodes_after: int
    sites: tuple[Place, ...] = ()
    misses: tuple[Place, ...] = ()

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> RewriteRecord:
        """Reads a record back; reports of 2026 before December have no places."""
        places = {key: tuple(Place(**place) for place in record.get(key, ())) for key in ("sites", "misses")}
        return cls(**{**record, **places})


@dataclass(frozen=True)
class Scene:
    """One picture with the detections of both sides drawn on it, as PNG bytes (empty when read back from JSON)."""

    name: str
    reference_png: bytes = field(repr=False)
    bundle_png: bytes = field(repr=False)
    rows: tuple[MatchRow, ...] = ()


@dataclass(frozen=True)
class RunReport:
    """The complete record of a run.

    Attributes:
        variant, target: names from their tables.
        weights: their source, as in the manifest.
        versions: package to version.
        adapter: the GPU the gates ran on, "" if none.
        stages: in order.
        rewrites: in order, graph by graph.
        op_counts: graph to operator to number, of the files that ship.
        dispatches: graph to GPU dispatches of one run; None where it was not run or not counted, empty if not recorded.
        not_counted: why no dispatches were counted, "" if they were.
        static_int8: the loss of each block in static int8, by graph; empty without it.
        files: file of the bundle to bytes.
        gates: in order.
        expected_gates: ids of those that a complete record has; one that is absent did not run.
        scenes: the pictures compared.
        ranges: the range analysis, in the graphs' order; empty if nothing was measured.
        created: ISO 8601 time, "" if not recorded.
        settings: what the detector was built with, by name, as in the manifest; empty if not recorded.
        weights_place: which weights of a training checkpoint were used, for example ``ema.module``; "" for a file of weights
            alone.
        class_names: of the logit columns, None for an unused one; empty if not recorded.
        class_ids: of the logit columns, in the file that names them, None where it names nothing; empty if not recorded.
    """

    variant: str
    target: str
    weights: Weights
    versions: Mapping[str, str]
    adapter: str
    stages: tuple[Stage, ...]
    rewrites: tuple[RewriteRecord, ...]
    op_counts: Mapping[str, Mapping[str, int]]
    files: Mapping[str, int]
    gates: tuple[GateResult, ...]
    scenes: tuple[Scene, ...] = ()
    ranges: tuple[RangeRecord, ...] = ()
    created: str = ""
    expected_gates: tuple[str, ...] = ()
    settings: Mapping[str, SettingRecord] = field(default_factory=dict)
    weights_place: str = ""
    class_names: tuple[str | None, ...] = ()
    class_ids: tuple[int | None, ...] = ()
    dispatches: Mapping[str, int | None] = field(default_factory=dict)
    not_counted: str = ""
    static_int8: tuple[Sweep, ...] = ()

    @property
    def verdict(self) -> Verdict:
        return judge(self.gates, self.expected_gates)

    @property
    def absent_gates(self) -> tuple[str, ...]:
        """Ids of expected gates that are not in the record."""
        return tuple(name for name in self.expected_gates if name not in {gate.gate for gate in self.gates})

    def to_json(self) -> dict[str, Any]:
        """Returns a JSON-ready record; a non-finite figure is the string "nan", "inf" or "-inf"."""
        record = {
            "schema_version": SCHEMA_VERSION,
            "verdict": str(self.verdict),
            "created": self.created,
            "variant": self.variant,
            "target": self.target,
            "weights": asdict(self.weights),
            "weights_place": self.weights_place,
            "class_names": list(self.class_names),
            "class_ids": list(self.class_ids),
            "settings": {name: asdict(setting) for name, setting in self.settings.items()},
            "adapter": self.adapter,
            "expected_gates": list(self.expected_gates),
            "compared_with_outside": not outside_note(self.gates),
            "gates": [gate.to_json() for gate in self.gates],
            "stages": [asdict(stage) for stage in self.stages],
            "rewrites": [asdict(rewrite) for rewrite in self.rewrites],
            "op_counts": {graph: dict(counts) for graph, counts in self.op_counts.items()},
            "dispatches": dict(self.dispatches),
            "not_counted": self.not_counted,
            "static_int8": [asdict(found) for found in self.static_int8],
            "files": dict(self.files),
            "versions": dict(self.versions),
            "ranges": [asdict(record) for record in self.ranges],
            "scenes": [{"name": scene.name, "rows": [asdict(row) for row in scene.rows]} for scene in self.scenes],
        }
        ready: dict[str, Any] = plain(record, escape=True)
        return ready


def rejudge(gate: GateResult) -> Verdict:
    """Derives a gate's verdict from its own figures: failed if recorded as failed or if a figure misses its limit."""
    if any(not measurement.passed for measurement in gate.measurements):
        return Verdict.FAILED
    return gate.verdict


def judge(gates: Iterable[GateResult], expected: Iterable[str] = ()) -> Verdict:
    """The verdict of a run. An expected gate that is absent from the record did not run, and no gate at all proves nothing."""
    gates = tuple(gates)
    missing = set(expected) - {gate.gate for gate in gates}
    if not gates:
        return Verdict.NOT_RUN
    absent = [GateResult(name, Verdict.NOT_RUN, "not in the record") for name in sorted(missing)]
    return overall([*(GateResult(gate.gate, rejudge(gate), gate.summary) for gate in gates), *absent])


def write_report(report: RunReport, path: Path) -> Path:
    """Writes report.json in one step.

    Raises:
        UserError: the file cannot be written.
    """
    return write_whole(path, json.dumps(report.to_json(), indent=1, allow_nan=False) + "\n")


def load_report(path: Path) -> RunReport:
    """Reads report.json back; pictures are empty.

    Raises:
        UserError: missing, damaged, or written by a newer version.
    """
    try:
        with path.open("rb") as stream:
            record = parse_json(stream.read(REPORT.size + 1), REPORT)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); give the path of a report.json") from error
    except ValueError as error:
        raise UserError(f"{path}: not valid JSON ({error}); run the conversion again to rewrite it") from error
    version = record.get("schema_version") if isinstance(record, dict) else None
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise UserError(f"{path}: report version {version}, this program reads up to {SCHEMA_VERSION}; upgrade it")
    try:
        if version != SCHEMA_VERSION:
            raise ValueError(f"schema_version is {version!r}")
        return _report(record)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        reason = f"no '{error.args[0]}'" if isinstance(error, KeyError) else str(error)
        raise UserError(f"{path}: not a report of this program ({reason}); run the conversion again to rewrite it") from error


def write_whole(path: Path, text: str) -> Path:
    """Writes a text file atomically: a reader sees the old one or the new one.

    Raises:
        UserError: it cannot be written.
    """
    try:
        with whole_file(path) as part:
            part.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}); choose another folder or free some space") from error
    return path


def plain(value: Any, *, escape: bool = False) -> Any:
    """Converts NumPy scalars, tuples and paths to JSON types, and non-finite numbers to strings.

    Args:
        value: of any nesting.
        escape: makes texts printable, for a file that ``load_report`` reads; a program that reads a command's output gets them
            as they are.
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item, escape=escape) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item, escape=escape) for item in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist(), escape=escape)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, (str, Path)):
        return escaped(str(value), lines=True) if escape else str(value)
    return value


T = TypeVar("T")


def _each(items: Any, build: Callable[..., T]) -> tuple[T, ...]:
    """Builds a dataclass from every record of a list."""
    return tuple(build(**item) for item in items)


def _report(record: Mapping[str, Any]) -> RunReport:
    return RunReport(
        variant=record["variant"],
        target=record["target"],
        weights=Weights(**record["weights"]),
        versions=dict(record["versions"]),
        adapter=record["adapter"],
        stages=_each(record["stages"], Stage),
        rewrites=tuple(RewriteRecord.from_json(entry) for entry in record["rewrites"]),
        op_counts={graph: dict(counts) for graph, counts in record["op_counts"].items()},
        files=dict(record["files"]),
        gates=tuple(_gate(gate) for gate in record["gates"]),
        expected_gates=tuple(record.get("expected_gates", _FIRST_GATES)),
        scenes=tuple(Scene(scene["name"], b"", b"", _each(scene["rows"], MatchRow)) for scene in record["scenes"]),
        ranges=tuple(RangeRecord.from_json(entry) for entry in record.get("ranges", ())),
        created=record["created"],
        settings={name: SettingRecord(**setting) for name, setting in record.get("settings", {}).items()},
        weights_place=record.get("weights_place", ""),
        class_names=tuple(record.get("class_names", ())),
        class_ids=tuple(record.get("class_ids", ())),
        dispatches=dict(record.get("dispatches", {})),
        not_counted=record.get("not_counted", ""),
        static_int8=tuple(Sweep.from_json(entry) for entry in record.get("static_int8", ())),
    )


def _gate(record: Mapping[str, Any]) -> GateResult:
    return GateResult(
        gate=record["gate"],
        verdict=Verdict(record["verdict"]),
        summary=record["summary"],
        advice=record["advice"],
        measurements=tuple(
            Measurement(
                m["subject"], m["metric"], float(m["value"]), None if m["limit"] is None else float(m["limit"]), m["at_least"]
            )
            for m in record["measurements"]
        ),
        findings=tuple(map(Finding.from_json, record["findings"])),
        seconds=float(record["seconds"]),
        data=record["data"],
        title=record.get("title", ""),
        proves=record.get("proves", ""),
    )
