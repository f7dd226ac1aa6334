"""The folder of rfdetr's ``export_for_roboflow``: its names are on the columns that rfdetr's own prediction gives them."""

from __future__ import annotations

import types
from pathlib import Path
from typing import Any

import pytest
import torch

from detr2litert.convert.models.checkpoints import load_checkpoint
from detr2litert.convert.models.classes import resolve_classes
from detr2litert.convert.models.coco import COCO_NAMES, COCO_SPARSE
from detr2litert.convert.models.variants import VARIANTS
from detr2litert.host_runtime.errors import UserError
from tests.convert.rfdetr_checkpoints import rfdetr_state

NAMES = ["forklift", "pallet", "hard hat"]


def exported(folder: Path, names: list[str] | None = None, stated: list[str] | None = None, columns: int = 4) -> Path:
    """What rfdetr 1.11 writes: a state dict, the loaded model's arguments, and a name a line, without a last line break."""
    folder.mkdir()
    arguments: dict[str, Any] = {"num_classes": columns - 1, "num_select": 30, "output_dir": "output", "resume": ""}
    arguments["class_names"] = names if stated is None else stated
    state = rfdetr_state(VARIANTS["tiny"], columns)
    torch.save({"model": state, "args": types.SimpleNamespace(**arguments)}, folder / "weights.pt")
    if names is not None:
        (folder / "class_names.txt").write_text("\n".join(names))
    return folder


def test_name_i_is_on_column_i(tmp_path: Path) -> None:
    """And not on column i + 1, as in the checkpoints of a training before 1.5, whose arguments are a namespace as well."""
    checkpoint = load_checkpoint(exported(tmp_path / "bundle", NAMES))
    classes = resolve_classes(VARIANTS["tiny"], checkpoint.logit_columns, checkpoint.classes)
    assert classes.names == (*NAMES, None) and "class_names.txt" in classes.source
    stated = {statement.setting: statement.value for statement in checkpoint.statements}
    assert stated["num_select"] == 30 and "resize" not in stated  # any version since 1.6 may have written it


def test_the_names_of_coco(tmp_path: Path) -> None:
    checkpoint = load_checkpoint(exported(tmp_path / "bundle", list(COCO_NAMES), columns=91))
    assert resolve_classes(VARIANTS["tiny"], 91, checkpoint.classes).names == COCO_SPARSE


def test_weights_alone_name_the_same(tmp_path: Path) -> None:
    folder = exported(tmp_path / "bundle", NAMES)
    file = load_checkpoint(folder / "weights.pt")
    (folder / "class_names.txt").unlink()
    for checkpoint in (file, load_checkpoint(folder)):
        assert resolve_classes(VARIANTS["tiny"], 4, checkpoint.classes).names == (*NAMES, None)


@pytest.mark.parametrize(
    ("names", "stated", "message"),
    [
        (NAMES, ["bolt", "nut", "screw"], r"class_names\.txt names forklift, .* and the arguments in .*weights\.pt bolt, nut"),
        (["forklift", "", "hard hat"], ["forklift", "", "hard hat"], "an empty line"),
        ([""], None, "no names"),
    ],
)
def test_contradictions_and_damage_are_named(tmp_path: Path, names: list[str], stated: list[str] | None, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_checkpoint(exported(tmp_path / "bundle", names, stated))


def test_more_names_than_columns(tmp_path: Path) -> None:
    checkpoint = load_checkpoint(exported(tmp_path / "bundle", [*NAMES, "a", "b"]))
    with pytest.raises(UserError, match="names 5 classes, but its class head has 4 columns"):
        resolve_classes(VARIANTS["tiny"], 4, checkpoint.classes)


def test_a_damaged_file(tmp_path: Path) -> None:
    folder = exported(tmp_path / "bundle", NAMES)
    (folder / "weights.pt").write_bytes(b"no weights")
    with pytest.raises(UserError, match="damaged or not a torch checkpoint"):
        load_checkpoint(folder)
