"""``convert probe``: runs the probe suite on the installed runtime and compares it with the recorded measurement."""

from __future__ import annotations

import difflib
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from detr2litert.convert.cli.base import GATE_FAILED, JSON_FLAG, FiniteRange, reported
from detr2litert.convert.cli.output import print_json
from detr2litert.host_runtime.errors import UserError, readable
from detr2litert.verify.printable import printable

if TYPE_CHECKING:
    from detr2litert.convert.progress import Progress
    from detr2litert.verify.delegate.adapters import Driver
    from detr2litert.verify.probe.difference import Change
    from detr2litert.verify.probe.probe import Probe
    from detr2litert.verify.probe.table import Measured, Result


@click.command(short_help="Measure what the installed runtime's GPU delegate accepts.")
@click.option("--only", multiple=True, metavar="NAME", help="A probe, or a lint rule's probes; repeatable.")
@click.option("--fp16", is_flag=True, help="The hazards of fp16, on an adapter that computes in it.")
@click.option("--write", type=click.Path(path_type=Path, dir_okay=False), help="File for the new measurement.")
@click.option(
    "--against",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Measurement to compare with [default: the recorded one].",
)
@click.option("--fuzz", type=FiniteRange(min=0, min_open=True), metavar="MINUTES", help="Run random graphs instead.")
@click.option("--seed", type=click.IntRange(min=0), help="Of the random graphs [default: a new one, which is printed].")
@click.option(
    "--candidates",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the smallest graph of each fault that no rule knows, as a file and as a probe.",
)
@JSON_FLAG
@reported
def probe(
    only: tuple[str, ...],
    fp16: bool,
    write: Path | None,
    against: Path | None,
    fuzz: float | None,
    seed: int | None,
    candidates: Path | None,
    as_json: bool,
) -> int:
    """Run the probe suite on the installed runtime and adapter, and show what differs from the recorded measurement.

    Each probe is a small model that shows what the GPU delegate accepts, refuses or computes wrong; the lint's rules are based
    on them. With --fuzz, random graphs show what no rule knows. Exit codes: 0 nothing differs and nothing new was found, 1
    something was, 2 no adapter, usage error or bad input.
    """
    from detr2litert.convert.progress import Progress

    if fuzz is not None:
        if only or fp16 or write is not None or against is not None:
            raise UserError("--fuzz runs random graphs in fp32: leave out --only, --fp16, --write and --against, or --fuzz")
        return _fuzz(fuzz, seed, candidates, as_json)
    if seed is not None or candidates is not None:
        raise UserError("--seed and --candidates are options of random graphs: add --fuzz MINUTES")
    report = probe_runtime(only, fp16, write, against, Progress())
    if as_json:
        print_json(report.to_json())
    else:
        click.echo("\n".join(_lines(report, write)))
    return GATE_FAILED if report.changes else 0


def _fuzz(minutes: float, seed: int | None, candidates: Path | None, as_json: bool) -> int:
    from detr2litert.convert.console import console
    from detr2litert.convert.progress import waiting
    from detr2litert.verify.fuzz.campaign import run, write_candidates
    from detr2litert.verify.fuzz.report import lines

    driver = _driver(fp16=False)
    chosen = secrets.randbelow(1 << 31) if seed is None else seed
    with waiting(console(stderr=True), f"random graphs of seed {chosen}"):
        campaign = run(chosen, 60 * minutes, driver)
    if as_json:
        print_json(campaign.to_json())
    else:
        click.echo("\n".join(printable(line) for line in lines(campaign)))
    if candidates is not None and campaign.faults:
        with readable(candidates):
            for path in write_candidates(campaign, candidates):
                click.echo(f"wrote     {path}", err=True)
    return GATE_FAILED if campaign.faults else 0


@dataclass(frozen=True)
class ProbeReport:
    """The command's result.

    Attributes:
        measured: the new measurement.
        against: the one that it was compared with; None if none is recorded.
        changes: the differences.
        seconds: wall time of the probes.
    """

    measured: Measured
    against: Measured | None
    changes: tuple[Change, ...]
    seconds: float

    def counts(self) -> dict[str, int]:
        """Counts the probes by behaviour, in the order of ``Behaviour``."""
        from detr2litert.verify.probe.probe import Behaviour

        outcomes = [result.behaviour for result in self.measured.results.values()]
        return {str(kind): outcomes.count(kind) for kind in Behaviour if kind in outcomes}

    def to_json(self) -> dict[str, Any]:
        """Returns plain data."""
        against = self.against
        return {
            "counts": self.counts(),
            "seconds": round(self.seconds, 1),
            "against": {"runtime": against.runtime, "adapter": against.adapter, "date": against.date} if against else None,
            "differences": [change.to_json() for change in self.changes],
            "measured": self.measured.to_json(),
        }


