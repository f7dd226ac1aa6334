"""Parses the stderr of the delegate's child process: refused operators, partitions, errors and the adapter."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

NO_ADAPTER_LINE = "No adapters found"
"""Part of the line that the delegate logs where there is no adapter."""
_OPS_SPLIT = re.compile(
    r"(?:No operations|(\d+) operations) will run on the GPU, and (?:all|the remaining) (\d+) operations will run on the CPU"
)
_REFUSED_HEAD = "Following operations are not supported by GPU delegate:"
# A custom operator is named "CUSTOM code"; it is recorded as everywhere else, "CUSTOM:code".
_REFUSED = re.compile(r"^(?:CUSTOM ([^\s:]+)|([A-Z][A-Z0-9_]+)): (.+)$")
# The two forms in which a refusal names the tensor: quoted inside the sentence, or after its full stop.
_REFUSED_TENSOR = re.compile(r'Tensor "([^"]+)"|(?:less than 5|not supported)\.\s+(\S+)$')
_PARTITION = re.compile(r"Initializing \S+-based API from graph")
_ADAPTER = re.compile(r"Selected adapter: (.*?), arch=(\S*), vendor=(\S*), backend=(\S*), adapterType=(.*)$")
_ERROR = re.compile(r"^(?:ERROR: |[EF]\d{4} \d\d:\d\d:)")


@dataclass(frozen=True)
class RefusedOp:
    """One line of the delegate's list: operator, reason, and the tensor if the line names one ("" if not)."""

    op: str
    reason: str
    tensor: str = ""


def split_log(log: str, mark: str) -> dict[int, dict[str, str]]:
    """Splits the log at the child's marks: job index to phase to text.

    The phases are ``"compile"``, ``"run"`` and ``"query_full_acceleration"``. A malformed mark splits nothing.
    """
    found: dict[int, dict[str, str]] = {}
    _, *parts = re.split(rf"^{mark} (\d+) (\w+)\n", log, flags=re.MULTILINE | re.ASCII)
    for number, phase, text in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        phases = found.setdefault(int(number), {})
        phases[phase] = phases.get(phase, "") + text
    return found


def read_log(phases: Mapping[str, str]) -> dict[str, Any]:
    """Parses the log of one model; a compilation beside another one (``query_full_acceleration``) is not counted."""
    lines = [line for phase in ("compile", "run") for line in phases.get(phase, "").splitlines()]
    split = next((m for m in map(_OPS_SPLIT.search, lines) if m), None)
    adapter = next((m for m in map(_ADAPTER.search, lines) if m), None)
    return {
        "partitions": sum(bool(_PARTITION.search(line)) for line in lines),
        "refused": _refused(lines),
        "ops_on_gpu": int(split[1] or 0) if split else None,
        "ops_on_cpu": int(split[2]) if split else None,
        "error_lines": tuple(line.strip() for line in lines if _ERROR.match(line)),
        "adapter": f"{adapter[1]} ({adapter[4]}, {adapter[5].strip()})" if adapter else "",
        "log": "\n".join(lines),
    }


def _refused(lines: Sequence[str]) -> tuple[RefusedOp, ...]:
    """Parses the lines between the delegate's heading and its count."""
    found: list[RefusedOp] = []
    inside = False
    for line in lines:
        if _REFUSED_HEAD in line:
            inside = True
        elif inside and _OPS_SPLIT.search(line):
            break
        elif inside and (match := _REFUSED.match(line)):
            tensor = _REFUSED_TENSOR.search(match[3])
            name = f"CUSTOM:{match[1]}" if match[1] else match[2]
            found.append(RefusedOp(name, match[3].strip(), (tensor[1] or tensor[2] or "") if tensor else ""))
    return tuple(found)
