"""The chart of fp16 headroom: the state and the height of each bar."""

from __future__ import annotations

import math
from dataclasses import replace

from detr2litert.verify.report.headroom import Chart, RangeRecord, charts
from detr2litert.verify.report.html import render_html
from tests.verify.report.sample_report import ranges, sample


def record(headroom: float, module: str = "m", protected: str = "", blurred: bool = False) -> RangeRecord:
    return RangeRecord("graph_a", "n", "op", module, 1.0, None, None, headroom, blurred, protected)


def only(*records: RangeRecord) -> Chart:
    (chart,) = charts(records)
    return chart


def test_state_describes_the_shipped_graph() -> None:
    assert [record(bits).state for bits in (-1.0, 1.9, 2.0, math.inf)] == ["over", "near", "fits", "fits"]
    assert record(-1.0, protected="protect_layer_norm").state == "protected"


def test_a_layer_is_as_high_as_its_worst_operator() -> None:
    chart = only(record(10.0, "one"), record(5.0, "one"), record(20.0, "two"))
    assert [bar.height for bar in chart.bars] == [chart.zero * 5 / chart.most, chart.zero]
    assert chart.bars[0].y + chart.bars[0].height == chart.zero and "one" in chart.bars[0].title
    assert [r.headroom for r in chart.least] == [5.0, 10.0, 20.0]


def test_overflow_is_drawn_below_the_line_and_inside_the_drawing() -> None:
    (bar,) = only(record(-30.0)).bars
    assert bar.y == Chart.zero and bar.y + bar.height == Chart.height
    (bar,) = only(record(-math.inf)).bars
    assert bar.y + bar.height == Chart.height
    (bar,) = only(record(math.inf)).bars
    assert bar.y == 0 and "unlimited headroom" in bar.title


def test_page_draws_every_graph_and_names_the_critical_operators() -> None:
    page = render_html(sample())
    assert page.count('<svg class="chart"') == 2 == len(charts(ranges()))
    assert "model.encoder.layer.4.layer_norm" in page and "protect_layer_norm" in page
    assert "integers that fp16 cannot distinguish" in page
    assert "<svg" not in render_html(replace(sample(), ranges=()))
