"""A run as a whole, with contenders that compute nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from detr2litert.host_runtime.errors import UserError
from detr2litert.verify.bench.contender import Contender
from detr2litert.verify.bench.session import NOT_SCALED, Entry, Plan, run_bench
from detr2litert.verify.bench.stages import DETECTOR, FRAME
from tests.host_runtime.tiny_bundle import picture
from tests.verify.bench.fakes import SETUP, FakeBatches, FakeContender


@pytest.fixture
def pictures(tmp_path: Path) -> tuple[Path, ...]:
    picture().save(tmp_path / "a.png")
    return (tmp_path / "a.png",)


def entry(made: list[FakeContender], contender: FakeContender, workers: bool = False) -> Entry:
    """Makes this contender, and notes it with the threads that it was made for."""

    def make(threads: int) -> Contender:
        one = type(contender)(contender.name, setup=replace(contender.setup, threads=threads))
        made.append(one)
        return one

    return Entry(contender.name, make, workers)


def test_everything_that_is_asked_for_is_measured(pictures: tuple[Path, ...]) -> None:
    made: list[FakeContender] = []
    entries = [
        entry(made, FakeContender("bundle"), workers=True),
        entry(made, FakeBatches("file")),
        entry(made, FakeContender("pytorch")),
    ]
    plan = Plan(4, threads=4, warm_up=1, sizes=(1, 2, 8), preload=True, budget=1000.0, seed=5)
    record = run_bench(entries, pictures, plan)
    bundle, file, pytorch = record.contenders
    assert [len(one.frames.stages[FRAME]) for one in record.contenders] == [4, 4, 4]
    assert all(one.pipelined is not None and len(one.pipelined.latency) == 4 for one in record.contenders)
    assert [row.kind for row in bundle.scaled] == ["threads"] * 3 and bundle.not_scaled == ""
    assert [row.kind for row in file.scaled] == ["batch"] * 3 and file.not_scaled == ""
    assert pytorch.scaled == () and pytorch.not_scaled == NOT_SCALED
    assert record.budget is not None and record.budget.kept and record.budget.contender == "bundle"
    assert [(c.first, c.second) for c in record.comparisons[::2]] == [("bundle", "file"), ("bundle", "pytorch")]
    assert (record.runs, record.warm_up, record.seed, record.pictures) == (4, 1, 5, 1)
    # Threads of a bundle divide the CPU's threads; no more than one detector of the others is ever made.
    assert [(one.name, one.setup.threads) for one in made[3:]] == [("bundle", 4)] + [("bundle", 2)] * 2 + [("bundle", 1)] * 8
    assert all(one.closed for one in made)


def test_a_plain_run_measures_no_more(pictures: tuple[Path, ...]) -> None:
    made: list[FakeContender] = []
    (only,) = run_bench([entry(made, FakeContender("a"), workers=True)], pictures, Plan(2, threads=1)).contenders
    assert (only.pipelined, only.scaled, only.not_scaled) == (None, (), "") and only.part("detector alone") == (2.0, 2.0)
    assert len(made) == 1 and DETECTOR in only.frames.stages


def test_set_ups_that_differ_end_the_run_before_a_frame(pictures: tuple[Path, ...]) -> None:
    made: list[FakeContender] = []
    entries = [entry(made, FakeContender("a")), entry(made, FakeContender("b", setup=replace(SETUP, accelerator="gpu")))]
    with pytest.raises(UserError, match="accelerator: cpu and gpu"):
        run_bench(entries, pictures, Plan(2, threads=1))
    assert [one.calls for one in made] == [[], []] and all(one.closed for one in made)
    record = run_bench(entries, pictures, Plan(2, threads=1, despite=True))
    assert record.comparisons[0].differences == ("accelerator: cpu and gpu",)


def test_a_contender_that_cannot_be_loaded_closes_the_others(pictures: tuple[Path, ...]) -> None:
    made: list[FakeContender] = []

    def fail(_threads: int) -> Contender:
        raise UserError("no such file")

    with pytest.raises(UserError, match="no such file"):
        run_bench([entry(made, FakeContender("a")), Entry("b", fail)], pictures, Plan(2, threads=1))
    assert made[0].closed
