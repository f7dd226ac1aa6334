"""How the program ends where no command does: bad use, and output that nobody takes."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NoReturn

import click

from detr2litert.convert.cli.base import INTERRUPTED, refuse
from detr2litert.host_runtime.errors import reason
from detr2litert.host_runtime.interrupt import arrived, leave

READER_GONE = 141
"""What a shell shows for a program that SIGPIPE ended, 128 + 13."""


class OutputLostError(Exception):
    """Standard output or standard error takes no more, and why.

    No ``OSError``: click and rich end the process with 1 for a broken pipe, as a failed gate does, and others let it pass.
    """

    def __init__(self, stream: io.TextIOWrapper, error: OSError) -> None:
        super().__init__(reason(error))
        self.stream, self.error = stream, error


class _Output(io.TextIOWrapper):
    """A standard stream whose errors cannot be taken for those of another file."""

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
    """The stream with ``OutputLostError`` for its errors, and with a mark for a character that its terminal lacks."""
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    # A terminal that has no ✓ must not end a run.
    return _Output(
        stream.buffer,
        encoding=stream.encoding,
        errors="replace",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


class Program(click.Group):
    """A group of commands that tells in one line what click tells in several, and ends bad use with 2."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command and end the process, unless ``standalone_mode`` is False."""
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        code: object
        try:
            try:
                code = super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
            except click.Abort:
                arrived()
                code = refuse(INTERRUPTED)
            except click.ClickException as error:
                code = refuse(_one_line(error, prog_name or "convert"))
        except OutputLostError as lost:
            code = _without_output(lost)
        return leave(code if isinstance(code, int) else 0)


def end_process(code: int) -> NoReturn:
    """End the process once all output is written, without Python's own end: to free what PyTorch and JAX hold takes seconds."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OutputLostError as lost:
            code = _without_output(lost)
    os._exit(code)


def _without_output(lost: OutputLostError) -> int:
    """Says why, where that can still be said."""
    # What is left in the buffer must go somewhere, or Python's own last flush fails and changes the exit code.
    with suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, lost.stream.fileno())
        os.close(nowhere)
    if lost.error.errno == errno.EPIPE:
        return READER_GONE
    try:
        return refuse(f"the output cannot be written ({lost}); free some space, or send it elsewhere")
    except OutputLostError as both:
        return _without_output(both)


def _one_line(error: click.ClickException, program: str) -> str:
    told = " ".join(error.format_message().split()).rstrip(".")
    context = error.ctx if isinstance(error, click.UsageError) else None
    where = context.command_path if context is not None else program
    return f"{told[:1].lower()}{told[1:]}{'' if told.endswith('?') else ';'} see `{where} --help`"
