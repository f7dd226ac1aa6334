"""Runs the command in a child process, so that a death by signal ends in one line and exit code 2 as any other error does.

Native code (LiteRT, a GPU driver, PyTorch) ends its process for some files, and where memory runs out; nothing inside the
process can catch that. The child is a fork made before anything is loaded, which takes a millisecond, shares the terminal and
needs no second import. Each place that hands a user's file to native code notes it in shared memory for the message
(``host_runtime.activity``).
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from contextlib import suppress
from types import FrameType

from detr2litert.convert.cli.base import BAD_INPUT, INTERRUPTED
from detr2litert.host_runtime import activity
from detr2litert.verify.printable import printable

_FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PR_SET_PDEATHSIG = 1  # prctl(2)


def supervise() -> None:
    """Returns in a child process, whose exit code this process ends with; without ``fork`` it simply returns.

    Signals are forwarded to the child, which cleans up and ends; if this process is killed, the child is terminated.
    """
    if not hasattr(os, "fork"):
        return
    with suppress(OSError):
        activity.share()
    parent = os.getpid()
    # A signal that comes before both processes have their handlers waits for them.
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, _FORWARDED)
    try:
        child = os.fork()
    except OSError:  # no process is left: run unsupervised
        child = 0
    else:
        if child == 0:
            _become_child(parent)
        else:
            _forward_to(child)
    signal.pthread_sigmask(signal.SIG_SETMASK, previous)
    if child:
        os._exit(_wait(child))


def _become_child(parent: int) -> None:
    # A core file of a death that is reported would be left in the user's folder.
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    if sys.platform == "linux":
        import ctypes

        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM))
        if os.getppid() != parent:  # it was killed before this line
            os._exit(BAD_INPUT)


def _forward_to(child: int) -> None:
    def forward(number: int, _frame: FrameType | None) -> None:
        with suppress(ProcessLookupError):
            os.kill(child, number)

    for number in _FORWARDED:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup leaves SIGHUP
            signal.signal(number, forward)


def _wait(child: int) -> int:
    """Waits for the child and returns the exit code for this process."""
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code >= 0:
        return code
    with suppress(OSError):
        os.write(2, f"error: {_death(-code)}\n".encode())
    return BAD_INPUT


def _death(number: int) -> str:
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    place = activity.last()
    where = f" while {printable(place)}" if place else ""
    if number in _FORWARDED:
        return INTERRUPTED
    if number == signal.SIGKILL:
        return f"the process was killed ({name}){where}, perhaps for lack of memory; free some and run the same command again"
    if number == signal.SIGABRT:
        return (
            f"native code gave up ({name}){where}: memory may have run out, or the file is damaged; free some memory, or make "
            "or copy the file again"
        )
    file = "the file may be damaged: make or copy it again, or" if place else "run the same command again, or"
    return f"native code died ({name}){where}; {file} report it with the command"
