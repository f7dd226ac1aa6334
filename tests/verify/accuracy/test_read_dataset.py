"""Annotated pictures in every layout, and what is refused in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.masks import Mask
from detr2litert.verify.accuracy.dataset import choose, class_numbers, with_masks
from detr2litert.verify.accuracy.read_dataset import read_dataset
from detr2litert.verify.accuracy.segmentation import read_segmentation

CATEGORIES = [{"id": 0, "name": "parts"}, {"id": 1, "name": "bolt"}, {"id": 7, "name": "traffic_light"}]
OBJECTS = [
    {"id": 1, "image_id": 10, "category_id": 7, "bbox": [5, 6, 10, 20], "area": 200, "iscrowd": 0},
    {"id": 2, "image_id": 10, "category_id": 1, "bbox": [1, 2, 3, 4], "area": 12, "iscrowd": 1},
]


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (80, 40), "green").save(path)
    return path


def coco(path: Path, **changed: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    images = [{"id": 10, "file_name": "a.png"}, {"id": 11, "file_name": "b.png"}]
    path.write_text(json.dumps({"images": images, "annotations": OBJECTS, "categories": CATEGORIES, **changed}))
    return path


@pytest.mark.parametrize(
    ("annotations", "pictures"),
    [
        ("valid/_annotations.coco.json", "valid"),
        ("_annotations.coco.json", "."),
        ("annotations/instances_val2017.json", "val2017"),
        ("annotations/instances_val2017.json", "images/val2017"),
        ("annotations/instances_all.json", "images"),
    ],
)
def test_coco_in_every_layout(tmp_path: Path, annotations: str, pictures: str) -> None:
    path = coco(tmp_path / annotations)
    for name in ("a.png", "b.png"):
        picture(tmp_path / pictures / name)
    for given in (tmp_path, path):
        found = read_dataset(given)
        assert found.classes == ("parts", "bolt", "traffic_light")
        assert [p.name for p in found.pictures] == ["a.png", "b.png"] and found.total == 2
        first, second = found.pictures
        assert first.load().size == (80, 40)
        assert first.truth.boxes.tolist() == [[5, 6, 15, 26], [1, 2, 4, 6]]
        assert first.truth.classes.tolist() == [2, 1] and first.truth.crowd.tolist() == [False, True]
        assert len(second.truth.classes) == 0
    assert "all 2 pictures" in found.description


HALF = Mask.of(np.tile([True, False], (40, 40))).to_dict()
"""Every second column of a picture of 80 x 40."""
SIZED = [{"id": 10, "file_name": "a.png", "width": 80, "height": 40}]


def test_masks_are_read_on_request(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    segmented = [
        {**OBJECTS[0], "segmentation": [[5, 6, 15, 6, 15, 26, 5, 26]]},
        {**OBJECTS[1], "segmentation": HALF},
    ]
    dataset = read_dataset(coco(tmp_path / "_annotations.coco.json", images=SIZED, annotations=segmented))
    assert not dataset.has_masks
    dataset = with_masks(dataset)
    assert dataset.lacks_masks == ""
    (rectangle, half) = dataset.pictures[0].truth.masks or ()
    assert dataset.has_masks and half.to_dict() == HALF
    assert rectangle.pixels[6:26, 5:15].all() and rectangle.pixels.sum() == 200


@pytest.mark.parametrize("segmentation", [None, []], ids=["absent", "empty"])
def test_an_object_without_a_mask_leaves_the_boxes(tmp_path: Path, segmentation: Any) -> None:
    mixed = [{**OBJECTS[0], "segmentation": segmentation}, {**OBJECTS[1], "segmentation": HALF}]
    dataset = read_dataset(coco(tmp_path / "_annotations.coco.json", annotations=mixed))
    assert with_masks(dataset) is dataset and not dataset.has_masks
    assert dataset.lacks_masks == "1 of 2 objects have a box alone (first in a.png)"


@pytest.mark.parametrize(
    ("images", "segmentation", "words"),
    [
        (SIZED, [[1, 2, 3]], "annotation 0 has a polygon"),
        (SIZED, {"size": [4, 4], "counts": [16]}, "annotation 0 has run lengths of 4 x 4 pixels, and its picture has 80 x 40"),
        ([{"id": 10, "file_name": "a.png"}], [[1, 2, 3, 2, 3, 9]], "annotation 0 has polygons, which need the width"),
        ([{**SIZED[0], "width": 40}], [[1, 2, 3, 2, 3, 9]], "masks of a.png have 40 x 40 pixels, and the picture has 80 x 40"),
    ],
)
def test_bad_masks_are_one_line(tmp_path: Path, images: list[Any], segmentation: Any, words: str) -> None:
    picture(tmp_path / "a.png")
    path = coco(tmp_path / "_annotations.coco.json", images=images, annotations=[{**OBJECTS[0], "segmentation": segmentation}])
    dataset = read_dataset(path)
    with pytest.raises(UserError) as error:
        with_masks(dataset)
    assert words in str(error.value) and "\n" not in str(error.value)


def yolo(tmp_path: Path, names: str = "[bolt, nut]", val: str = "images/val", label: str = "1 0.5 0.5 0.25 0.5\n") -> Path:
    picture(tmp_path / "images" / "val" / "a.png")
    (tmp_path / "labels" / "val").mkdir(parents=True)
    (tmp_path / "labels" / "val" / "a.txt").write_text(label)
    (tmp_path / "data.yaml").write_text(f"names: {names}\nval: {val}\n")
    return tmp_path


@pytest.mark.parametrize("names", ["[bolt, nut]", "{0: bolt, 1: nut}"])
@pytest.mark.parametrize("val", ["images/val", "../images/val", "[images/val]", "val.txt"])
def test_yolo_in_every_layout(tmp_path: Path, names: str, val: str) -> None:
    (tmp_path / "val.txt").write_text("images/val/a.png\n")
    found = read_dataset(yolo(tmp_path, names, val))
    assert found.classes == ("bolt", "nut")
    assert found.pictures[0].truth.boxes.tolist() == [[30, 10, 50, 30]]
    assert found.pictures[0].truth.classes.tolist() == [1]


def test_a_polygon_is_its_box(tmp_path: Path) -> None:
    found = read_dataset(yolo(tmp_path, label="0 0.1 0.2 0.5 0.25 0.25 0.75\n"))
    assert found.pictures[0].truth.boxes.tolist() == [[8, 8, 40, 30]]


def test_yolos_polygons_are_masks(tmp_path: Path) -> None:
    """As COCO's of the same corners in pixels; one of no area is no object, and a picture without objects has no masks."""
    label = "0 0.1 0.2 0.5 0.25 0.25 0.75\n1 0.5 0.25 0.75 0.25 0.75 0.75 0.5 0.75\n0 0.1 0.1 0.2 0.1 0.3 0.1\n"
    folder = yolo(tmp_path, label=label)
    picture(folder / "images" / "val" / "b.png")
    dataset = with_masks(read_dataset(folder))
    triangle, rectangle = dataset.pictures[0].truth.masks or ()
    corners = [8.0, 8.0, 40.0, 10.0, 20.0, 30.0]
    assert triangle == read_segmentation([corners], (80, 40)) and triangle.pixels.sum() > 250
    assert rectangle.pixels[10:30, 40:60].all() and rectangle.pixels.sum() == 400
    assert dataset.has_masks and dataset.lacks_masks == "" and dataset.pictures[1].truth.masks == ()
    assert dataset.pictures[0].truth.boxes.tolist() == [[8, 8, 40, 30], [40, 10, 60, 30]]


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("1 0.5 0.5 0.25 0.5\n", "the annotations have boxes alone"),
        ("0 0.1 0.2 0.5 0.25 0.25 0.75\n1 0.5 0.5 0.25 0.5\n", "1 of 2 objects have a box alone (first in a.png)"),
    ],
    ids=["boxes", "a mixture"],
)
def test_yolos_boxes_leave_the_boxes(tmp_path: Path, label: str, message: str) -> None:
    dataset = read_dataset(yolo(tmp_path, label=label))
    assert with_masks(dataset) is dataset and not dataset.has_masks
    assert dataset.lacks_masks == message


