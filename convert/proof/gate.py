"""What a gate is: an id, what it proves, and how it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from detr2litert.convert.proof.subject import Subject
from detr2litert.verify.gates import Doing, GateResult


def always(subject: Subject) -> bool:
    """Every run has the gate."""
    return True


@dataclass(frozen=True)
class Gate:
    """One gate.

    Attributes:
        id: the one word for it, in JSON, progress, messages, the report and the documents.
        title: heading in the report.
        proves: what a pass means, in a clause.
        run: judges a subject; the second argument is told what is being done. The result's ``gate`` is the id.
        applies: whether a subject has what the gate is about. A run without a gate that does not apply is complete.
    """

    id: str
    title: str
    proves: str
    run: Callable[[Subject, Doing], GateResult]
    applies: Callable[[Subject], bool] = always
