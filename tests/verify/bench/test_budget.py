"""The budget: parsing, the verdict by p95, and which other detector would keep it."""

from __future__ import annotations

import pytest

from detr2litert.host_runtime.errors import UserError
from detr2litert.verify.bench.budget import Budget, Size, judge_budget, parse_budget
from detr2litert.verify.bench.stages import DETECTOR, FRAME
from detr2litert.verify.bench.words import budget_line

SIZES = {
    "small": Size("A", 1000.0, 100, 100),
    "half": Size("A", 500.0, 80, 80),
    "tenth": Size("A", 100.0, 40, 40),
    "other": Size("B", 10.0, 40, 40),
    "demo": Size("A", 450.0, 40, 40, demo=True),
    "large": Size("A", 4000.0, 200, 200),
}


@pytest.mark.parametrize(
    ("text", "milliseconds"), [("33ms", 33.0), ("33", 33.0), (" 33.5 MS ", 33.5), ("0.033s", 33.0), (".5 s", 500.0)]
)
def test_a_budget_is_a_time(text: str, milliseconds: float) -> None:
    assert parse_budget(text) == pytest.approx(milliseconds)


@pytest.mark.parametrize("text", ["", "0", "0ms", "-1ms", "ms", "30fps", "nan", "inf", "1e9", "33 ms 2", "999999999999ms"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="--budget"):
        parse_budget(text)


def frames(*times: float, detector: float) -> dict[str, tuple[float, ...]]:
    return {FRAME: times, DETECTOR: tuple(detector for _ in times)}


def judged(budget: float, variant: str = "small", pixels: int = 100 * 100, **others: dict[str, tuple[float, ...]]) -> Budget:
    return judge_budget(budget, "own", {"own": frames(*([50.0] * 20), detector=40.0), **others}, variant, pixels, SIZES)


def test_the_95th_percentile_keeps_it_or_not() -> None:
    times = [10.0] * 90 + [40.0] * 10  # the median is far below, the p95 is not
    found = judge_budget(33.0, "own", {"own": frames(*times, detector=5.0)}, "", 1, {})
    assert not found.kept and found.p95 == 40.0
    assert judge_budget(40.0, "own", {"own": frames(*times, detector=5.0)}, "", 1, {}).kept


def test_the_largest_variant_that_would_keep_it_is_estimated_from_its_multiply_adds() -> None:
    half = judged(30.0).smaller
    assert half is not None and (half.variant, half.p95, half.share) == ("half", 30.0, 0.5)  # 10 + 40 / 2
    tenth = judged(29.0).smaller
    assert tenth is not None and (tenth.variant, tenth.p95) == ("tenth", 14.0)
    assert judged(13.0).smaller is None  # what is not the detector does not shrink
    assert judged(30.0, variant="unknown").smaller is None
    assert judged(60.0).smaller is None


def test_an_input_of_another_size_counts() -> None:
    pixels = 2 * 100 * 100  # 2000 multiply-adds
    same, half = judged(30.0, pixels=pixels).smaller, judged(29.0, pixels=pixels).smaller
    assert same is not None and (same.variant, same.share, same.height) == ("small", 0.5, 100)
    assert half is not None and (half.variant, half.share, half.p95) == ("half", 0.25, 20.0)


def test_those_that_were_measured_and_keep_it_come_first() -> None:
    found = judged(30.0, fast=frames(1.0, detector=1.0), faster=frames(0.5, detector=0.1), slow=frames(31.0, detector=1.0))
    assert found.measured == ("fast", "faster")
    assert "not kept by own, p95 50.00 ms; kept by fast, faster; half at 80 × 80 would take about 30 ms" in budget_line(found)
    assert budget_line(judged(60.0)) == "budget 60 ms: kept by own, p95 50.00 ms"
    assert "no smaller variant" in budget_line(judged(1.0))