def test_a_yolo_polygon_far_outside_is_one_line(tmp_path: Path) -> None:
    dataset = read_dataset(yolo(tmp_path, label="1 0.5 0.5 0.25 0.5 0.5 0.1\n0 9 9 10 9 10 10\n"))
    with pytest.raises(UserError, match=r"a\.txt: line 2 has a polygon far outside its picture of 80 x 40 pixels$"):
        with_masks(dataset)


def test_a_turned_picture_has_the_turned_size(tmp_path: Path) -> None:
    """An EXIF orientation of 6: 80 x 40 in the file, 40 x 80 as it is shown."""
    folder = yolo(tmp_path)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (80, 40)).save(tmp_path / "images" / "val" / "a.png", exif=exif)
    found = read_dataset(folder).pictures[0]
    assert found.load().size == (40, 80)
    assert found.truth.boxes.tolist() == [[15, 20, 25, 60]]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"images": 3}, "no list 'images'"),
        ({"images": []}, "no pictures"),
        ({"categories": [{"id": 1}]}, "category 0 lacks"),
        ({"images": [{"id": 10, "file_name": "a.png"}] * 2}, "image 1 lacks an id of its own"),
        ({"annotations": []}, "no object is annotated"),
        ({"annotations": ["x"]}, "annotation 0 is not an object"),
        ({"annotations": [{**OBJECTS[0], "image_id": 99}]}, "image_id 99"),
        ({"annotations": [{**OBJECTS[0], "category_id": 99}]}, "category_id 99"),
        ({"annotations": [{**OBJECTS[0], "bbox": [1, 2, "x", 4]}]}, "not [left, top, width, height]"),
    ],
)
def test_bad_coco_is_one_line(tmp_path: Path, changed: dict[str, Any], words: str) -> None:
    coco(tmp_path / "_annotations.coco.json", **changed)
    with pytest.raises(UserError) as error:
        read_dataset(tmp_path)
    assert words in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"label": "1 0.5 0.5\n"}, "line 1 is not a class and a box"),
        ({"label": "1 0.5 0.5 nan 0.5\n"}, "line 1 is not a class and a box"),
        ({"label": "2 0.5 0.5 0.25 0.5\n"}, "class 2, and there are 2 names"),
        ({"label": "bolt 0.5 0.5 0.25 0.5\n"}, "no number"),
        ({"label": ""}, "no object is annotated"),
        ({"names": "3"}, "'names' is not a list"),
        ({"val": "nowhere"}, "there is no nowhere"),
        ({"names": "[a: b: c"}, "not valid YAML"),
    ],
)
def test_bad_yolo_is_one_line(tmp_path: Path, arguments: dict[str, str], words: str) -> None:
    with pytest.raises(UserError) as error:
        read_dataset(yolo(tmp_path, **arguments))
    assert words in str(error.value) and "\n" not in str(error.value)


def test_other_folders_are_one_line(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(UserError, match=r"COCO or YOLO|no annotations there"):
            read_dataset(path)
    for name in ("instances_train.json", "instances_test.json"):
        coco(tmp_path / "annotations" / name)
    with pytest.raises(UserError, match="2 annotation files"):
        read_dataset(tmp_path)


def test_the_choice_is_the_same_every_time() -> None:
    chosen = choose(range(1000), 200)
    assert chosen == choose(range(1000), 200) and len(set(chosen)) == 200 and list(chosen) == sorted(chosen)
    assert np.mean(chosen) == pytest.approx(500, abs=60)
    assert choose(range(5), 200) == (0, 1, 2, 3, 4)


def test_classes_meet_by_name(tmp_path: Path) -> None:
    coco(tmp_path / "_annotations.coco.json")
    found = read_dataset(tmp_path)
    assert class_numbers(found, ["Traffic light", None, "bolt", "cup"]) == {"Traffic light": 2, "bolt": 1}
    with pytest.raises(
        UserError, match=r"lacks: traffic_light; its classes are bolt, cup; those .* are parts, bolt, traffic_light"
    ):
        class_numbers(found, ["bolt", "cup"])
