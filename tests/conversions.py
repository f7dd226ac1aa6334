"""Conversions for tests, each made once for all workers and runs, in a cache addressed by their dependencies.

A conversion is a function of this project's sources, the pinned packages, its arguments and the files that these name; a hash
of all of them is its address in the user's cache. A change of any changes the address, so no stale conversion is used. A test
that changes a bundle changes a copy of it.
"""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from filelock import FileLock

from detr2litert.verify.delegate.driver import find_driver, find_fp16_driver
from detr2litert.verify.parity.tensorflow_run import installed
from tests.convert.command import Outcome, environment, spawn
from tests.debian_program import cache_folder

ROOT = Path(__file__).parents[1]
_PACKAGES = ("convert", "graphs", "host_runtime", "rewrites", "verify")
_LOCKED = ("constraints.txt", "pyproject.toml")
_KEPT = 40
"""Number of cached conversions, the most recently used; 5 MB each, except for a few large ones."""


@dataclass(frozen=True)
class Made:
    """A conversion: the folder it was started in, the bundle, and what was printed."""

    cwd: Path
    bundle: Path
    outcome: Outcome


def converted(
    *arguments: object,
    out: str | None,
    files: Mapping[str, Path] | None = None,
    env: Mapping[str, str] | None = None,
    command: str = "run",
) -> Made:
    """``convert run ARGUMENTS --out OUT``, which must exit with 0; run now, or from the cache.

    Args:
        arguments: of the command, except ``--out``.
        out: of the bundle, relative to the folder in which the command runs; None to leave the option out.
        files: name → file that is copied into that folder first.
        env: added to the environment.
        command: another than ``run``.
    """
    words = [*map(str, arguments), *(["--out", out] if out is not None else [])]
    contents = {name: _sha256(path) for name, path in (files or {}).items()}
    named = json.dumps([_basis(), command, words, contents, dict(env or {})], sort_keys=True)
    address = hashlib.sha256(named.encode()).hexdigest()[:24]
    place = cache_folder() / "conversions" / address
    place.parent.mkdir(parents=True, exist_ok=True)
    record, cwd = place / "outcome.json", place / "cwd"
    with FileLock(place.with_suffix(".lock")):
        if record.exists():
            record.touch()
        else:
            shutil.rmtree(place, ignore_errors=True)
            cwd.mkdir(parents=True)
            for name, path in (files or {}).items():
                shutil.copyfile(path, cwd / name)
            outcome = spawn(command, *words, cwd=cwd, env=environment(**(env or {})))
            assert outcome.code == 0, outcome.stderr
            record.write_text(json.dumps({"words": words, **asdict(outcome)}))
            _forget_old(place.parent)
    stored = json.loads(record.read_text())
    return Made(cwd, cwd / (out or "bundles"), Outcome(stored["code"], stored["stdout"], stored["stderr"]))


@cache
def _basis() -> str:
    """A hash of everything that every conversion depends on."""
    digest = hashlib.sha256()
    for path in (*(ROOT / name for name in _LOCKED), *_sources()):
        digest.update(f"{path.relative_to(ROOT).as_posix()} {_sha256(path)}\n".encode())
    adapters = [None if found is None else asdict(found.adapter) for found in (find_driver(), find_fp16_driver())]
    digest.update(json.dumps([platform.python_version(), platform.machine(), installed(), adapters]).encode())
    return digest.hexdigest()


def _sources() -> list[Path]:
    found = (path for name in _PACKAGES for path in (ROOT / name).rglob("*"))
    return sorted(path for path in found if path.is_file() and "__pycache__" not in path.parts)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _forget_old(folder: Path) -> None:
    """Removes all but the most recently used conversions; those in progress have no record yet and are kept."""
    records = sorted(folder.glob("*/outcome.json"), key=lambda record: record.stat().st_mtime, reverse=True)
    for record in records[_KEPT:]:
        shutil.rmtree(record.parent, ignore_errors=True)
