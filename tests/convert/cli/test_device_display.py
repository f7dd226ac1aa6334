"""The display of a phone's command on a terminal, and none elsewhere."""

from __future__ import annotations

import io
import os
import time

import pytest
from rich.console import Console
from rich.live import Live

from detr2litert.convert.cli.device_display import DeviceDisplay
from tests.convert.terminal import ENVIRONMENT, HIDE_CURSOR, SHOW_CURSOR, Terminal


def drawn(terminal: Terminal) -> Console:
    stream = os.fdopen(os.dup(terminal.end), "w", encoding="utf-8")
    return Console(file=stream, highlight=False, _environ=ENVIRONMENT)


def test_a_line_and_a_bar_while_something_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    starts = []
    start = Live.start
    monkeypatch.setattr(Live, "start", lambda live, refresh=False: (starts.append(live), start(live, refresh))[1])
    terminal = Terminal()
    console = drawn(terminal)
    with DeviceDisplay(console) as display:
        display.of("R5CT")
        for done in (1_000_000, 2_000_000, 3_000_000):
            display.sending("graph_a.tflite", done, 3_000_000)
            time.sleep(0.3)
        display.tell("run on the GPU")
        time.sleep(0.3)
    console.file.close()
    shown = terminal.close()
    assert len(starts) == 1, "one display, not one in another"
    assert "R5CT: send graph_a.tflite" in shown
    assert "2.0/3.0 MB" in shown
    assert "R5CT: run on the GPU" in shown
    assert "MB" not in shown[shown.index("run on the GPU") :]
    assert shown.count(HIDE_CURSOR) == shown.count(SHOW_CURSOR) == 1
    assert shown.index(HIDE_CURSOR) < shown.index(SHOW_CURSOR)


def test_the_cursor_comes_back_after_an_interrupt() -> None:
    terminal = Terminal()
    console = drawn(terminal)
    with pytest.raises(KeyboardInterrupt), DeviceDisplay(console) as display:
        display.of("R5CT")
        raise KeyboardInterrupt
    console.file.close()
    assert terminal.close().rstrip().endswith(("\x1b[?25h", "\x1b[2K", "\x1b[1A"))


def test_markup_in_a_serial_number_is_text() -> None:
    terminal = Terminal()
    console = drawn(terminal)
    with DeviceDisplay(console) as display:
        display.of("[red]x")
        time.sleep(0.2)
    console.file.close()
    assert "[red]x" in terminal.close()


def test_nothing_where_there_is_no_terminal() -> None:
    out = io.StringIO()
    with DeviceDisplay(Console(file=out, width=80)) as display:
        display.of("R5CT")
        display.sending("graph_a.tflite", 1, 3)
        display.tell("run on the GPU")
    assert out.getvalue() == ""
