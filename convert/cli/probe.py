"""The command that measures the installed runtime's GPU delegate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from detr2litert.convert.cli.base import GATE_FAILED, JSON_FLAG, reported
from detr2litert.convert.cli.output import print_json

if TYPE_CHECKING:
    from detr2litert.convert.probing import ProbeReport
    from detr2litert.verify.probe.table import Result


@click.command(short_help="Measure what the installed runtime's GPU delegate takes.")
@click.option("--only", multiple=True, metavar="NAME", help="A probe, or a lint rule's probes; repeatable.")
@click.option("--fp16", is_flag=True, help="The hazards of fp16, on an adapter that computes in it.")
@click.option("--write", type=click.Path(path_type=Path, dir_okay=False), help="File for the new measurement.")
@click.option(
    "--against", type=click.Path(path_type=Path, dir_okay=False), help="Measurement to compare with [default: the kept one]."
)
@JSON_FLAG
@reported
def probe(only: tuple[str, ...], fp16: bool, write: Path | None, against: Path | None, as_json: bool) -> int:
    """Run the probe suite on the installed runtime and adapter, and show what differs from the measurement that is kept.

    Each probe is a small model that shows what the GPU delegate takes, refuses or gets wrong; the lint's rules rest on them.
    Exit codes: 0 nothing differs, 1 something does, 2 no adapter, bad use or bad input.
    """
    from detr2litert.convert.probing import probe_runtime
    from detr2litert.convert.progress import Progress

    report = probe_runtime(only, fp16, write, against, Progress())
    if as_json:
        print_json(report.to_json())
    else:
        click.echo("\n".join(_lines(report, write)))
    return GATE_FAILED if report.changes else 0


def _lines(report: ProbeReport, write: Path | None) -> list[str]:
    measured, other = report.measured, report.against
    counts = ", ".join(f"{count} {kind}" for kind, count in report.counts().items())
    lines = [
        f"measured  ai-edge-litert {measured.runtime}, {measured.backend}, {measured.precision} on {measured.adapter}",
        f"          {len(measured.results)} probes in {report.seconds:.0f} s: {counts}",
    ]
    if other is None:
        return [*lines, "against   nothing: no measurement of this kind is kept", *_written(report, write)]
    place = "the same adapter" if other.adapter == measured.adapter else other.adapter
    lines.append(f"against   ai-edge-litert {other.runtime} on {place}, {other.date}: {_differences(len(report.changes))}")
    for change in report.changes:
        before, after = (_told(result) for result in (change.before, change.after))
        rules = f"  [lint: {', '.join(change.rules)}]" if change.rules else ""
        lines.append(f"{change.kind}: {change.probe}  {before} -> {after}{rules}")
    return [*lines, *_written(report, write)]


def _differences(count: int) -> str:
    return "nothing differs" if not count else f"{count} difference{'s' * (count > 1)}"


def _told(result: Result | None) -> str:
    if result is None:
        return "nothing"
    off = f", off by {result.max_abs_diff:g}" if result.max_abs_diff is not None and result.behaviour == "wrong" else ""
    why = ", ".join(part for part in (result.death, result.refusal) if part)
    return f"{result.behaviour}{off}" + (f" ({why})" if why else "")


def _written(report: ProbeReport, write: Path | None) -> list[str]:
    return [f"wrote     {write}; the project keeps it as verify/probe/measured/{report.measured.file_name}"] if write else []
