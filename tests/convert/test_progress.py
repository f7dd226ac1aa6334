"""The display of a stage on the terminal."""

from __future__ import annotations

import io
import time

import pytest
from rich.console import Console

from detr2litert.convert import progress as module
from detr2litert.convert.progress import Progress


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


def test_a_failed_stage_prints_nothing_and_is_not_recorded() -> None:
    out = io.StringIO()
    progress = Progress(Console(file=out, width=80))
    with pytest.raises(RuntimeError), progress.stage("load"):
        raise RuntimeError
    assert out.getvalue() == ""
    assert progress.stages == []


def test_a_log_reports_what_a_long_stage_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a spinner: nothing for a short stage, and no message twice."""
    monkeypatch.setattr(module, "_PATIENCE", 0.05)
    out = io.StringIO()
    progress = Progress(Console(file=out, width=80))
    with progress.stage("gate: fp16") as stage:
        time.sleep(0.2)
        stage.doing("graph_a on llvmpipe")
        time.sleep(0.2)
    with progress.stage("short") as stage:
        stage.doing("nothing")
    lines = [line.rstrip() for line in out.getvalue().splitlines()]
    assert lines[:2] == ["… gate: fp16", "… gate: fp16: graph_a on llvmpipe"]
    assert len(lines) == 4 and lines[2].startswith("✓ gate: fp16") and lines[3].startswith("✓ short")


def test_a_terminal_shows_the_same_beside_its_spinner() -> None:
    out = io.StringIO()
    progress = Progress(Console(file=out, width=80, force_terminal=True))
    with progress.stage("gate: fp16 [red]") as stage:
        stage.doing("graph_a [red]")
        time.sleep(0.3)
    assert "gate: fp16 [red]: graph_a [red] …" in out.getvalue() and "✓" in out.getvalue()


def test_output_that_is_no_terminal_is_not_wrapped(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with Progress().stage("load") as stage:
        stage.detail = "x" * 300
    assert [len(line.split()[-1]) for line in capsys.readouterr().err.splitlines()] == [300]
