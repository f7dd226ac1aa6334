"""How the program ends outside of a command: usage errors, and output that cannot be written."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NoReturn

import click

from detr2litert.convert.cli.base import INTERRUPTED, OutputLostError, refuse
from detr2litert.host_runtime.interrupt import acknowledge, exit_process

READER_GONE = 141
"""The exit code that a shell shows for a program ended by SIGPIPE, 128 + 13."""


class _Output(io.TextIOWrapper):
    """A standard stream whose errors cannot be mistaken for those of another file."""

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError as error:
            raise OutputLostError(self, error) from error

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            raise OutputLostError(self, error) from error


def watched(stream: Any) -> Any:
    """Wraps a stream: raises ``OutputLostError`` for its errors and replaces characters that its terminal lacks."""
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    # A terminal without ✓ must not end a run.
    return _Output(
        stream.buffer,
        encoding=stream.encoding,
        errors="replace",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def open_standard_streams() -> None:
    """Opens the null device for standard streams that the caller closed, as a daemon's are.

    Python has None for them, which libraries do not expect, and the next files that are opened take their numbers: what native
    code logs would be written into them.
    """
    for descriptor, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest free number is this one, since those below it are open.
            os.open(os.devnull, os.O_RDWR)
        if getattr(sys, name) is None:
            stream = open(descriptor, mode, encoding="utf-8", closefd=False)  # noqa: SIM115, a descriptor
            # The second is a reference that keeps it open, as Python's own streams have one.
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)


class Program(click.Group):
    """A group of commands that reports click's errors in one line, and exits with 2 for a usage error."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Runs a command and ends the process, unless ``standalone_mode`` is False."""
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        code: object
        try:
            try:
                code = super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
            except click.Abort:
                acknowledge()
                code = refuse(INTERRUPTED)
            except click.ClickException as error:
                code = refuse(_one_line(error, prog_name or "convert"))
        except OutputLostError as lost:
            code = _without_output(lost)
        return exit_process(code if isinstance(code, int) else 0)


def end_process(code: int) -> NoReturn:
    """Ends the process once all output is written, without Python's shutdown: freeing the memory of PyTorch takes seconds."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OutputLostError as lost:
            code = _without_output(lost)
    os._exit(code)


def _without_output(lost: OutputLostError) -> int:
    """Reports the reason, if it can still be written; returns the exit code."""
    # The rest of the buffer must be written somewhere, or Python's last flush fails and changes the exit code.
    with suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, lost.stream.fileno())
        os.close(nowhere)
    if lost.error.errno == errno.EPIPE:
        return READER_GONE
    try:
        return refuse(f"the output cannot be written ({lost}); free some space, or redirect it")
    except OutputLostError as both:
        return _without_output(both)


def _one_line(error: click.ClickException, program: str) -> str:
    message = " ".join(error.format_message().split()).rstrip(".")
    context = error.ctx if isinstance(error, click.UsageError) else None
    where = context.command_path if context is not None else program
    return f"{message[:1].lower()}{message[1:]}{'' if message.endswith('?') else ';'} see `{where} --help`"
