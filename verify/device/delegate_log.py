"""Parses from logcat which nodes the delegate accepted.

Tag ``tflite``, level I: ``Replacing N out of M node(s) with delegate (NAME) node, yielding P partitions for subgraph S.``
(LiteRT, tflite/core/subgraph.cc). Other apps log the same line, so only lines of the app's own process count; the app's line
``compiling FILE for the GPU`` comes before those of FILE. A file that is compiled a second time, for the portable form after
the native one was refused, counts from its last such line on: that is the graph that runs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_LINE = re.compile(r"^\S+\s+\S+\s+(?P<pid>\d+)\s+\d+\s+(?P<level>[VDIWEF])\s+(?P<tag>.*?)\s*: (?P<text>.*)$")
_COMPILING = re.compile(r"compiling (?P<file>\S+) for the (?P<processor>GPU|CPU)")
_REPLACING = re.compile(
    r"Replacing (?P<taken>\d+) out of (?P<nodes>\d+) node\(s\) with delegate \((?P<name>[^)]*)\) node, "
    r"yielding (?P<partitions>\d+) partitions"
)
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
    """Parses the delegates' lines of one process in ``logcat -v threadtime``, in order."""
    found: list[Delegated] = []
    file = ""
    for line in text.splitlines():
        match = _LINE.match(line)
        if match is None or int(match["pid"]) != pid:
            continue
        if compiling := _COMPILING.search(match["text"]):
            file = compiling["file"]
            found = [earlier for earlier in found if earlier.file != file]
        elif taken := _REPLACING.search(match["text"]):
            counts = (int(taken["taken"]), int(taken["nodes"]), int(taken["partitions"]))
            found.append(Delegated(file, taken["name"], *counts))
    return tuple(found)


def last_pid(text: str, pid: int | None = None) -> int | None:
    """Returns the process of the last ``compiling`` line: whose log to read where the app died before it reported its id.

    Args:
        text: of logcat.
        pid: look for this process only.
    """
    matches = [match for match in map(_LINE.match, text.splitlines()) if match and _COMPILING.search(match["text"])]
    pids = [int(match["pid"]) for match in matches]
    return next((found for found in reversed(pids) if pid in (None, found)), None)
