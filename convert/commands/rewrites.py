"""``convert rewrites``: explains the rewrites, or what they did in the conversion of a bundle."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from detr2litert.convert.cli.base import JSON_FLAG, reported
from detr2litert.convert.cli.output import filled, print_json
from detr2litert.convert.names import suggestion
from detr2litert.host_runtime.errors import UserError

if TYPE_CHECKING:
    from detr2litert.verify.report.report import Place, RewriteRecord

_SHOWN = 3
"""Nodes that are named for each text; --json has them all."""


@click.command(short_help="Explain the rewrites, or what they did to a bundle.")
@click.argument("names", nargs=-1)
@click.option("--explain", "bundle", type=click.Path(path_type=Path), help="Bundle whose conversion to explain.")
@JSON_FLAG
@reported
def rewrites(names: tuple[str, ...], bundle: Path | None, as_json: bool) -> None:
    """Explain what each rewrite does, why, and the reason for its place in the order.

    With --explain: where each fired in the conversion of a bundle, and where it nearly did and why it did not.
    """
    if bundle is not None:
        explained = explain_rewrites(bundle, names)
        if as_json:
            print_json([entry.to_json() for entry in explained])
        for explanation in () if as_json else explained:
            click.secho(explanation.title, bold=True)
            for line in explanation.lines():
                click.echo(line)
        return
    described = describe_rewrites(names)
    if as_json:
        print_json(described)
        return
    for entry in described:
        click.secho(f"{entry['name']}", bold=True)
        for paragraph in (f"Order: {entry['stage']}, {entry['reason']}.", *entry["document"].split("\n\n")):
            click.echo(filled(paragraph) + "\n")


def describe_rewrites(names: Sequence[str]) -> list[dict[str, str]]:
    """Returns every rewrite in order, or the named ones, with its docstring.

    Raises:
        UserError: there is no rewrite of that name.
    """
    from detr2litert.rewrites import pipeline
    from detr2litert.rewrites.flatbuffer.pipeline import FIX_UPS

    stages: tuple[tuple[str, Sequence[Any]], ...] = (
        ("before the cut", pipeline.NORMALISE),
        ("in each graph", pipeline.IN_EACH_GRAPH),
        ("in the converted file", FIX_UPS),
    )
    entries = [
        {"name": step.name, "stage": stage, "reason": step.reason, "document": step.document}
        for stage, steps in stages
        for step in steps
    ]
    known = [entry["name"] for entry in entries]
    for name in names:
        if name not in known:
            raise UserError(f"no rewrite is called {name!r}: {suggestion(name, known)}")
    return [entry for entry in entries if not names or entry["name"] in names]


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
    from detr2litert.verify.report.report import load_report

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
