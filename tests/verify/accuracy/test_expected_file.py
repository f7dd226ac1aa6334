"""The user's detections in every form, and what is refused in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.masks import Mask
from detr2litert.verify.accuracy.expected_file import ExpectedDetection, read_expected

PICTURES = ["bench.jpg", "000139.jpg", "street.png"]
COCO = {"category_id": 3, "bbox": [10, 20, 30, 40.5], "score": 0.75}
SINK = {"x_min": 10.0, "y_min": 20.0, "x_max": 40.0, "y_max": 60.5, "class_id": 3, "confidence": 0.75, "tracker_id": ""}
BOX = {"x1": 10.0, "y1": 20.0, "x2": 40.0, "y2": 60.5}
ULTRALYTICS = {"name": "bolt", "class": 3, "confidence": 0.75, "box": BOX}
ARRAYS = {"xyxy": [[10, 20, 40, 60.5]], "class_id": [3], "confidence": [0.75]}
WANTED = (3, 0.75, (10.0, 20.0, 40.0, 60.5))


def read(tmp_path: Path, value: Any, pictures: list[str] = PICTURES) -> list[list[ExpectedDetection]]:
    path = tmp_path / "expected.json"
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return [list(found) for found in read_expected(path, pictures)]


@pytest.mark.parametrize(
    ("value", "places", "name"),
    [
        ([{**COCO, "image_id": "street.png"}], [2], None),
        ([{**COCO, "image_id": "street"}], [2], None),
        ([{**COCO, "image_id": "some/folder/street.png"}], [2], None),
        ([{**COCO, "image_id": 139}], [1], None),
        ([{**COCO, "image_id": 0}, {**COCO, "image_id": 2}], [0, 2], None),
        ([{**COCO, "image_id": 1}, {**COCO, "image_id": 3}], [0, 2], None),
        ({"categories": [{"id": 3, "name": "bolt"}], "annotations": [{**COCO, "image_id": "bench"}]}, [0], "bolt"),
        ([{**SINK, "file_name": "bench.jpg", "class_name": "bolt"}], [0], "bolt"),
        ({"bench.jpg": [SINK], "street.png": []}, [0], None),
        ({"bench.jpg": ARRAYS, "street.png": {**ARRAYS, "class_name": ["bolt"]}}, [0, 2], None),
        ([ARRAYS, ARRAYS, {**ARRAYS, "data": {"class_name": ["bolt"]}}], [0, 1, 2], None),
        ({"street.png": [ULTRALYTICS]}, [2], "bolt"),
        ([[ULTRALYTICS], [], [ULTRALYTICS]], [0, 2], "bolt"),
        ([{**COCO, "image_id": "bench"}, {**COCO, "image_id": "not given"}], [0], None),
    ],
)  # fmt: skip
def test_every_form(tmp_path: Path, value: Any, places: list[int], name: str | None) -> None:
    found = read(tmp_path, value)
    assert [i for i, picture in enumerate(found) if picture] == places
    first = found[places[0]][0]
    assert (first.class_id, first.score, first.box) == WANTED
    assert first.name == name


def test_masks_of_coco_results(tmp_path: Path) -> None:
    pixels = np.zeros((100, 90), bool)
    pixels[20:60, 10:40] = True
    mask = Mask.of(pixels)
    path = tmp_path / "expected.json"

    def read_mask(row: dict[str, Any], size: tuple[int, int] = (90, 100)) -> ExpectedDetection:
        path.write_text(json.dumps([row]))
        ((found,),) = read_expected(path, ["a.png"], [size])
        return found

    assert read_mask({**COCO, "segmentation": mask.to_dict()}).mask == mask
    assert read_mask({**COCO, "segmentation": [[10, 20, 40, 20, 40, 60, 10, 60]]}).mask == mask
    assert read_mask({**COCO, "segmentation": []}).mask is None
    without_box = {key: value for key, value in COCO.items() if key != "bbox"}
    alone = read_mask({**without_box, "segmentation": mask.to_dict()})
    assert alone.mask == mask and alone.box == (10, 20, 40, 60)
    for segmentation, size, words in (
        (mask.to_dict(), (90, 99), "detection 0 has run lengths of 90 x 100 pixels, and its picture has 90 x 99"),
        ({"size": [100, 90], "counts": "?"}, (90, 100), "damaged segmentation"),
        ([[1, 2, 3]], (90, 100), "has a polygon"),
        (Mask.of(pixels & False).to_dict(), (90, 100), "has an empty mask and no bbox"),
    ):
        with pytest.raises(UserError) as error:
            read_mask({**without_box, **({} if "empty" in words else COCO), "segmentation": segmentation}, size)
        assert words in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "value", [[COCO], [SINK], [ULTRALYTICS], [ARRAYS], ARRAYS], ids=["coco", "sink", "ul", "list", "arrays"]
)
def test_one_picture_needs_no_name(tmp_path: Path, value: Any) -> None:
    (found,) = read(tmp_path, value, ["bench.jpg"])
    assert (found[0].class_id, found[0].score, found[0].box) == WANTED


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("{", "not valid JSON"),
        ([], "no detections"),
        ("3", "neither a list nor an object"),
        ([COCO], "rows name no picture"),
        ([{**COCO, "image_id": "bench", "bbox": [1, 2, 3]}], "not four finite numbers"),
        ([{**COCO, "image_id": "bench", "bbox": [1, 2, 3, True]}], "not four finite numbers"),
        ('[{"image_id": "bench", "category_id": 3, "bbox": [1, 2, 3, NaN], "score": 0.5}]', "bbox[3] is not a finite number"),
        ([{**COCO, "image_id": "bench", "bbox": [1, 2, 0, 4]}], "empty box"),
        ([{**COCO, "image_id": "bench", "bbox": [1e300, 2, 3, 4]}], "not four finite numbers"),
        ([{**COCO, "image_id": "bench", "score": 1.5}], "from 0 to 1"),
        ([{**COCO, "image_id": "bench", "score": None}], "from 0 to 1"),
        ([{**COCO, "image_id": "bench", "category_id": 1.5}], "not a whole number"),
        ([{**SINK, "image_id": "bench", "class_id": ""}], "neither a class id nor a class name"),
        ([{**COCO, "image_id": 77}], "neither the number in a picture's file name"),
        ([{**COCO, "image_id": "other"}], "none of the given pictures"),
        ([{"image_id": "bench", "score": 0.5}], "no bbox, box or x_min"),
        ({"bench.jpg": 3}, "neither a list of detections"),
        ({**ARRAYS, "confidence": []}, "'confidence' is not a list of as many"),
        ({"bench.jpg": ["x"]}, "is not an object"),
    ],
)  # fmt: skip
def test_anything_else_is_one_line(tmp_path: Path, value: Any, words: str) -> None:
    with pytest.raises(UserError) as error:
        read(tmp_path, value)
    assert words in str(error.value) and "expected.json" in str(error.value) and "\n" not in str(error.value)


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        read_expected(tmp_path / "none.json", PICTURES)
