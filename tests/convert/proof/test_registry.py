"""The registry of gates: one id each, in every place where a gate is named."""

from __future__ import annotations

from pathlib import Path

from detr2litert.convert.proof import gates
from detr2litert.convert.proof.registry import GATES

FOLDER = Path(gates.__file__).parent


def test_every_gate_is_registered_once_under_its_files_name() -> None:
    ids = [gate.id for gate in GATES]
    assert len(set(ids)) == len(ids)
    assert sorted(name.replace(" ", "_") for name in ids) == sorted(
        path.stem for path in FOLDER.glob("*.py") if path.stem != "__init__"
    )


def test_every_gate_describes_what_it_verifies() -> None:
    for gate in GATES:
        assert gate.title and gate.proves and not gate.proves.endswith(".") and gate.run.__doc__


def test_no_message_uses_another_name_for_a_gate() -> None:
    """Messages use the id, which a reader then finds in report.json and in the documents."""
    root = FOLDER.parents[2].resolve()
    for room in ("convert", "verify", "tools"):
        for path in (root / room).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            for wrong in ("numbers gate", "gate: op lint", "gate: numbers", "op-lint gate", "detection gate"):
                assert wrong not in text, (path, wrong)
