"""Compares contenders, and refuses where a difference of the set-ups would be taken for one of the detectors."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from detr2litert.host_runtime.errors import UserError
from detr2litert.verify.bench.machine import differing_machines
from detr2litert.verify.bench.ratio import ratio_of_medians
from detr2litert.verify.bench.record import DETECTOR_ALONE, BenchRecord, Comparison, ContenderRecord
from detr2litert.verify.bench.setup import Difference, Setup, differing
from detr2litert.verify.bench.stages import FRAME

_SHOWN = 6
_DESPITE = "give --despite-differences to compare them nevertheless"


def require_comparable(setups: Sequence[tuple[str, Setup]], chosen: Collection[str], despite: bool) -> None:
    """Checks that all contenders of a run have the first one's set-up, before anything is timed.

    Args:
        setups: name and set-up of each.
        chosen: fields of ``Setup`` in which they may differ because the user asked for it.
        despite: the user wants to compare them whatever differs.

    Raises:
        UserError: one differs.
    """
    name, first = setups[0]
    for other, setup in setups[1:]:
        found = differing(first, setup, chosen)
        if found and not despite:
            raise UserError(f"the set-ups of {name} and {other} differ ({_listed(found)}); {_advice(found)}")


def compare_in_turns(contenders: Sequence[ContenderRecord], chosen: Collection[str], seed: int) -> list[Comparison]:
    """Compares the first contender with each other one of its run, frame by frame."""
    first = contenders[0]
    return [
        comparison
        for other in contenders[1:]
        for comparison in _compare(first, other, other.name, differing(first.setup, other.setup, chosen), seed, saved=False)
    ]


def compare_with_saved(record: BenchRecord, saved: BenchRecord, path: Path, despite: bool) -> list[Comparison]:
    """Compares each contender with the one of the same name in a saved record, or the only one here with the only one there.

    Raises:
        UserError: no contender has its name there; or the machines, the software, the pictures or the set-ups differ and the
            user did not ask for the comparison despite that.
    """
    pairs = _pairs(record.contenders, saved.contenders, path)
    everywhere = differing_machines(record.machine, saved.machine)
    if record.pictures_sha256 != saved.pictures_sha256:
        everywhere.append(Difference("pictures", record.pictures_sha256[:12], saved.pictures_sha256[:12]))
    found: list[Comparison] = []
    for own, other in pairs:
        differences = [*everywhere, *differing(own.setup, other.setup)]
        if differences and not despite:
            raise UserError(
                f"{path} was measured with another set-up than {own.name} ({_listed(differences)}); measure both here with "
                f"--against BUNDLE, or {_DESPITE}"
            )
        found += _compare(own, other, f"{other.name} in {path.name}", differences, record.seed, saved=True)
    return found


def _pairs(
    own: Sequence[ContenderRecord], saved: Sequence[ContenderRecord], path: Path
) -> list[tuple[ContenderRecord, ContenderRecord]]:
    by_name = {contender.name: contender for contender in saved}
    pairs = [(contender, by_name[contender.name]) for contender in own if contender.name in by_name]
    if not pairs and len(own) == len(saved) == 1:
        pairs = [(own[0], saved[0])]
    if not pairs:
        raise UserError(
            f"{path} has the times of {', '.join(by_name)[:200]}, not of {', '.join(c.name for c in own)[:200]}; give a record "
            "of the same, or of one contender alone"
        )
    return pairs


def _compare(
    first: ContenderRecord, second: ContenderRecord, name: str, differences: Sequence[Difference], seed: int, *, saved: bool
) -> list[Comparison]:
    shown = [*differences]
    if first.variant and second.variant and first.variant != second.variant:
        # Not refused: which of two detectors to ship is a question that is asked. But it is no question of their set-ups.
        shown.append(Difference("detector", first.variant, second.variant))
    return [
        Comparison(
            first.name,
            name,
            part,
            ratio_of_medians(first.part(part), second.part(part), paired=not saved, seed=seed),
            saved,
            tuple(map(str, shown)),
        )
        for part in (FRAME, DETECTOR_ALONE)
    ]


def _listed(differences: Sequence[Difference]) -> str:
    more = len(differences) - _SHOWN
    return "; ".join(map(str, differences[:_SHOWN])) + (f"; and {more} more" if more > 0 else "")


def _advice(differences: Sequence[Difference]) -> str:
    if [difference.what for difference in differences] == ["form"]:
        return f"give --form portable, or {_DESPITE}"
    return _DESPITE
