"""The definition of a gate: its id, what it proves, and how it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from detr2litert.convert.proof.subject import Subject
from detr2litert.verify.gates import Doing, GateResult


def always(subject: Subject) -> bool:
    """Applies to every subject."""
    return True


@dataclass(frozen=True)
class Gate:
    """A gate of the proof.

    Attributes:
        id: its name everywhere: JSON, progress, messages, report and documents.
        title: heading in the report.
        proves: what a pass means, in a clause.
        run: judges a subject; passes a description of each computation to the second argument. The result's ``gate`` is the id.
        applies: whether the gate applies to a subject. A record is complete without the gates that do not apply.
    """

    id: str
    title: str
    proves: str
    run: Callable[[Subject, Doing], GateResult]
    applies: Callable[[Subject], bool] = always
