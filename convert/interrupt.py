"""Ctrl-C, and a request to end, as one ``KeyboardInterrupt`` that reaches the command wherever it strikes.

Python delivers a signal between two of its own instructions. Where those belong to a destructor or to a callback from native
code, the exception is printed as "ignored" and lost; where native code called them, it can come back as an error of that
code's own. So the handler leaves a mark, a lost interrupt is sent again, and the cleaning up is protected from the next one.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_AGAIN_SECONDS = 0.05
_seen = threading.Event()


def install() -> None:
    """For a command's main: turn SIGINT, SIGTERM and SIGHUP into ``KeyboardInterrupt``, and send a lost one again."""
    for number in (*_SIGNALS, signal.SIGALRM):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup leaves SIGHUP
            signal.signal(number, _interrupt)
    sys.unraisablehook = _unraisable


def was_interrupted() -> bool:
    """Whether any of the signals has come, whatever became of its exception."""
    return _seen.is_set()


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Within this, the signals are ignored: for the few milliseconds in which temporary files are removed."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread is ever interrupted
        return
    previous = {number: signal.signal(number, signal.SIG_IGN) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    _seen.set()
    raise KeyboardInterrupt


def _unraisable(event: sys.UnraisableHookArgs) -> None:
    if event.exc_type is not None and issubclass(event.exc_type, KeyboardInterrupt):
        # Not at once: this hook, too, is inside what swallowed the first one.
        signal.setitimer(signal.ITIMER_REAL, _AGAIN_SECONDS)
    else:
        sys.__unraisablehook__(event)
