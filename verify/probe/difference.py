"""Compares two measurements of the suite: the changes, the worst first, and the lint rules they affect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from detr2litert.verify.probe.probe import Behaviour, Probe
from detr2litert.verify.probe.table import Measured, Result, plain_result


class Kind(StrEnum):
    """How a probe's result changed, in the order in which changes are reported."""

    WRONG = "newly wrong"
    DIED = "newly died"
    REFUSED = "newly refused"
    NOT_RUN = "not run"
    RIGHT = "newly right"
    REASON = "another reason"  # refused or died before and now, with another message
    ADDED = "not recorded"
    GONE = "no longer a probe"


_KINDS = {
    Behaviour.WRONG: Kind.WRONG,
    Behaviour.DIED: Kind.DIED,
    Behaviour.REFUSED: Kind.REFUSED,
    Behaviour.NOT_RUN: Kind.NOT_RUN,
    Behaviour.ACCEPTED: Kind.RIGHT,
}
_ORDER = tuple(Kind)


@dataclass(frozen=True)
class Change:
    """One probe whose result changed.

    Attributes:
        probe: its name.
        kind: see ``Kind``.
        before, after: the results, None where there is none.
        rules: the lint rules that it triggers or must not trigger.
    """

    probe: str
    kind: Kind
    before: Result | None
    after: Result | None
    rules: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Returns plain data."""
        return {
            "probe": self.probe,
            "kind": str(self.kind),
            "before": plain_result(self.before) if self.before else None,
            "after": plain_result(self.after) if self.after else None,
            "rules": list(self.rules),
        }


def compare(before: Measured, after: Measured, suite: Mapping[str, Probe], *, whole: bool = True) -> tuple[Change, ...]:
    """Returns the changes, sorted by kind and name.

    Differences from the reference are not compared: those of wrong results are often arbitrary memory contents, and those of
    right ones are rounding.

    Args:
        before, after: the measurements.
        suite: the probes by name, for the rules.
        whole: ``after`` covers the whole suite, so that a probe it lacks no longer exists.
    """
    names = set(after.results) | (set(before.results) if whole else set())
    changes = [
        Change(name, kind, before.results.get(name), after.results.get(name), _rules(suite.get(name)))
        for name in names
        if (kind := _kind(before.results.get(name), after.results.get(name))) is not None
    ]
    return tuple(sorted(changes, key=lambda change: (_ORDER.index(change.kind), change.probe)))


def _kind(before: Result | None, after: Result | None) -> Kind | None:
    if after is None:
        return Kind.GONE
    if before is None:
        return Kind.ADDED
    if before.behaviour is not after.behaviour:
        return _KINDS[after.behaviour]
    return Kind.REASON if (before.refusal, before.death) != (after.refusal, after.death) else None


def _rules(probe: Probe | None) -> tuple[str, ...]:
    if probe is None:
        return ()
    return ((probe.triggers,) if probe.triggers else ()) + probe.must_not_trigger
