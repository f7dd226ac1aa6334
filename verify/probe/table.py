"""Recorded measurements of the suite on one runtime and adapter: the data types, the file format, and the project's own files.

One file per runtime, backend, adapter and precision, ``measured/2.3.0-webgpu-swiftshader-fp32.json``, sorted by the probes'
names, so that two of them can be compared line by line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.foreign_json import REPORT, parse_json
from detr2litert.verify.probe.probe import Behaviour
from detr2litert.verify.releases import nearest_release

SCHEMA_VERSION = 1
BACKEND = "webgpu"
"""The delegate's backend in the desktop runtime."""
_ADAPTERS = ("swiftshader", "llvmpipe", "nvidia-h200")
FOLDER = Path(__file__).with_name("measured")


@dataclass(frozen=True)
class Result:
    """The result of one probe.

    Attributes:
        behaviour: what the delegate did.
        max_abs_diff: largest difference from the reference, to two digits; None where nothing was computed or there is no
            reference, infinite where only one of the two is a finite number.
        refusal: the delegate's first line about it; for another failure, the line of the log or of the exception.
        death: the signal or exit code with which the process ended, "" if it did not.
    """

    behaviour: Behaviour
    max_abs_diff: float | None = None
    refusal: str = ""
    death: str = ""


@dataclass(frozen=True)
class Measured:
    """A suite's results.

    Attributes:
        runtime: ai-edge-litert's version.
        backend: of the delegate.
        adapter: the one that the delegate chose, as it names it.
        precision: the requested precision, ``"fp32"`` or ``"fp16"``.
        date: of the measurement, ISO.
        results: by the probe's name.
    """

    runtime: str
    backend: str
    adapter: str
    precision: str
    date: str
    results: Mapping[str, Result]

    @property
    def adapter_id(self) -> str:
        """The adapter's short name, as in the lint's table."""
        adapter = re.sub(r"[^a-z0-9]+", "-", self.adapter.partition(" (")[0].lower()).strip("-")
        return next((known for known in _ADAPTERS if adapter.startswith(known)), adapter) or "unknown"

    @property
    def file_name(self) -> str:
        """Name of the project's file for it."""
        return f"{self.runtime}-{self.backend}-{self.adapter_id}-{self.precision}.json"

    def to_json(self) -> dict[str, Any]:
        """Returns plain data, the probes in order of their names; an infinite difference as the string ``"inf"``."""
        return {
            "schema_version": SCHEMA_VERSION,
            "runtime": self.runtime,
            "backend": self.backend,
            "adapter": self.adapter,
            "precision": self.precision,
            "date": self.date,
            "probes": {name: plain_result(self.results[name]) for name in sorted(self.results)},
        }


def write_measured(measured: Measured, path: Path) -> None:
    """Writes a table, one probe per line.

    Raises:
        UserError: it cannot be written.
    """
    plain = measured.to_json()
    probes = plain.pop("probes")
    head = json.dumps(plain, indent=1)[:-2]
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(entry)}" for name, entry in probes.items())
    try:
        path.write_text(f'{head},\n "probes": {{\n{lines}\n }}\n}}\n', encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}; choose another file with --write") from error


def read_measured(path: Path) -> Measured:
    """Reads a table.

    Raises:
        UserError: the file cannot be read, or is not a table of this version.
    """
    try:
        plain = parse_json(path.read_bytes(), REPORT)
        if plain["schema_version"] != SCHEMA_VERSION:
            raise UserError(
                f"{path}: schema_version {plain['schema_version']}, this version reads {SCHEMA_VERSION}; measure again"
            )
        results = {str(name): _result(entry) for name, entry in plain["probes"].items()}
        facts = {key: str(plain[key]) for key in ("runtime", "backend", "adapter", "precision", "date")}
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); give a file that `convert probe --write` wrote") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise UserError(
            f"{path}: not a table of `convert probe` ({type(error).__name__}: {error}); write one with --write"
        ) from error
    return Measured(**facts, results=results)


def recorded(runtime: str, adapter: str, precision: str, folder: Path = FOLDER) -> Measured | None:
    """Returns the recorded measurement with which to compare a new one.

    The newest of a runtime that is not later than ``runtime`` (the oldest if all are), and of those of one runtime the one on
    the same adapter, else any. None if none of that precision is recorded.
    """
    kept = [table for table in map(read_measured, sorted(folder.glob("*.json"))) if table.precision == precision]
    if not kept:
        return None
    release = nearest_release((table.runtime for table in kept), runtime)
    return max(
        (table for table in kept if table.runtime == release), key=lambda table: (table.adapter == adapter, table.adapter)
    )


def plain_result(result: Result) -> dict[str, Any]:
    """Returns one entry of the file."""
    difference = result.max_abs_diff
    return {
        "outcome": str(result.behaviour),
        "max_abs_diff": "inf" if difference == float("inf") else difference,
        "refusal": result.refusal,
        "died": result.death,
    }


def _result(entry: Mapping[str, Any]) -> Result:
    difference = entry["max_abs_diff"]
    return Result(
        Behaviour(entry["outcome"]),
        None if difference is None else float(difference),
        str(entry["refusal"]),
        str(entry["died"]),
    )
