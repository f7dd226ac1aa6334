"""Shared by the commands: how they end, and common options."""

from __future__ import annotations

import functools
import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from detr2litert.convert.cli.resources import exhausted
from detr2litert.host_runtime.errors import UserError, reason
from detr2litert.verify.accuracy import DEFAULT_SIZE
from detr2litert.verify.printable import printable

BAD_INPUT = 2
GATE_FAILED = 1

LONGEST_LINE = 2000
"""Characters of an error: it may quote names and values of a foreign file, which may be long."""

INTERRUPTED = "interrupted before it was done; run the same command again"

Command = Callable[..., int | None]


class OutputLostError(Exception):
    """Standard output or standard error cannot be written, with the reason.

    Not an ``OSError``: click and rich end the process with 1 for a broken pipe, like a failed gate, and others ignore it.
    """

    def __init__(self, stream: io.TextIOWrapper, error: OSError) -> None:
        super().__init__(reason(error))
        self.stream, self.error = stream, error


class FiniteRange(click.FloatRange):
    """A range without "nan", which is neither below nor above any bound, and without infinity."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


JSON_FLAG = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
STRICT_FLAG = click.option("--strict", is_flag=True, help="Exit with 1 if a gate could not run.")
PACKAGE_OPTION = click.option("--package", default="org.detr2litert.sample", show_default=True, help="The app.")


_OUTSIDE = (
    click.option(
        "--expected", type=click.Path(path_type=Path), help="Detections of your own code for the pictures of --image, as JSON."
    ),
    click.option(
        "--oracle",
        metavar="PYTHON",
        type=click.Path(path_type=Path),
        help="Python that runs the original project, to ask it for these detections.",
    ),
    click.option(
        "--oracle-config",
        metavar="YML",
        type=click.Path(path_type=Path),
        help="With --oracle: the training's configuration in a clone of RT-DETR, D-FINE, DEIM or DEIMv2.",
    ),
    click.option(
        "--dataset",
        metavar="DIR|demo|none",
        help="COCO or YOLO annotations to compute AP on [default: the demo scenes when a demo detector is converted].",
    ),
    click.option(
        "--dataset-size", default=DEFAULT_SIZE, show_default=True, type=click.IntRange(1), help="Pictures of --dataset to use."
    ),
    click.option(
        "--dataset-fp16",
        metavar="N",
        type=click.IntRange(1),
        help="Pictures of --dataset to compute in fp16 [default: all on a GPU in hardware, at most 8 on one in software].",
    ),
    click.option("--dataset-ap", type=FiniteRange(0, 1), help="mAP (0 to 1) that your own evaluation gave on --dataset."),
)
_OUTSIDE_NAMES = ("expected", "oracle", "oracle_config", "dataset", "dataset_size", "dataset_fp16", "dataset_ap")


def outside_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options of what a proof compares with; the command gets them as a dictionary ``outside``."""

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return command(*args, outside={name: kwargs.pop(name) for name in _OUTSIDE_NAMES}, **kwargs)

    result: Callable[..., Any] = wrapped
    for option in reversed(_OUTSIDE):
        result = option(result)
    return result


def reported(command: Command) -> Command:
    """Turns a user's error into one line and exit code 2, and a return value into the exit code."""

    from detr2litert.host_runtime.interrupt import acknowledge, exit_process, was_interrupted

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        try:
            code = command(*args, **kwargs)
        except (Exception, KeyboardInterrupt) as error:
            # Native code may have converted an interrupt into another error.
            if isinstance(error, KeyboardInterrupt) or was_interrupted():
                acknowledge()
                message = INTERRUPTED
            elif isinstance(error, UserError):
                message = str(error)
            elif isinstance(error, OutputLostError) or not (message := exhausted(error)):
                raise
            code = refuse(message)
        exit_process(code or 0)

    return wrapped


def refuse(message: str) -> int:
    """Reports an error in one line on standard error; returns the exit code."""
    line = printable(" ".join(message.split()))
    if len(line) > LONGEST_LINE:  # what is wrong is at its beginning, what to do next at its end
        line = f"{line[: LONGEST_LINE // 2]} … {line[-LONGEST_LINE // 4 :]}"
    click.echo(f"error: {line}", err=True)
    return BAD_INPUT


def exit_code(gates: Any, strict: bool) -> int:
    from detr2litert.verify.gates import Verdict, overall

    verdict = overall(gates)
    if verdict is Verdict.NOT_RUN:
        missing = ", ".join(gate.gate for gate in gates if gate.verdict is Verdict.NOT_RUN)
        click.echo(f"not verified: these gates did not run: {missing}", err=True)
    return GATE_FAILED if verdict is Verdict.FAILED or (strict and verdict is Verdict.NOT_RUN) else 0
