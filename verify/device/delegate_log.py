"""Parses from logcat which nodes the delegate accepted.

Tag ``tflite``, level I: ``Replacing N out of M node(s) with delegate (NAME) node, yielding P partitions for subgraph S.``
(LiteRT, tflite/core/subgraph.cc). Other apps log the same line, so only lines of the app's own process count; the app's line
``compiling FILE for the GPU`` comes before those of FILE. A file that is compiled a second time, for the portable form after
the native one was refused, counts from its last such line on: that is the graph that runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

# Only what a pattern of one pass matches: a hostile line of blanks made one with "(.*?)\s*: " take hours.
_START = re.compile(r"\S+\s+\S+\s+(?P<pid>[0-9]{1,9})\s+[0-9]+\s+[VDIWEF]\s")
_COMPILING = re.compile(r"compiling (?P<file>\S+) for the (?P<processor>GPU|CPU)")
_REPLACING = re.compile(
    r"Replacing (?P<taken>[0-9]{1,9}) out of (?P<nodes>[0-9]{1,9}) node\(s\) with delegate \((?P<name>[^)]{0,200})\) node, "
    r"yielding (?P<partitions>[0-9]{1,9}) partitions"
)
_LONGEST = 10_000  # logd cuts an entry at 4068 bytes
_MOST = 100
"""Lines of delegates that are read; a run has one for each graph, or two where the native form was refused."""
_CPU_DELEGATE = "xnnpack"


@dataclass(frozen=True)
class Delegated:
    """One line of a delegate about one graph."""

    file: str
    delegate: str
    taken: int
    nodes: int
    partitions: int

    @property
    def whole(self) -> bool:
        """True if every node is in one partition, of a delegate other than the CPU's own."""
        return self.taken == self.nodes > 0 and self.partitions == 1 and _CPU_DELEGATE not in self.delegate.lower()


def parse_log(text: str, pid: int) -> tuple[Delegated, ...]:
    """Parses the delegates' lines of one process in ``logcat -v threadtime``, in order, at most a hundred."""
    found: dict[str, list[Delegated]] = {}
    count = 0
    file = ""
    for line_pid, message in _messages(text):
        if line_pid != pid:
            continue
        if compiling := _COMPILING.search(message):
            file = compiling["file"]
            found.pop(file, None)
        elif (taken := _REPLACING.search(message)) and count < _MOST:
            counts = (int(taken["taken"]), int(taken["nodes"]), int(taken["partitions"]))
            found.setdefault(file, []).append(Delegated(file, taken["name"], *counts))
            count += 1
    return tuple(line for lines in found.values() for line in lines)


def last_pid(text: str, pid: int | None = None) -> int | None:
    """Returns the process of the last ``compiling`` line: whose log to read where the app died before it reported its id.

    Args:
        text: of logcat.
        pid: look for this process only.
    """
    pids = [line_pid for line_pid, message in _messages(text) if pid in (None, line_pid) and _COMPILING.search(message)]
    return pids[-1] if pids else None


def _messages(text: str) -> Iterator[tuple[int, str]]:
    """Yields process and message of each line that has them."""
    for line in text.splitlines():
        if len(line) <= _LONGEST and (start := _START.match(line)):
            _tag, separator, message = line[start.end() :].partition(": ")
            if separator:
                yield int(start["pid"]), message
