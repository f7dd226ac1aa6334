"""Runs a program whose output has an end in time and in size: what a device says is not trusted to have either."""

from __future__ import annotations

import os
import selectors
import subprocess
import time
from collections.abc import Sequence
from typing import Any

_BLOCK = 2**16
_Output = dict[Any, bytearray]
"""Standard output and standard error, in this order, each with what was read from it."""


class TooMuchOutputError(Exception):
    """A program has written more than it may; it was killed."""


def run_bounded(command: Sequence[str], timeout: float, limit: int) -> subprocess.CompletedProcess[bytes]:
    """Runs a program without input and returns its exit code and output; it is killed if it does not end in time.

    Args:
        command: program and arguments.
        timeout: seconds until it must have ended, however much it writes in them.
        limit: bytes of standard output and standard error together.

    Raises:
        subprocess.TimeoutExpired: the time is up; with the output so far.
        TooMuchOutputError: it has written more than `limit`.
        OSError: it cannot be started.
    """
    end = time.monotonic() + timeout
    # Unbuffered: what is read is then all that has arrived.
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
    ) as process:
        try:
            assert process.stdout is not None and process.stderr is not None
            output: _Output = {process.stdout: bytearray(), process.stderr: bytearray()}
            _read(command, output, end, timeout, limit)
            try:
                process.wait(max(0.0, end - time.monotonic()))
            except subprocess.TimeoutExpired as error:
                raise _expired(command, output, timeout) from error
        except BaseException:  # an interrupt too
            process.kill()
            raise
    stdout, stderr = (bytes(data) for data in output.values())
    return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)


def _read(command: Sequence[str], output: _Output, end: float, timeout: float, limit: int) -> None:
    """Reads both pipes to their end."""
    with selectors.DefaultSelector() as selector:
        for pipe in output:
            selector.register(pipe, selectors.EVENT_READ)
        while selector.get_map():
            left = end - time.monotonic()
            if left <= 0:
                raise _expired(command, output, timeout)
            for key, _ in selector.select(left):
                data = os.read(key.fd, _BLOCK)
                if not data:
                    selector.unregister(key.fileobj)
                output[key.fileobj] += data
            if sum(map(len, output.values())) > limit:
                raise TooMuchOutputError


def _expired(command: Sequence[str], output: _Output, timeout: float) -> subprocess.TimeoutExpired:
    stdout, stderr = (bytes(data) for data in output.values())
    return subprocess.TimeoutExpired(command, timeout, stdout, stderr)
