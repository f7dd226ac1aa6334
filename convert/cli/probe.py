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


@click.command(short_help="Measure what the installed runtime's GPU delegate accepts.")
@click.option("--only", multiple=True, metavar="NAME", help="A probe, or a lint rule's probes; repeatable.")
@click.option("--fp16", is_flag=True, help="The hazards of fp16, on an adapter that computes in it.")
@click.option("--write", type=click.Path(path_type=Path, dir_okay=False), help="File for the new measurement.")
@click.option(
    "--against",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Measurement to compare with [default: the recorded one].",
)
@JSON_FLAG
@reported
def probe(only: tuple[str, ...], fp16: bool, write: Path | None, against: Path | None, as_json: bool) -> int:
    """Run the probe suite on the installed runtime and adapter, and show what differs from the recorded measurement.

    Each probe is a small model that shows what the GPU delegate accepts, refuses or computes wrong; the lint's rules are based
    on them. Exit codes: 0 nothing differs, 1 something differs, 2 no adapter, usage error or bad input.
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
        return [*lines, "against   nothing: no measurement of this kind is recorded", *_written(report, write)]
    place = "the same adapter" if other.adapter == measured.adapter else other.adapter
    lines.append(f"against   ai-edge-litert {other.runtime} on {place}, {other.date}: {_differences(len(report.changes))}")
    for change in report.changes:
        before, after = (_describe(result) for result in (change.before, change.after))
        rules = f"  [lint: {', '.join(change.rules)}]" if change.rules else ""
        lines.append(f"{change.kind}: {change.probe}  {before} -> {after}{rules}")
    return [*lines, *_written(report, write)]


def _differences(count: int) -> str:
    return "nothing differs" if not count else f"{count} difference{'s' * (count > 1)}"


def _describe(result: Result | None) -> str:
    if result is None:
        return "nothing"
    error = f", wrong by {result.max_abs_diff:g}" if result.max_abs_diff is not None and result.behaviour == "wrong" else ""
    why = ", ".join(part for part in (result.death, result.refusal) if part)
    return f"{result.behaviour}{error}" + (f" ({why})" if why else "")


def _written(report: ProbeReport, write: Path | None) -> list[str]:
    return [f"wrote     {write}; the project's own copy is verify/probe/measured/{report.measured.file_name}"] if write else []
