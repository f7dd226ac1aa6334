"""Ctrl-C, and a request to end, as a ``KeyboardInterrupt`` that reaches the command wherever it strikes.

Python delivers a signal between two of its own instructions. Where those belong to a destructor or to a callback from native
code, the exception is printed as "ignored" and lost; a bare ``except`` somewhere in a library swallows it; and where native
code called them, it can come back as an error of that code's own, or end the process with SIGABRT. So the handler leaves a
mark and sends the interrupt again, and again, until the command says that it has arrived; the cleaning up is protected from it;
and native code that calls back works in a thread, where no signal is delivered.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn, TypeVar

T = TypeVar("T")

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)
# Long against the time an exception takes to reach the command, short against a user's patience.
_AGAIN_SECONDS = 0.3
_seen = threading.Event()
_abandoned = threading.Event()


def install() -> None:
    """For a command's main: turn SIGINT, SIGTERM and SIGHUP into ``KeyboardInterrupt``, sent again until ``arrived``."""
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup leaves SIGHUP
            signal.signal(number, _interrupt)
    sys.unraisablehook = _unraisable


def was_interrupted() -> bool:
    """Whether any of the signals has come, whatever became of its exception."""
    return _seen.is_set()


def arrived() -> None:
    """The command has caught the interrupt: send it no more, and let nothing disturb the end of the process."""
    if threading.current_thread() is threading.main_thread():
        for number in _SIGNALS:
            if signal.getsignal(number) is _interrupt:
                signal.signal(number, signal.SIG_IGN)


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
        if was_interrupted():
            signal.setitimer(signal.ITIMER_REAL, _AGAIN_SECONDS)


def in_thread(work: Callable[[], T]) -> T:
    """What ``work`` returns or raises, done where no signal can reach it, while the caller waits and can be interrupted.

    An interrupt leaves the thread to itself, for native code cannot be stopped; ``leave`` then ends the process without it.
    """
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=run, name="native", daemon=True).start()
    try:
        return outcome.result()
    finally:
        if not outcome.done():
            _abandoned.set()


def leave(code: int) -> NoReturn:
    """End the process; at once if a thread was left in native code, which would not survive the interpreter's own end.

    The exit code is ``code`` wherever an interrupt struck. Where that was inside ``exec`` of a string, as the definition of a
    dataclass does while its module loads, CPython remembers it and ends ``python -m`` by SIGINT after all, until another
    ``exec`` makes it forget (``run_eval_code_obj`` in its Python/pythonrun.c).
    """
    if _abandoned.is_set():
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):  # whoever read it may be gone
                stream.flush()
        os._exit(code)
    exec("")
    sys.exit(code)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    _seen.set()
    signal.setitimer(signal.ITIMER_REAL, _AGAIN_SECONDS)
    raise KeyboardInterrupt


def _unraisable(event: sys.UnraisableHookArgs) -> None:
    # A lost interrupt comes again by itself, so there is nothing to tell.
    if event.exc_type is None or not issubclass(event.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(event)
