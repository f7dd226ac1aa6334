"""One line on the terminal for each stage of a run, with its time."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.markup import escape


@dataclass
class Stage:
    """One stage: its name, how long it took, and what there is to say about it."""

    name: str
    seconds: float = 0.0
    detail: str = ""


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
        """Run a block as a stage; set ``detail`` on the yielded object inside it."""
        stage = Stage(name)
        start = time.perf_counter()
        with self.console.status(f"{escape(name)} …"):
            yield stage
        stage.seconds = time.perf_counter() - start
        self.stages.append(stage)
        self.console.print(f"[green]✓[/] {escape(name):<34} [dim]{stage.seconds:7.1f} s[/]  {escape(stage.detail)}")


def peak_memory_bytes() -> int:
    """Largest resident set of this process so far, in bytes (Linux counts it in kibibytes)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
