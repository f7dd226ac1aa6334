"""What is written of predictions: each format parsed again, by the library that reads it where there is one."""

from __future__ import annotations

import csv
import io
import json

import pytest
import tiny_bundle
from PIL import Image

from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.predict.detector import Detector
from detr2litert.host_runtime.predict.formats import CSV_COLUMNS, FORMATS, writing


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    root = tmp_path_factory.mktemp("formats") / "bundle"
    tiny_bundle.write_bundle(root)
    with Detector(root) as detector:
        yield detector


@pytest.fixture(scope="module")
def predictions(detector):
    large = tiny_bundle.picture().resize((80, 160), Image.Resampling.NEAREST)
    return [detector.predict(large), detector.predict(Image.new("RGB", (40, 40)))]


def written(form, predictions, detector, **extra) -> str:
    stream = io.StringIO()
    with writing(form, None, detector.names, stream) as writer:
        for prediction in predictions:
            writer.add(prediction, extra)
    return stream.getvalue()


def test_json(predictions, detector):
    data = json.loads(written("json", predictions, detector, overlay="x.png"))
    assert data == [{**prediction.to_dict(), "overlay": "x.png"} for prediction in predictions]
    assert json.loads(written("json", [], detector)) == []


def test_json_lines_are_complete_one_by_one(predictions, detector):
    lines = written("jsonl", predictions, detector).splitlines()
    assert [json.loads(line) for line in lines] == [prediction.to_dict() for prediction in predictions]


def test_csv(predictions, detector):
    rows = list(csv.DictReader(io.StringIO(written("csv", predictions, detector))))
    assert tuple(rows[0]) == CSV_COLUMNS
    assert {(row["name"], float(row["left"]), float(row["bottom"])) for row in rows} == {("red", 40, 80), ("green", 0, 160)}


def test_coco_is_read_by_pycocotools(predictions, detector, tmp_path):
    from pycocotools.coco import COCO

    path = tmp_path / "coco.json"
    path.write_text(written("coco", predictions, detector))
    coco = COCO(str(path))
    assert sorted(coco.getImgIds()) == [1, 2] and len(coco.getAnnIds(imgIds=[1])) == 2 and coco.getAnnIds(imgIds=[2]) == []
    assert [category["name"] for category in coco.loadCats(coco.getCatIds())] == [name for name in detector.names if name]
    results = coco.loadRes(json.loads(path.read_text())["annotations"])
    assert [item["score"] for item in results.loadAnns(results.getAnnIds())] == predictions[0].scores.tolist()


def test_yolo(predictions, detector, tmp_path):
    with writing("yolo", tmp_path / "labels", detector.names, io.StringIO()) as writer:
        for prediction in (*predictions, predictions[0]):
            writer.add(prediction, {})
    files = {path.name: path.read_text().splitlines() for path in (tmp_path / "labels").iterdir()}
    assert sorted(files) == ["picture 1-2.txt", "picture 1-3.txt", "picture 1.txt"] and files["picture 1-2.txt"] == []
    rows = sorted([*map(float, line.split())] for line in files["picture 1.txt"])
    assert [row[:5] for row in rows] == [[0, 50 / 80, 60 / 160, 20 / 80, 40 / 160], [1, 10 / 80, 140 / 160, 20 / 80, 40 / 160]]
    assert sorted(row[5] for row in rows) == pytest.approx(sorted(predictions[0].scores), abs=1e-6)


@pytest.mark.parametrize("form", [form for form in FORMATS if form != "yolo"])
def test_a_file_has_its_name_once_it_is_whole(form, predictions, detector, tmp_path):
    target = tmp_path / "new" / "file.txt"

    def interrupted() -> None:
        with writing(form, target, detector.names, io.StringIO()) as writer:
            writer.add(predictions[0], {})
            assert not target.exists()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(target.parent.iterdir()) == []
    with writing(form, target, detector.names, io.StringIO()) as writer:
        writer.add(predictions[0], {})
    assert target.read_text() == written(form, predictions[:1], detector)


def test_places_that_cannot_be_written(predictions, detector, tmp_path):
    (tmp_path / "file").write_text("")
    for form in FORMATS:
        with (
            pytest.raises(UserError, match="cannot write"),
            writing(form, tmp_path / "file" / "x", detector.names, io.StringIO()) as w,
        ):
            w.add(predictions[0], {})
