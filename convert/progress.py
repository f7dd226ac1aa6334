"""Prints one line on the terminal for each stage of a run, with its time, and what a long stage is doing."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from rich import progress as rich_progress
from rich.console import Console
from rich.table import Table
from rich.text import Text

from detr2litert.convert.console import console
from detr2litert.verify.gates import Doing, unheard

_NAME_WIDTH = 28
_MARKS = {True: Text("✓", "green"), False: Text("✗", "bold red"), None: Text("–", "bold yellow")}
_PATIENCE = 5.0
"""Seconds before, and then between, the lines of a log about what a stage is doing."""


@dataclass
class Stage:
    """One stage: its name, duration, summary, and whether it succeeded.

    ``good`` is None for a stage that could not do its work, such as a gate that did not run. ``doing`` shows what the stage is
    doing: beside the spinner of a terminal, or else as a line of its own if the stage takes long.
    """

    name: str
    seconds: float = 0.0
    detail: str = ""
    good: bool | None = True
    doing: Doing = field(default=unheard, repr=False, compare=False)


@dataclass
class Progress:
    """Prints stages as they end and records them for the report.

    Attributes:
        console: where to print; standard error, since standard output is for results.
        stages: the completed stages, in order.
    """

    console: Console = field(default_factory=partial(console, stderr=True))
    stages: list[Stage] = field(default_factory=list)

    @contextmanager
    def stage(self, name: str) -> Iterator[Stage]:
        """Runs a block as a stage; set ``detail`` and ``good`` on the yielded object inside it."""
        start = time.perf_counter()
        with waiting(self.console, name) as doing:
            stage = Stage(name, doing=doing)
            yield stage
        stage.seconds = time.perf_counter() - start
        self.stages.append(stage)
        self.console.print(_line(stage))


@contextmanager
def waiting(console: Console, name: str) -> Iterator[Doing]:
    """Shows progress while the block runs: a spinner on a terminal, elsewhere a line if it takes more than five seconds."""
    with _spinner(console, name) if console.is_terminal else _log(console, name) as doing:
        yield doing


@contextmanager
def counted(console: Console, name: str, total: int | None) -> Iterator[Callable[[], None]]:
    """Shows how many of ``total`` are done, a call for each: a bar on a terminal, elsewhere a line every five seconds."""
    if not console.is_terminal:
        with _log(console, name) as doing:
            number = itertools.count(1)
            yield lambda: doing(f"{next(number)}{f' of {total}' if total is not None else ''} done")
        return
    columns = (
        rich_progress.TextColumn("{task.description}", markup=False),
        rich_progress.BarColumn(),
        rich_progress.MofNCompleteColumn(),
        rich_progress.TimeElapsedColumn(),
        rich_progress.TimeRemainingColumn(),
    )
    with rich_progress.Progress(*columns, console=console, transient=True) as shown:
        task = shown.add_task(name, total=total)
        yield lambda: shown.advance(task)


@contextmanager
def _spinner(console: Console, name: str) -> Iterator[Doing]:
    """Shows a line with the elapsed time, removed when the stage ends."""
    text = rich_progress.TextColumn("{task.description}", markup=False)
    columns = (rich_progress.SpinnerColumn(), text, rich_progress.TimeElapsedColumn())
    with rich_progress.Progress(*columns, console=console, transient=True) as shown:
        task = shown.add_task(f"{name} …", total=None)
        yield lambda what: shown.update(task, description=f"{name}: {what} …")


@contextmanager
def _log(console: Console, name: str) -> Iterator[Doing]:
    """Prints a line every five seconds, if anything changed since the last one."""
    ended = threading.Event()
    current = ""

    def tell() -> None:
        printed = None
        while not ended.wait(_PATIENCE):
            if current != printed:
                printed = current
                console.print(Text(f"… {name}{f': {printed}' if printed else ''}"))

    def doing(what: str) -> None:
        nonlocal current
        current = what

    teller = threading.Thread(target=tell, name="progress", daemon=True)
    teller.start()
    try:
        yield doing
    finally:
        ended.set()
        teller.join()


def _line(stage: Stage) -> Table:
    """Arranges mark, name, time and detail in columns, so that a long detail wraps within its column."""
    line = Table.grid(padding=(0, 1))
    line.add_column()
    line.add_column(width=_NAME_WIDTH)
    line.add_column(width=7, justify="right")
    line.add_column(overflow="fold")
    line.add_row(_MARKS[stage.good], stage.name, Text(f"{stage.seconds:.1f} s", "dim"), Text(stage.detail))
    return line
