"""``detect``: its formats, films, and what it does where one of several pictures is broken."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from PIL import Image

from detr2litert.convert.commands.detect import FORMATS
from detr2litert.host_runtime.predict import formats
from tests.convert.command import Outcome, assert_refused, invoke, tree
from tests.host_runtime import tiny_bundle
from tests.host_runtime.films import write_film


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle, and a folder of two good pictures and one that is cut off."""
    place = tmp_path_factory.mktemp("detect")
    tiny_bundle.write_bundle(place / "bundle")
    (place / "pictures").mkdir()
    for name in "ac":
        tiny_bundle.picture().save(place / f"pictures/{name}.png")
    whole = (place / "pictures/a.png").read_bytes()
    (place / "pictures/b.png").write_bytes(whole[: len(whole) // 2])
    return place


def detected(place: Path, *arguments: object) -> Outcome:
    return invoke("detect", place / "bundle", *arguments)


def test_a_broken_picture_among_good_ones(place: Path) -> None:
    outcome = detected(place, place / "pictures")
    assert outcome.code == 2
    assert [Path(item["image"]).name for item in outcome.json] == ["a.png", "c.png"]
    error, summary = outcome.stderr.splitlines()
    assert error.startswith("error: ") and "b.png" in error
    assert summary == "1 of 3 could not be read, the others are done"


def test_the_summary_counts_a_folder_without_pictures(place: Path, tmp_path: Path) -> None:
    outcome = detected(place, tmp_path, place / "pictures/a.png", place / "pictures/c.png")
    assert outcome.code == 2 and len(outcome.json) == 2
    assert outcome.stderr.splitlines()[-1] == "1 of 3 could not be read, the others are done"


def test_nothing_is_written_where_nothing_can_be_read(place: Path, tmp_path: Path) -> None:
    out, save = tmp_path / "found.json", tmp_path / "seen"
    assert_refused(detected(place, place / "pictures/b.png", "--out", out, "--save", save), "b.png")
    assert tree(tmp_path) == set()


def test_every_format(place: Path, tmp_path: Path) -> None:
    good = place / "pictures/a.png"
    (listed,) = detected(place, good).json
    boxes = [item["box"] for item in listed["detections"]]
    assert [json.loads(line) for line in detected(place, good, "--format", "jsonl").stdout.splitlines()] == [listed]
    rows = list(csv.DictReader(io.StringIO(detected(place, good, "--format", "csv").stdout)))
    assert [[float(row[side]) for side in ("left", "top", "right", "bottom")] for row in rows] == boxes
    coco = detected(place, good, "--format", "coco").json
    assert [item["category_id"] for item in coco["annotations"]] == [item["class_index"] for item in listed["detections"]]
    outcome = detected(place, good, "--format", "yolo", "--out", tmp_path / "labels")
    assert (outcome.code, outcome.stdout) == (0, "") and tree(tmp_path / "labels") == {"a.txt"}
    assert formats.FORMATS == FORMATS


def test_to_a_file(place: Path, tmp_path: Path) -> None:
    outcome = detected(place, place / "pictures/a.png", "--out", tmp_path / "new/found.json")
    assert (outcome.code, outcome.stdout) == (0, "")
    assert json.loads((tmp_path / "new/found.json").read_text())[0]["width"] == tiny_bundle.SIDE


def test_classes_and_the_best_of_each_picture(place: Path) -> None:
    good = place / "pictures/a.png"
    names = [
        [item["name"] for item in detected(place, good, *options).json[0]["detections"]]
        for options in (("--classes", "green"), ("--classes", "red, green", "--max-detections", "1"), ())
    ]
    assert names[0] == ["green"] and len(names[1]) == 1 and sorted(names[2]) == ["green", "red"]


def test_a_film_in_and_a_film_out(place: Path, tmp_path: Path) -> None:
    film = write_film(tmp_path / "clip.mp4", 6)
    outcome = detected(place, film, place / "pictures/a.png", "--format", "jsonl", "--save", tmp_path / "seen")
    assert outcome.code == 0
    rows = [json.loads(line) for line in outcome.stdout.splitlines()]
    assert [row.get("frame") for row in rows] == [*range(6), None]
    assert tree(tmp_path / "seen") == {"clip.detections.mp4", "a.detections.png"}
    assert {row["overlay"] for row in rows[:6]} == {str(tmp_path / "seen/clip.detections.mp4")}


def test_a_film_that_breaks_off_leaves_what_was_done(place: Path, tmp_path: Path) -> None:
    whole = write_film(tmp_path / "whole.mp4", 60).read_bytes()
    moov = whole.index(b"moov") - 4
    film = tmp_path / "broken.mp4"
    # The index comes last, so a film whose pictures are damaged is made by damaging those in the middle.
    film.write_bytes(whole[: moov // 2] + bytes(moov // 4) + whole[moov // 2 + moov // 4 :])
    outcome = detected(place, film, place / "pictures/a.png", "--format", "jsonl")
    rows = [json.loads(line) for line in outcome.stdout.splitlines()]
    assert rows[-1]["image"].endswith("a.png") and rows[0]["frame"] == 0
    assert outcome.code in (0, 2)  # as FFmpeg conceals the damage, or does not
    assert (outcome.code == 2) == ("broken.mp4 cannot be decoded" in outcome.stderr)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), ("nothing to detect", "--camera", "--help")),
        (("a.png", "--format", "yolo"), ("--out",)),
        (("a.png", "--nms-across-classes"), ("--nms",)),
        (("a.png", "--classes", "red,,green"), ("empty name",)),
        (("pictures/a.png", "--classes", "rad"), ("no class 'rad'", "did you mean 'red'")),
        (("https://example.com/a.png",), ("address", "download")),
        (("*.jpeg",), ("no file fits",)),
        (("--camera", "77"), ("camera 77",)),
        (("none.mov",), ("no film at none.mov",)),
    ],
)
def test_bad_input(place: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], words: tuple[str, ...]) -> None:
    monkeypatch.chdir(place)
    assert_refused(detected(place, *arguments), *words)


def test_the_overlay_of_a_large_picture_has_its_size(place: Path, tmp_path: Path) -> None:
    tiny_bundle.picture().resize((64, 48)).save(tmp_path / "large.png")
    (entry,) = detected(place, tmp_path / "large.png", "--save", tmp_path).json
    assert Image.open(entry["overlay"]).size == (64, 48)
