"""The ratio of medians: its value, its interval, and how often that covers the truth."""

from __future__ import annotations

import numpy as np
import pytest

from detr2litert.verify.bench.ratio import LEAST, ratio_of_medians
from detr2litert.verify.bench.stages import summarise


def test_the_value_is_the_ratio_of_the_medians() -> None:
    ratio = ratio_of_medians([1.0, 2.0, 30.0], [4.0, 5.0, 4.0], paired=True)
    assert ratio.value == 0.5 and ratio.paired
    assert ratio_of_medians([1.0, 2.0, 30.0, 2.0], [4.0], paired=False).value == 0.5


def test_constant_times_have_an_interval_of_one_point() -> None:
    ratio = ratio_of_medians([2.0] * 5, [8.0] * 5, paired=True)
    assert (ratio.low, ratio.value, ratio.high) == (0.25, 0.25, 0.25) and ratio.decided


def test_few_frames_decide_nothing() -> None:
    few, enough = (ratio_of_medians([2.0] * frames, [8.0] * frames, paired=True) for frames in (LEAST - 1, LEAST))
    assert (few.decided, few.frames) == (False, LEAST - 1) and enough.decided


def test_a_contender_against_itself_is_one_whatever_its_times() -> None:
    times = list(np.random.default_rng(1).lognormal(3, 0.5, 40))
    ratio = ratio_of_medians(times, times, paired=True)
    assert (ratio.low, ratio.value, ratio.high) == (1.0, 1.0, 1.0) and not ratio.decided


def test_the_order_of_the_sides_turns_the_ratio_round() -> None:
    generator = np.random.default_rng(2)
    a, b = generator.lognormal(3, 0.1, 30), generator.lognormal(3.2, 0.1, 30)
    one, other = ratio_of_medians(a, b, paired=True), ratio_of_medians(b, a, paired=True)
    assert one.value == pytest.approx(1 / other.value)
    assert one.low == pytest.approx(1 / other.high, rel=0.01) and one.high == pytest.approx(1 / other.low, rel=0.01)


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("truth", [1.0, 0.8])
def test_the_interval_covers_the_truth_about_as_often_as_it_says(paired: bool, truth: float) -> None:
    """300 simulated runs of 40 frames with a tail to the right; in pairs, both sides share the machine's drift.

    The standard deviation of a share of 0.95 over 300 runs is 0.013. The percentile interval of a median is known to be a
    little too wide for so few frames.
    """
    generator = np.random.default_rng(3)
    covered, runs, frames = 0, 300, 40
    for run in range(runs):
        drift = np.exp(generator.normal(0, 0.1, (2, frames)))
        noise = np.exp(generator.gamma(1, 0.05, (2, frames)))
        first = 20 * truth * drift[0] * noise[0]
        second = 20 * drift[0 if paired else 1] * noise[1]
        ratio = ratio_of_medians(first, second, paired=paired, rounds=400, seed=run)
        covered += ratio.low <= truth <= ratio.high
    assert 0.91 <= covered / runs <= 0.995


def test_equal_contenders_are_seldom_decided() -> None:
    generator = np.random.default_rng(4)
    runs = [generator.lognormal(3, 0.2, (2, 40)) for _ in range(200)]
    decided = sum(ratio_of_medians(a, b, paired=True, rounds=400).decided for a, b in runs)
    assert decided / len(runs) < 0.09


def test_pairs_narrow_the_interval_where_the_machine_drifts() -> None:
    generator = np.random.default_rng(5)
    drift = np.linspace(1, 3, 60)
    first, second = (drift * np.exp(generator.normal(0, 0.01, 60)) for _ in range(2))
    paired, apart = (ratio_of_medians(first, second, paired=value) for value in (True, False))
    assert paired.high - paired.low < (apart.high - apart.low) / 3


def test_the_draws_are_the_seeds_and_may_be_made_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(6)
    a, b = generator.lognormal(3, 0.2, (2, 50))
    whole = ratio_of_medians(a, b, paired=True, seed=7)
    assert ratio_of_medians(a, b, paired=True, seed=7) == whole != ratio_of_medians(a, b, paired=True, seed=8)
    monkeypatch.setattr("detr2litert.verify.bench.ratio._AT_ONCE", 100)
    assert ratio_of_medians(a, b, paired=True, seed=7) == whole


@pytest.mark.parametrize(("first", "second"), [([], []), ([1.0], []), ([1.0, 2.0], [1.0])])
def test_what_cannot_be_compared_is_refused(first: list[float], second: list[float]) -> None:
    with pytest.raises(ValueError, match="cannot compare"):
        ratio_of_medians(first, second, paired=True)


def test_the_figures_of_a_stage_are_percentiles() -> None:
    summary = summarise([float(value) for value in range(101)])
    assert (summary.median, summary.p95, summary.p99, summary.runs) == (50, 95, 99, 101)
    assert summarise([5.0, 1.0, 3.0, 2.0, 4.0]).p95 == pytest.approx(4.8)
