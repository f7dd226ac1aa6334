"""What the rewrites did in the conversion of a bundle: where each fired, and where it nearly did and why it did not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from detr2litert.convert.names import suggestion
from detr2litert.host_runtime.errors import UserError
from detr2litert.verify.report.report import Place, RewriteRecord, load_report

_SHOWN = 3
"""Nodes that are named for each text; --json has them all."""


@dataclass(frozen=True)
class Explanation:
    """One rewrite of one graph, explained."""

    record: RewriteRecord

    @property
    def title(self) -> str:
        record = self.record
        fired = f"fired {record.fired}×" if record.fired else "did not fire"
        return f"{record.graph}: {record.name} {fired}, {record.nodes_before} → {record.nodes_after} operators"

    def lines(self) -> Iterator[str]:
        """What it did and what it nearly did, equal texts together."""
        yield from (f"  {line}" for line in _grouped(self.record.sites))
        yield from (f"  not: {line}" for line in _grouped(self.record.misses))

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready record with every place."""
        return asdict(self.record)


def explain_rewrites(bundle: Path, names: Sequence[str] = ()) -> tuple[Explanation, ...]:
    """Every rewrite that fired or nearly did in a bundle's conversion, in order; the named ones in any case.

    Args:
        bundle: folder that ``detr2litert run`` wrote.
        names: rewrites to explain; all if empty.

    Raises:
        UserError: there is no report, or it names no such rewrite.
    """
    path = bundle / "report.json"
    if not path.is_file():
        raise UserError(f"{bundle} has no report.json; give the folder of a bundle as `detr2litert run` wrote it")
    records = load_report(path).rewrites
    known = list(dict.fromkeys(record.name for record in records))
    for name in names:
        if name not in known:
            raise UserError(f"no rewrite of {bundle} is called {name!r}: {suggestion(name, known)}")
    chosen = [record for record in records if record.name in names or (not names and (record.sites or record.misses))]
    return tuple(map(Explanation, chosen))


def _grouped(places: Sequence[Place]) -> Iterator[str]:
    by_text: dict[str, list[Place]] = {}
    for place in places:
        by_text.setdefault(place.text, []).append(place)
    for text, found in by_text.items():
        named = ", ".join(f"{place.node} in {place.module}" if place.module else place.node for place in found[:_SHOWN])
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        yield f"{text} ({named}{more})"
