"""The command ``convert`` (also installed as ``detr2litert``)."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import click

from detr2litert.convert.cli.process import tune_process
from detr2litert.convert.cli.program import Program, open_standard_streams, watched
from detr2litert.convert.cli.supervise import supervise
from detr2litert.convert.commands import COMMANDS


def main() -> None:
    """Runs the command and ends the process with its exit code."""
    from detr2litert.host_runtime import interrupt
    from detr2litert.host_runtime.quiet import silence_native_log

    open_standard_streams()
    supervise()
    tune_process()
    interrupt.install()
    silence_native_log()
    sys.stdout, sys.stderr = watched(sys.stdout), watched(sys.stderr)
    name = Path(sys.argv[0]).stem
    cli.main(prog_name=name if name in ("convert", "detr2litert") else "python -m detr2litert")


def _command(name: str) -> click.Command:
    """Returns the command of a module in ``convert.commands``."""
    command: click.Command = getattr(import_module(f"detr2litert.convert.commands.{name}"), name)
    return command


@click.group(
    cls=Program,
    commands=[_command(name) for name in COMMANDS],
    no_args_is_help=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="detr2litert")
def cli() -> None:
    """Compile a trained DETR detector into a bundle of LiteRT graphs that run entirely on a phone's GPU, and verify it.

    Exit codes: 0 all gates passed, 1 a gate failed, 2 usage error or bad input, 141 the reader of the output closed
    it early.
    """
