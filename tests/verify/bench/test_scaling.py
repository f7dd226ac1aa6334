"""Batches, threads and the pipeline, with contenders that compute nothing."""

from __future__ import annotations

import threading
from collections import Counter

import pytest

from detr2litert.host_runtime.errors import UserError
from detr2litert.verify.bench.contender import Inferred, Picture, Prepared
from detr2litert.verify.bench.pipeline import run_pipeline
from detr2litert.verify.bench.scaling import BATCH, WORKERS, Scaled, best, parse_sizes, run_batches, run_workers
from tests.verify.bench.fakes import PICTURES, FakeBatches, FakeContender


def test_sizes_are_ascending_with_one_among_them() -> None:
    assert parse_sizes("8,2, 4") == (1, 2, 4, 8)
    assert parse_sizes("1,1") == (1,)


@pytest.mark.parametrize("text", ["", "0", "1,,2", "two", "1.5", "-1", "1025", "99999999999999999999", "²", "1;2"])
def test_sizes_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(UserError, match="--batch"):
        parse_sizes(text)


def test_each_size_runs_its_share_of_pictures_in_a_mixed_order() -> None:
    contender = FakeBatches()
    rows, reason = run_batches(contender, PICTURES, 12, (1, 2, 8), seed=1)
    sizes = [found for _, found in contender.calls if isinstance(found, int)]
    assert sizes[:3] == [1, 2, 8]  # to warm up
    assert Counter(sizes[3:]) == {1: 12, 2: 6, 8: 3}
    assert sizes[3:] != sorted(sizes[3:])
    assert reason == "" and [(row.kind, row.size, row.frames) for row in rows] == [
        (BATCH, 1, 12),
        (BATCH, 2, 12),
        (BATCH, 8, 24),
    ]
    for row in rows:
        assert row.batch_ms is not None and row.frame_ms == pytest.approx(row.batch_ms / row.size)
        assert row.against_one == pytest.approx(row.frames_per_second / rows[0].frames_per_second)


def test_a_fixed_batch_has_its_reason() -> None:
    contender = FakeBatches()
    contender.fixed_batch = 1
    rows, reason = run_batches(contender, PICTURES, 12, (1, 2))
    assert rows == [] and "batches of 1 only" in reason and contender.calls == []


def test_threads_share_the_frames_and_each_has_a_contender_of_its_own() -> None:
    made: list[FakeContender] = []

    def make(workers: int) -> FakeContender:
        made.append(FakeContender(f"{workers}"))
        return made[-1]

    rows = run_workers(make, PICTURES, 10, (1, 4), warm_up=2)
    assert [contender.name for contender in made] == ["1", "4", "4", "4", "4"]
    assert all(contender.closed for contender in made)
    assert [(row.kind, row.size, row.frames, row.batch_ms) for row in rows] == [(WORKERS, 1, 10, None), (WORKERS, 4, 12, None)]
    assert len(made[0].calls) == 2 + 10 and sum(len(contender.calls) for contender in made[1:]) == 4 * 2 + 12
    assert rows[0].against_one == 1.0


@pytest.mark.parametrize("in_warm_up", [True, False])
def test_an_error_in_a_thread_is_the_runs(in_warm_up: bool) -> None:
    class Broken(FakeContender):
        def infer(self, prepared: Prepared) -> Inferred:
            if in_warm_up or len(self.calls) > 1:
                raise UserError("it broke")
            return super().infer(prepared)

    made: list[FakeContender] = []

    def make(workers: int) -> FakeContender:
        # In the turn itself, others may take every frame before one thread has its first: then all of them fail.
        made.append(Broken() if not in_warm_up or len(made) == 1 else FakeContender())
        return made[-1]

    with pytest.raises(UserError, match="it broke"):
        run_workers(make, PICTURES, 4, (3,), warm_up=1)
    assert all(contender.closed for contender in made)


def test_the_best_size_is_the_one_with_the_most_frames() -> None:
    rows = [Scaled(BATCH, size, rate, 1.0, 1.0, 1.0, 3) for size, rate in ((1, 5.0), (2, 9.0), (4, 9.0), (8, 7.0))]
    assert best(rows).size == 2


def test_a_pipeline_prepares_the_next_picture_while_one_is_computed() -> None:
    """Neither side can go on before the other has begun: without a second thread this would not end."""
    following = threading.Event()

    class Waits(FakeContender):
        def prepare(self, picture: Picture) -> Prepared:
            if self.calls:
                following.set()
            return super().prepare(picture)

        def infer(self, prepared: Prepared) -> Inferred:
            assert following.wait(10), "the next picture is not prepared meanwhile"
            return super().infer(prepared)

    contender = Waits()
    found = run_pipeline(contender, PICTURES, 5)
    assert [picture for _, picture in contender.calls] == [PICTURES[i % 2] for i in range(5)]
    assert len(found.latency) == 5 and found.frames_per_second > 0


def test_an_error_in_the_preparing_thread_is_the_runs() -> None:
    class Broken(FakeContender):
        def prepare(self, picture: Picture) -> Prepared:
            raise UserError("no picture")

    with pytest.raises(UserError, match="no picture"):
        run_pipeline(Broken(), PICTURES, 2)
