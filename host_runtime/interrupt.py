"""Delivers Ctrl-C and termination signals to the command as a ``KeyboardInterrupt``, wherever they occur.

Python delivers a signal between two of its own instructions. In a destructor or a callback from native code, the exception is
printed as "ignored" and lost; a bare ``except`` in a library swallows it; and native code that called Python can turn it into
an error of its own, or end the process with SIGABRT. So the handler sets a flag and raises the interrupt repeatedly until the
command acknowledges it; cleanup runs with the signals ignored; and native code that calls back runs in a thread, where no
signal is delivered.
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
# Much longer than an exception takes to reach the command, but short for a user.
_REPEAT_SECONDS = 0.3
# Plain flags, not threading.Event: a second signal may run the handler inside the handler, and it would wait for ever for the
# lock that the first one holds. A terminal's Ctrl-C reaches the command twice, from the terminal and from its supervisor.
_seen = False
_abandoned = False


def install() -> None:
    """Turns SIGINT, SIGTERM and SIGHUP into ``KeyboardInterrupt``, repeated until ``acknowledge``; for a command's main."""
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup leaves SIGHUP
            signal.signal(number, _interrupt)
    sys.unraisablehook = _unraisable


def was_interrupted() -> bool:
    """Returns whether any of the signals was received, whether or not its exception reached the command."""
    return _seen


def acknowledge() -> None:
    """Stops the repetition after the command has caught the interrupt, and ignores the signals from then on."""
    if threading.current_thread() is threading.main_thread():
        for number in _SIGNALS:
            if signal.getsignal(number) is _interrupt:
                signal.signal(number, signal.SIG_IGN)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Ignores the signals in its block: for the few milliseconds in which temporary files are removed."""
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
            signal.setitimer(signal.ITIMER_REAL, _REPEAT_SECONDS)


def in_thread(work: Callable[[], T]) -> T:
    """Runs ``work`` in a thread, where no signal is delivered; the caller waits and can be interrupted.

    An interrupt abandons the thread, since native code cannot be stopped; ``exit_process`` then ends the process without it.
    """
    global _abandoned
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
            _abandoned = True


def exit_process(code: int) -> NoReturn:
    """Ends the process; immediately if a thread was abandoned in native code, which would crash at interpreter shutdown.

    The exit code is ``code`` wherever an interrupt occurred. For one inside ``exec`` of a string, which defining a dataclass
    calls, CPython sets a flag and ends ``python -m`` by SIGINT, unless another ``exec`` clears it (``run_eval_code_obj`` in its
    Python/pythonrun.c).
    """
    if _abandoned:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):  # its reader may have ended
                stream.flush()
        os._exit(code)
    exec("")
    sys.exit(code)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    global _seen
    _seen = True
    signal.setitimer(signal.ITIMER_REAL, _REPEAT_SECONDS)
    raise KeyboardInterrupt


def _unraisable(event: sys.UnraisableHookArgs) -> None:
    # A lost interrupt is raised again, so there is nothing to report.
    if event.exc_type is None or not issubclass(event.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(event)
