"""The page: well formed, self-contained, names without effect, and every figure on it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from detr2litert.host_runtime.errors import UserError
from detr2litert.verify.bench.charts import WIDTH, bars, histograms
from detr2litert.verify.bench.page import render_page, write_page
from detr2litert.verify.bench.stages import FRAME
from tests.verify.bench.fakes import MACHINE, contender, record
from tests.verify.bench.test_record import whole
from tests.verify.report.test_report import read_page

HOSTILE = "<script>alert(1)</script>\"'&{{ 7 * 7 }}"


def test_the_page_has_every_figure_and_fetches_nothing(tmp_path: Path) -> None:
    page = read_page(write_page(whole(), tmp_path / "bench.html").read_text(encoding="utf-8"))
    assert page.links == []
    for text in (
        "tiny · other",
        "33 ms kept",
        "whole frame: tiny takes 0.524 × the time of other",
        "120.0 frames a second",
        "best: batch 2, 15.0 frames a second, 1.50 × of 1",
        "a note",
        "governor performance",
        "numpy 2.4.6",
    ):
        assert text in page.text, text


def test_a_busy_machine_is_named() -> None:
    assert "the machine was busy" not in render_page(record())
    busy = record(machine=replace(MACHINE, load=1.0))
    assert "the machine was busy before the run (a load of 1.0 on 2 cores)" in render_page(busy)


def test_hostile_names_are_text() -> None:
    made = record(
        replace(contender(HOSTILE), notes=(HOSTILE,), not_scaled=HOSTILE, variant=HOSTILE), contender("b", device=HOSTILE)
    )
    text = render_page(made)
    page = read_page(text)
    assert "<script" not in text and HOSTILE in page.text and page.links == []


def test_the_widths_of_the_stages_are_shares_of_the_longest_frame() -> None:
    short, long = bars([contender("a", (6.0, 6.0)), contender("b", (11.0, 11.0))])
    assert sum(part.width for part in long.parts) == pytest.approx(100)
    assert sum(part.width for part in short.parts) == pytest.approx(100 * 6 / 11)
    assert [part.left for part in long.parts] == pytest.approx([0.0, 100 / 11])
    assert long.milliseconds == 11.0


def test_a_histogram_has_every_frame_that_its_axis_has_room_for() -> None:
    times = [10.0 + i / 100 for i in range(200)] + [500.0]
    first, second = histograms([contender("a", times), contender("b", [11.0] * 201)])
    counts = [int(column.title.split(": ")[1].split(" of ")[0]) for column in first.columns]
    assert sum(counts) + first.beyond == 201 and first.beyond >= 1
    assert (first.low, first.high) == (second.low, second.high)
    assert 0 < first.median < first.p95 <= WIDTH
    assert len(second.columns) == 1 and second.beyond == 0


def test_equal_times_have_a_histogram() -> None:
    (only,) = histograms([contender("a", [5.0] * 3)])
    assert len(only.columns) == 1 and only.median == 0.0
    read_page(render_page(record(contender("a", [5.0]))))


def test_a_page_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be written"):
        write_page(record(), tmp_path / "none" / "bench.html")


def test_the_summary_of_the_frame_is_that_of_its_times() -> None:
    assert record().contenders[0].summary[FRAME].median == 11.0
