"""Single flipped bytes in the demo detector's graphs, with hashes that fit: no command dies or shows a traceback."""

from __future__ import annotations

import os
import random
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conversions import Made
from tests.convert.command import assert_refused, rehash, spawn, tree
from tests.trials import trials

FLIPS = int(os.environ.get("DAMAGED_FLIPS", "2000"))
"""Members of each fuzz test; a smaller number for a quick look."""
_HEAD = 150_000  # bytes: tables are at the beginning, weights after them
_BATCH = 100


def copied(bundle: Path, target: Path) -> Path:
    """The bundle without its report; files link to the originals, so a changed one must be replaced, not written to."""
    shutil.copytree(bundle, target, copy_function=os.link, ignore=shutil.ignore_patterns("report.*", "pictures"))
    (target / "manifest.json").unlink()
    shutil.copy(bundle / "manifest.json", target)
    return target


def replaced(bundle: Path, name: str, data: bytes) -> Path:
    """Replaces a graph, and its hash and size in the manifest."""
    (bundle / name).unlink()
    (bundle / name).write_bytes(data)
    rehash(bundle, name)
    return bundle / name


def flips(bundle: Path, count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """A graph's name and its bytes with one changed, half of them among the tables."""
    rng, names = random.Random(seed), sorted(path.name for path in bundle.glob("*.tflite"))
    for number in range(count):
        name = names[number % len(names)]
        data = bytearray((bundle / name).read_bytes())
        end = min(_HEAD, len(data)) if number // len(names) % 2 else len(data)
        data[rng.randrange(8, end)] ^= rng.choice((0x01, 0x10, 0x40, 0x80, 0xFF))
        yield name, bytes(data)


@pytest.mark.parametrize("length", [1000, *(pytest.param(length, marks=pytest.mark.ci) for length in (64, 100_000))])
def test_a_cut_graph_with_a_right_hash(tiny: Made, tmp_path: Path, length: int) -> None:
    """LiteRT itself is killed by it."""
    bundle = copied(tiny.bundle, tmp_path / "bundle")
    path = replaced(bundle, "graph_a.tflite", (tiny.bundle / "graph_a.tflite").read_bytes()[:length])
    before = tree(tmp_path)
    detect = ("detect", bundle, bundle / "golden/image.png")
    for words in (detect, ("check", path), ("check", bundle, "--no-gpu"), ("cost", bundle)):
        outcome = spawn(*words, cwd=tmp_path)
        assert_refused(outcome, "graph_a.tflite", "truncated or damaged LiteRT model", "make or copy it again")
    assert tree(tmp_path) == before


@pytest.mark.slow
@pytest.mark.parametrize("action", ["check", "detect"])
def test_flipped_bytes(tiny: Made, tmp_path: Path, action: str) -> None:
    """In batches: a child that handles many bundles is restarted where it dies, and such a bundle is tried as a user would."""
    counts: Counter[str] = Counter()
    members = flips(tiny.bundle, FLIPS, seed=11)
    for batch in range(-(-FLIPS // _BATCH)):
        folder = tmp_path / str(batch)
        folder.mkdir()
        paths = []
        for number, (name, data) in zip(range(min(_BATCH, FLIPS - batch * _BATCH)), members, strict=False):
            paths.append(replaced(copied(tiny.bundle, folder / f"b{number}"), name, data))
        for path, outcome in zip(paths, trials(action, paths, folder), strict=True):  # type: ignore[arg-type]
            counts[" ".join(outcome.split()[:2])] += 1
            if outcome.startswith(("exit 0", "exit 1")):
                continue
            if not outcome.startswith("exit 2 error: "):
                golden = path.parent / "golden/image.png"
                words = ("detect", path.parent, golden) if action == "detect" else ("check", path, "--no-gpu")
                assert_refused(spawn(*words, cwd=folder), "native code")
        shutil.rmtree(folder)
    print(action, dict(counts))
    assert counts["exit 2"] >= FLIPS // 100 and counts["exit 0"] > FLIPS // 4
