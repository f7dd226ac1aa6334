"""What a stage looks like on the terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from convert.progress import Progress


def printed(width: int, detail: str, good: bool | None = True) -> list[str]:
    out = io.StringIO()
    with Progress(Console(file=out, width=width)).stage("gate: residency on the GPU") as stage:
        stage.detail, stage.good = detail, good
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_a_line_a_stage() -> None:
    lines = printed(100, "2 of 2 graphs")
    assert lines == ["✓ gate: residency on the GPU     0.0 s 2 of 2 graphs"]


def test_a_long_detail_wraps_beneath_itself() -> None:
    lines = printed(80, "passed: 2 of 2 graphs fully on the GPU delegate (SwiftShader Device)")
    assert len(lines) == 2
    assert lines[1].startswith(" " * 39)
    assert lines[1][39] != " "
    assert all(len(line) <= 80 for line in lines)


@pytest.mark.parametrize(("good", "mark"), [(True, "✓"), (False, "✗"), (None, "–")])
def test_a_gate_that_failed_has_no_tick(good: bool | None, mark: str) -> None:
    assert printed(80, "x", good)[0].startswith(mark)


def test_markup_in_a_name_is_text() -> None:
    assert "[red]" in printed(80, "weights [red].pth")[0]


def test_a_stage_that_fails_prints_nothing_and_is_not_kept() -> None:
    out = io.StringIO()
    progress = Progress(Console(file=out, width=80))
    with pytest.raises(RuntimeError), progress.stage("load"):
        raise RuntimeError
    assert out.getvalue() == ""
    assert progress.stages == []
