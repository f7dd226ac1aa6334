"""Predictions on every kind of source, with the bundle whose objects are the brightest cells."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_bundle
from films import write_film
from PIL import Image

from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.predict.detector import Detector

EXPECTED = {"red": (40, 40, 60, 80), "green": (0, 120, 20, 160)}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("predict") / "bundle"
    tiny_bundle.write_bundle(root)
    return root


@pytest.fixture(scope="module")
def detector(root):
    with Detector(root) as detector:
        yield detector


@pytest.fixture(scope="module")
def large() -> Image.Image:
    return tiny_bundle.picture().resize((80, 160), Image.Resampling.NEAREST)


@pytest.fixture
def folder(large, tmp_path):
    folder = tmp_path / "pictures"
    (folder / "inner").mkdir(parents=True)
    for name in ("b.png", "a.png", "inner/c.png"):
        large.save(folder / name)
    (folder / "notes.txt").write_text("not a picture")
    return folder


def found(prediction):
    return dict(zip(prediction.names, map(tuple, prediction.boxes.tolist()), strict=True))


def test_one_picture_of_every_kind(detector, large, folder):
    for picture in (
        large,
        np.asarray(large),
        folder / "a.png",
        str(folder / "a.png"),
        large.convert("RGBA"),
        large.convert("P"),
    ):
        assert found(detector.predict(picture)) == EXPECTED
    prediction = detector.predict(folder / "a.png")
    assert prediction.frame.source == str(folder / "a.png") and len(prediction) == 2
    assert prediction.boxes.dtype == prediction.scores.dtype == np.float32 and prediction.boxes.shape == (2, 4)
    assert prediction.class_ids.tolist() == [detector.names.index(name) for name in prediction.names]
    assert prediction.detections == detector.runner.detect(folder / "a.png")


def test_grey_pixels_and_pixels_with_opacity(detector, large):
    grey = np.asarray(large.convert("L"))
    shapes = [len(detector.predict(pixels, threshold=0.0)) for pixels in (grey, grey[..., None], np.dstack([grey] * 4))]
    assert len(set(shapes)) == 1 and shapes[0] > 0


def test_several_pictures_in_order(detector, large, folder):
    sources = [[folder / "a.png", large, np.asarray(large)], folder, str(folder / "*.png"), folder / "a.png", large]
    names = [[prediction.frame.source for prediction in detector.predict_each(source)] for source in sources]
    a, b = str(folder / "a.png"), str(folder / "b.png")
    assert names == [[a, "picture 2", "picture 3"], [a, b], [a, b], [a], ["picture 1"]]
    everywhere = [prediction.frame.source for prediction in detector.predict_each(str(folder / "**/*.png"))]
    assert everywhere == [a, b, str(folder / "inner/c.png")]


def test_a_name_with_brackets_is_a_file_and_no_pattern(detector, large, tmp_path):
    large.save(tmp_path / "shelf [1].png")
    assert found(detector.predict(tmp_path / "shelf [1].png")) == EXPECTED
    assert len(list(detector.predict_each(tmp_path / "shelf [1].png"))) == 1


def test_pictures_are_read_when_their_turn_comes(detector, folder):
    predictions = detector.predict_each([folder / "a.png", folder / "missing.png"])
    assert found(next(predictions)) == EXPECTED
    with pytest.raises(UserError, match=r"no picture at .*missing\.png"):
        next(predictions)


def test_what_is_broken_is_reported_and_the_others_follow(detector, folder):
    (folder / "aa.png").write_bytes((folder / "a.png").read_bytes()[:60])
    told = []
    predictions = list(detector.predict_each(folder, broken=lambda name, error: told.append((name, str(error)))))
    assert [Path(prediction.frame.source).name for prediction in predictions] == ["a.png", "b.png"]
    ((name, message),) = told
    assert name == str(folder / "aa.png") and "aa.png" in message


def test_the_choice_of_detections(detector, large):
    assert detector.predict(large, classes=["green"]).names == ["green"]
    assert detector.predict(large, classes=[detector.names.index("red")]).names == ["red"]
    assert len(detector.predict(large, max_detections=1)) == 1
    assert detector.predict(large, classes=["green"], max_detections=1).names == ["green"]
    assert len(detector.predict(large, threshold=0.9999)) == 0
    assert detector.predict(large, threshold=0.9999).boxes.shape == (0, 4)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (lambda place: place / "empty", "there is no picture in .*empty"),
        (lambda place: str(place / "*.jpg"), "no file fits"),
        (lambda place: "https://example.com/a.png", "is an address"),
        (lambda place: place / "none.png", "no picture at"),
        (lambda place: place / "none.mp4", "no film at"),
        (lambda place: np.zeros((4, 4, 3), np.float32), r"picture 1 is an array of float32\[4, 4, 3\]"),
        (lambda place: np.zeros((3, 8, 8), np.uint8), r"uint8\[3, 8, 8\]"),
        (lambda place: np.zeros((0, 4, 3), np.uint8), r"uint8\[0, 4, 3\]"),
        (lambda place: 3.5, "not as float"),
        (lambda place: [None], "not as NoneType"),
        (lambda place: True, "not as bool"),
        (lambda place: 77, r"camera 77 \(.*\) cannot be opened|PyAV"),
    ],
)
def test_bad_sources_are_named(detector, tmp_path, source, message):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=message):
        list(detector.predict_each(source(tmp_path)))


def test_predict_takes_one_picture(detector, folder):
    for several in (folder, str(folder / "*.png"), folder / "film.mp4", 0):
        with pytest.raises(UserError, match="predict_each"):
            detector.predict(several)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"classes": ["gren"]}, "no class 'gren'; did you mean 'green'"),
        ({"classes": ["x"]}, "it has 'red', 'green'"),
        ({"classes": [99]}, "no class 99"),
        ({"max_detections": 0}, "max_detections is 0"),
    ],
)
def test_bad_choices_are_named(detector, large, choice, message):
    with pytest.raises(UserError, match=message):
        detector.predict(large, **choice)


def test_other_tools_forms(detector, large):
    prediction = detector.predict(large)
    results = prediction.to_coco(7)
    assert {item["category_id"]: item["bbox"] for item in results} == {0: [40, 40, 20, 40], 1: [0, 120, 20, 40]}
    assert {item["image_id"] for item in results} == {7}
    drawn = prediction.plot()
    assert drawn.size == large.size and drawn.tobytes() != large.convert("RGB").tobytes()


def test_supervision(detector, large):
    supervision = pytest.importorskip("supervision")
    given = detector.predict(large).to_supervision()
    assert isinstance(given, supervision.Detections)
    assert dict(zip(given.data["class_name"].tolist(), map(tuple, given.xyxy.tolist()), strict=True)) == EXPECTED
    assert len(detector.predict(large, threshold=0.9999).to_supervision()) == 0


def test_without_supervision_it_says_how_to_get_it(detector, large, monkeypatch):
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(UserError, match="pip install supervision"):
        detector.predict(large).to_supervision()


def test_a_film(detector, tmp_path):
    film = write_film(tmp_path / "film.mp4", 30)
    predictions = list(detector.predict_each(film))
    assert [prediction.frame.number for prediction in predictions] == list(range(30))
    assert [round(prediction.frame.seconds * 30) for prediction in predictions] == list(range(30))
    assert predictions[0].names == ["red"] and predictions[0].to_dict()["frame"] == 0
    left = [prediction.boxes[0, 0] for prediction in predictions if len(prediction)]
    assert left == sorted(left)


@pytest.mark.slow
def test_ten_minutes_of_film_take_no_more_memory_than_one(root, tmp_path):
    film = write_film(tmp_path / "film.mp4", 10 * 60 * 30)
    code = f"""
import json, resource
from detr2litert.host_runtime.predict.detector import Detector
peaks = []
with Detector({str(root)!r}) as detector:
    for prediction in detector.predict_each({str(film)!r}):
        if (prediction.frame.number + 1) % 1800 == 0:
            peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
print(json.dumps(peaks))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    peaks = json.loads(done.stdout)
    assert len(peaks) == 10
    assert peaks[-1] - peaks[0] < 10, peaks  # megabytes; a frame as RGB is 0.23
