"""Turns: the order is random and the seed's, every contender runs once in each, and only the last frame of it is timed."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from detr2litert.verify.bench.interleave import run_in_turns, turns
from detr2litert.verify.bench.stages import DETECTOR, FRAME, POSTPROCESS, PREPROCESS
from tests.verify.bench.fakes import PICTURES, FakeContender


def test_every_contender_runs_once_in_each_turn_in_an_order_of_the_seed() -> None:
    order = list(turns(3, 200, seed=1))
    assert all(sorted(turn) == [0, 1, 2] for turn in order)
    assert order == list(turns(3, 200, seed=1)) != list(turns(3, 200, seed=2))
    first = Counter(turn[0] for turn in order)
    assert len({*order}) == 6 and min(first.values()) > 200 / 3 - 25  # 3.7 standard deviations


def test_the_frames_of_a_run_are_those_of_its_turns() -> None:
    calls: list[tuple[str, Any]] = []
    contenders = [FakeContender(name, calls) for name in "ab"]
    found = run_in_turns(contenders, PICTURES, 4, warm_up=2, seed=3)
    warm_up, timed = calls[:4], calls[4:]
    assert warm_up == [(name, picture) for name in "ab" for picture in PICTURES]
    # Each contender's frame of a turn follows an untimed one on the same picture.
    expected = [
        (contenders[index].name, PICTURES[turn % 2])
        for turn, order in enumerate(turns(2, 4, seed=3))
        for index in order
        for _ in range(2)
    ]
    assert timed == expected
    for frames in found:
        assert list(frames.stages) == [PREPROCESS, DETECTOR, POSTPROCESS, FRAME]
        assert frames.stages[DETECTOR] == (2.0,) * 4
        assert len(frames.stages[FRAME]) == 4 and min(frames.stages[FRAME]) > 0
        assert frames.detections == 12


def test_a_contender_alone_has_no_untimed_frames_between() -> None:
    contender = FakeContender()
    run_in_turns([contender], PICTURES, 5, warm_up=1)
    assert len(contender.calls) == 6


def test_progress_is_reported() -> None:
    heard: list[str] = []
    run_in_turns([FakeContender()], PICTURES, 2, doing=heard.append)
    assert heard == ["fake: warming up", "turn 1 of 2", "turn 2 of 2"]


def test_an_error_of_a_contender_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_self: object, _prepared: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(FakeContender, "infer", fail)
    with pytest.raises(RuntimeError, match="broken"):
        run_in_turns([FakeContender()], PICTURES, 1)
