"""Names of the logit columns: from a file, from the checkpoint, from COCO."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from detr2litert.convert.models.checkpoints.stated_classes import StatedClasses
from detr2litert.convert.models.classes import resolve_classes
from detr2litert.convert.models.coco import COCO_NAMES, COCO_SPARSE
from detr2litert.convert.models.variants import VARIANTS
from detr2litert.host_runtime.errors import UserError

NANO = VARIANTS["nano"]


def stated(*readings: dict[int, str]) -> StatedClasses:
    return StatedClasses(readings, "a test")


def test_coco_is_indexed_by_category_id() -> None:
    assert (len(COCO_SPARSE), len(COCO_NAMES)) == (91, 80)
    assert [COCO_SPARSE[i] for i in (1, 11, 13, 18, 44, 62, 72, 90)] == [
        "person",
        "fire hydrant",
        "stop sign",
        "dog",
        "bottle",
        "chair",
        "tv",
        "toothbrush",
    ]
    assert [i for i, name in enumerate(COCO_SPARSE) if name is None] == [0, 12, 26, 29, 30, 45, 66, 68, 69, 71, 83]


def test_a_published_head_has_the_published_names() -> None:
    classes = resolve_classes(NANO, 91)
    assert classes.names == COCO_SPARSE
    assert classes.ignored == (0, 12, 26, 29, 30, 45, 66, 68, 69, 71, 83)


def test_the_checkpoints_own_names_skip_the_unused_column() -> None:
    classes = resolve_classes(NANO, 4, stated({0: "a", 1: "b", 2: "c"}))
    assert (classes.names, classes.ignored, classes.source) == (("a", "b", "c", None), (3,), "the checkpoint: a test")
    assert resolve_classes(NANO, 4, stated({1: "a", 2: "b", 3: "c"})).names == (None, "a", "b", "c")
    with pytest.raises(UserError, match="names 5 classes, but its class head has 4 columns"):
        resolve_classes(NANO, 4, stated({4: "e"}))


def test_each_column_has_the_id_that_the_file_gives_its_name(tmp_path: Path) -> None:
    listed = StatedClasses(({1: "a", 2: "b"},), "a list", listed=True)
    assert resolve_classes(NANO, 4, listed).ids == (None, 0, 1, None)
    assert resolve_classes(NANO, 4, stated({1: "a", 3: "b"})).ids == (None, 1, None, 3)
    (tmp_path / "c.txt").write_text("a\n\nc\nd")
    assert resolve_classes(NANO, 4, None, tmp_path / "c.txt").ids == (0, None, 2, 3)
    categories = [{"id": 7, "name": "b"}, {"id": 4, "name": "a"}]
    (tmp_path / "c.json").write_text(json.dumps({"categories": categories}))
    from_annotations = resolve_classes(NANO, 2, None, tmp_path / "c.json")
    assert (from_annotations.names, from_annotations.ids) == (("a", "b"), (4, 7))


def test_names_of_the_published_detector_are_said_to_be_its() -> None:
    classes = resolve_classes(VARIANTS["dfine-n"], 80)
    assert classes.names == COCO_NAMES
    assert classes.source == "COCO's names of the published dfine-n, whose head has 80 columns too; the file names none"
    assert set(classes.ids) == {None}


def test_classes_without_names_are_numbered() -> None:
    assert resolve_classes(NANO, 2).names == ("class 0", "class 1")


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("c.txt", "a\nb\nc\n", ("a", "b", "c", None)),
        ("c.txt", "a\n b \nc\nd", ("a", "b", "c", "d")),
        ("c.txt", "a\n\nc\nd\n\n", ("a", None, "c", "d")),
        ("c.json", '["a", null, "c", "d"]', ("a", None, "c", "d")),
        ("c.json", '{"0": "a", "3": "d"}', ("a", None, None, "d")),
        ("c.txt", '["a", "b", "c"]', ("a", "b", "c", None)),
        ("c.txt", "\ufeffa\r\nb\r\nc\r\n", ("a", "b", "c", None)),
    ],
)
def test_a_class_file(name: str, text: str, expected: tuple[str | None, ...], tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(text.encode())
    classes = resolve_classes(NANO, 4, stated({0: "x", 1: "y", 2: "z"}), tmp_path / name)
    assert (classes.names, classes.source) == (expected, str(tmp_path / name))


def test_a_class_file_for_names_that_begin_at_one(tmp_path: Path) -> None:
    (tmp_path / "c.txt").write_text("a\nb\nc\n")
    assert resolve_classes(NANO, 4, stated({1: "x", 2: "y", 3: "z"}), tmp_path / "c.txt").names == (None, "a", "b", "c")


def test_eighty_names_are_assigned_to_cocos_ids(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text(json.dumps(COCO_NAMES))
    assert resolve_classes(NANO, 91, None, tmp_path / "c.json").names == COCO_SPARSE


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"a\nb", "has 2 classes, but the class head has 4 columns; give 4 names, or their columns"),
        (b"a\nb\nc\nd\ne", "has 5 classes, but the class head has 4 columns"),
        (b'{"4": "e"}', "names id 4, but the class head has 4 columns .0 to 3."),
        (b"", "is empty"),
        (b"  \n\n", "is empty"),
        (b"[1, 2]", "must hold a list of names"),
        (b'{"person": 1}', "must hold a list of names"),
        (b'{"' + b"9" * 5000 + b'": "a"}', "must hold a list of names"),
        (b"[", "not valid JSON"),
        (b"\xff\xfe\x00", "not UTF-8"),
    ],
)
def test_class_files_that_do_not_fit(text: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "c.txt").write_bytes(text)
    with pytest.raises(UserError, match=message):
        resolve_classes(NANO, 4, None, tmp_path / "c.txt")


def test_class_files_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.txt", tmp_path):
        with pytest.raises(UserError, match="cannot read class file"):
            resolve_classes(NANO, 4, None, path)