def probe_runtime(only: Sequence[str], fp16: bool, write: Path | None, against: Path | None, progress: Progress) -> ProbeReport:
    """Runs the suite, or part of it, and compares.

    Args:
        only: probes, or lint rules whose probes to run; empty for all.
        fp16: the suite of fp16's hazards, on an adapter that computes in fp16.
        write: file for the new measurement.
        against: file to compare with [default: the recorded one].
        progress: shows the stage.

    Raises:
        UserError: no adapter, an unknown name, a file that cannot be read or written or is a measurement of another kind, or a
            part of the suite to be written.
    """
    from detr2litert.verify.probe.difference import compare
    from detr2litert.verify.probe.measure import measure
    from detr2litert.verify.probe.suite import FP16_SUITE, SUITE
    from detr2litert.verify.probe.table import recorded, write_measured

    if only and write is not None:
        raise UserError("--write records a measurement of the whole suite; leave out --only, or --write")
    if write is not None:
        with readable(write.parent):
            if not write.parent.is_dir():
                raise UserError(
                    f"cannot write {write}: there is no folder {write.parent}; make it, or choose another file with --write"
                )
    suite = FP16_SUITE if fp16 else SUITE
    chosen = choose(suite, only)
    other = _comparable(against, "fp16" if fp16 else "fp32") if against is not None else None
    driver = _driver(fp16)
    start = time.perf_counter()
    with progress.stage("probe suite") as stage:
        measured = measure(chosen, driver, fp16=fp16)
        stage.detail = f"{len(chosen)} probes on {measured.adapter}"
    seconds = time.perf_counter() - start
    if other is None:
        other = recorded(measured.runtime, measured.adapter, measured.precision)
    by_name = {probe.name: probe for probe in suite}
    changes = compare(other, measured, by_name, whole=not only) if other is not None else ()
    if write is not None:  # last: it may be the very file that was compared with
        write_measured(measured, write)
    return ProbeReport(measured, other, changes, seconds)


def choose(suite: Sequence[Probe], only: Sequence[str]) -> tuple[Probe, ...]:
    """Returns the named probes, and those that trigger or must not trigger a named lint rule; all without names.

    Raises:
        UserError: a name is neither a probe nor a rule.
    """
    names = {probe.name for probe in suite}
    rules = {rule for probe in suite for rule in (probe.triggers, *probe.must_not_trigger) if rule}
    for name in only:
        if name not in names | rules:
            near = difflib.get_close_matches(name, sorted(names | rules), n=3, cutoff=0.5)
            hint = f"did you mean {' or '.join(near)}?" if near else f"a probe's name, or one of {', '.join(sorted(rules))}"
            raise UserError(f"no probe and no lint rule is called {name!r}: {hint}")
    return tuple(probe for probe in suite if not only or {probe.name, probe.triggers, *probe.must_not_trigger} & set(only))


def _comparable(path: Path, precision: str) -> Measured:
    """Reads a measurement that can be compared with one in ``precision``."""
    from detr2litert.verify.probe.table import BACKEND, read_measured

    other = read_measured(path)
    if other.precision != precision:
        cure = {"fp16": "add --fp16, or ", "fp32": "leave out --fp16, or "}.get(other.precision, "")
        raise UserError(
            f"{path} is an {other.precision} measurement, this one is {precision}: {cure}give another file with --against"
        )
    if other.backend != BACKEND:
        raise UserError(
            f"{path} is a measurement of the backend {other.backend}, this one is of {BACKEND}: "
            "give another file with --against"
        )
    return other


def _driver(fp16: bool) -> Driver:
    from detr2litert.verify.delegate.driver import NO_ADAPTER, NO_FP16, find_driver, find_fp16_driver

    driver, lacking = (find_fp16_driver(), NO_FP16) if fp16 else (find_driver(), NO_ADAPTER)
    if driver is None:
        raise UserError(f"{lacking.reason}: {lacking.advice}")
    return driver


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
