"""The progress display of a phone's command: one line on standard error, with a bar while a bundle is being sent."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TransferSpeedColumn
from rich.spinner import Spinner
from rich.text import Text


class DeviceDisplay:
    """A line shown while it is open and removed at its end; nothing if standard error is not a terminal.

    There is one live display, which also draws the bar: rich before 14.1 refuses a second one inside it.

    Args:
        console: where to show it [default: standard error].
    """

    def __init__(self, console: Console | None = None) -> None:
        console = console or Console(stderr=True, highlight=False)
        self._spinner = Spinner("dots")
        self._bar = Progress(BarColumn(), DownloadColumn(), TransferSpeedColumn(), console=console)
        self._sent: TaskID | None = None
        self._serial = ""
        self._live = Live(console=console, transient=True, get_renderable=self._drawn)

    def __enter__(self) -> DeviceDisplay:
        if self._live.console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._live.stop()

    def of(self, serial: str) -> None:
        """Sets the device that is shown."""
        self._serial = serial
        self.tell("")

    def tell(self, doing: str) -> None:
        """Shows what is being done; ends the bar."""
        self._end_bar()
        self._name(doing)

    def sending(self, name: str, done: int, total: int) -> None:
        """Shows the file being sent, and the bytes sent of the whole bundle's total; at the end, or with no file, no bar."""
        if not name or done >= total:
            self._end_bar()
            return
        if self._sent is None:
            # Bytes that were there already took no time, so they do not count for the speed.
            self._sent = self._bar.add_task("", total=total, completed=done)
        self._bar.update(self._sent, completed=done)
        self._name(f"send {name}")

    def _name(self, doing: str) -> None:
        self._spinner.update(
            text=Text(f"{self._serial}: {doing}" if doing else self._serial, overflow="ellipsis", no_wrap=True)
        )

    def _end_bar(self) -> None:
        if self._sent is not None:
            self._bar.remove_task(self._sent)
            self._sent = None

    def _drawn(self) -> RenderableType:
        return self._spinner if self._sent is None else Group(self._spinner, self._bar)
