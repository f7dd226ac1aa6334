"""A campaign: graphs by the batch until the time is up, the unknown faults minimised and grouped by kind."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from detr2litert.verify.delegate.adapters import Driver
from detr2litert.verify.fuzz.build import source, write
from detr2litert.verify.fuzz.generate import generate
from detr2litert.verify.fuzz.judge import Judged, Verdict, judge
from detr2litert.verify.fuzz.minimise import minimise
from detr2litert.verify.fuzz.spec import Spec
from detr2litert.verify.gates import Doing, unheard

_BATCH = 40
_MINIMISE_SECONDS = 60.0


@dataclass(frozen=True)
class Fault:
    """A fault that no rule knows.

    Attributes:
        number: of the graph, for ``generate``.
        spec: its smallest form.
        judged: the result of that.
    """

    number: int
    spec: Spec
    judged: Judged

    @property
    def kind(self) -> str:
        """What it is grouped by: the outcome and the operators that are needed."""
        return f"{self.judged.verdict}: {' > '.join(self.spec.kinds)}"


@dataclass
class Campaign:
    """The result.

    Attributes:
        seed, graphs, seconds: what was run.
        verdicts: how many graphs the delegate got right, wrong …
        known: faults by the rules that know them.
        alarms: graphs that are right although a rule calls them wrong, by rule.
        faults: by kind, the first of each first.
    """

    seed: int
    graphs: int = 0
    seconds: float = 0.0
    verdicts: Counter[str] = field(default_factory=Counter)
    known: Counter[str] = field(default_factory=Counter)
    alarms: Counter[str] = field(default_factory=Counter)
    alarmed: dict[str, list[int]] = field(default_factory=dict)
    faults: dict[str, list[Fault]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Returns plain data."""
        return {
            "seed": self.seed,
            "graphs": self.graphs,
            "seconds": round(self.seconds, 1),
            "verdicts": dict(self.verdicts),
            "known": dict(self.known),
            "alarms": {rule: {"count": count, "graphs": self.alarmed[rule][:5]} for rule, count in self.alarms.items()},
            "unknown": [
                {"kind": kind, "count": len(faults), "graphs": [f.number for f in faults], "error": faults[0].judged.error,
                 "message": faults[0].judged.message, "smallest": repr(faults[0].spec)}
                for kind, faults in self.faults.items()
            ],
        }  # fmt: skip


def run(
    seed: int, seconds: float, driver: Driver, *, start: int = 0, limit: int | None = None, doing: Doing = unheard
) -> Campaign:
    """Runs graphs ``start``, ``start + 1`` … of a seed until the time is up.

    Args:
        seed: of the graphs.
        seconds: for everything; a batch that was begun is completed.
        driver: how to reach the GPU.
        start: the first graph's number.
        limit: largest number of graphs; None for no other bound than the time.
        doing: called with the progress.
    """
    begun, campaign = time.monotonic(), Campaign(seed)
    run_all: Callable[[Any], list[Judged]] = lambda specs: judge(specs, driver)  # noqa: E731
    while time.monotonic() - begun < seconds and (limit is None or campaign.graphs < limit):
        size = _BATCH if limit is None else min(_BATCH, limit - campaign.graphs)
        numbers = range(start + campaign.graphs, start + campaign.graphs + size)
        specs = [generate(seed, number) for number in numbers]
        for number, spec, judged in zip(numbers, specs, run_all(specs), strict=True):
            campaign.graphs += 1
            campaign.verdicts[judged.verdict] += 1
            if judged.bad:
                campaign.known.update(judged.rules)
            elif judged.verdict is Verdict.RIGHT:
                campaign.alarms.update(judged.rules)
                for rule in judged.rules:
                    campaign.alarmed.setdefault(rule, []).append(number)
            if judged.unknown:
                deadline = time.monotonic() + _MINIMISE_SECONDS
                fault = Fault(number, *minimise(spec, judged, run_all, deadline))
                campaign.faults.setdefault(fault.kind, []).append(fault)
                doing(f"graph {number}: {fault.kind} {fault.judged.message}")
        doing(f"{campaign.graphs} graphs, {sum(map(len, campaign.faults.values()))} unknown faults")
    campaign.seconds = time.monotonic() - begun
    return campaign


def write_candidates(campaign: Campaign, folder: Path) -> list[Path]:
    """Writes the smallest graph of each kind as a .tflite file, and all of them as probes in the suite's form."""
    folder.mkdir(parents=True, exist_ok=True)
    written, texts = [], []
    for kind, faults in campaign.faults.items():
        smallest = min(faults, key=lambda fault: len(repr(fault.spec)))
        name = f"fuzz_{campaign.seed}_{smallest.number}"
        written.append(write(smallest.spec, folder / f"{name}.tflite"))
        texts.append(source(smallest.spec, name, kind, str(smallest.judged.verdict).upper()))
    head = '"""Candidates for the probe suite; ``Constant`` is detr2litert.verify.fuzz.spec\'s."""\n\n'
    (folder / "candidates.py.txt").write_text(head + "\n\n".join(texts), encoding="utf-8")
    return [*written, folder / "candidates.py.txt"]
