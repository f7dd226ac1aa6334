"""One line on the terminal for each stage of a run, with its time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table
from rich.text import Text

_NAME_WIDTH = 28
_MARKS = {True: Text("✓", "green"), False: Text("✗", "bold red"), None: Text("–", "bold yellow")}


@dataclass
class Stage:
    """One stage: its name, how long it took, what there is to say about it, and whether it ended well.

    ``good`` is None for a stage that could not do its work, such as a gate that was not run.
    """

    name: str
    seconds: float = 0.0
    detail: str = ""
    good: bool | None = True


@dataclass
class Progress:
    """Prints stages as they end and keeps them for the report.

    Attributes:
        console: where to print; standard error, so that standard output stays free for results.
        stages: those that ended, in order.
    """

    console: Console = field(default_factory=lambda: Console(stderr=True, highlight=False))
    stages: list[Stage] = field(default_factory=list)

    @contextmanager
    def stage(self, name: str) -> Iterator[Stage]:
        """Run a block as a stage; set ``detail`` and ``good`` on the yielded object inside it."""
        stage = Stage(name)
        start = time.perf_counter()
        with self.console.status(Text(f"{name} …")):
            yield stage
        stage.seconds = time.perf_counter() - start
        self.stages.append(stage)
        self.console.print(_line(stage))


def _line(stage: Stage) -> Table:
    """Mark, name, time and detail in columns, so that a long detail wraps beneath itself."""
    line = Table.grid(padding=(0, 1))
    line.add_column()
    line.add_column(width=_NAME_WIDTH)
    line.add_column(width=7, justify="right")
    line.add_column(overflow="fold")
    line.add_row(_MARKS[stage.good], stage.name, Text(f"{stage.seconds:.1f} s", "dim"), Text(stage.detail))
    return line
