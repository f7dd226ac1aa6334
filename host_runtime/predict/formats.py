"""Writes predictions as text, one after another: JSON, JSON lines, COCO, CSV and YOLO."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TextIO

from detr2litert.host_runtime.errors import UserError, reason
from detr2litert.host_runtime.manifest_keypoints import Keypoints
from detr2litert.host_runtime.predict.prediction import Prediction
from detr2litert.host_runtime.whole_file import whole_file

CSV_COLUMNS = ("image", "frame", "seconds", "class_index", "name", "score", "left", "top", "right", "bottom")


class Writer(Protocol):
    """Writes predictions in one format."""

    def add(self, prediction: Prediction, extra: Mapping[str, Any]) -> None:
        """Writes a prediction; ``extra`` is plain data about it that a format may carry."""

    def close(self) -> None:
        """Writes what comes after the last one."""


class JsonWriter:
    """One JSON list, of ``Prediction.to_dict`` with the extra data. Writes nothing before the first one."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._started = stream, False

    def add(self, prediction: Prediction, extra: Mapping[str, Any]) -> None:
        text = json.dumps({**prediction.to_dict(), **extra}, indent=1, allow_nan=False)
        self._stream.write((",\n" if self._started else "[\n") + "\n".join(f" {line}" for line in text.splitlines()))
        self._started = True

    def close(self) -> None:
        self._stream.write("\n]\n" if self._started else "[]\n")


class JsonLinesWriter:
    """One JSON object a line, as in ``JsonWriter``; each can be read as soon as it is written."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def add(self, prediction: Prediction, extra: Mapping[str, Any]) -> None:
        self._stream.write(json.dumps({**prediction.to_dict(), **extra}, allow_nan=False) + "\n")
        self._stream.flush()

    def close(self) -> None:
        """There is nothing after the last line."""


class CsvWriter:
    """One detection a line under a line of names, ``CSV_COLUMNS``; boxes in pixels."""

    def __init__(self, stream: TextIO) -> None:
        self._rows = csv.writer(stream, lineterminator="\n")
        self._rows.writerow(CSV_COLUMNS)

    def add(self, prediction: Prediction, extra: Mapping[str, Any]) -> None:
        frame = prediction.frame
        for item in prediction.detections:
            self._rows.writerow((frame.source, frame.number, frame.seconds, item.class_index, item.name, item.score, *item.box))

    def close(self) -> None:
        """There is nothing after the last line."""


class CocoWriter:
    """One COCO data set whose annotations have scores, so that it is ground truth and, by its annotations, a result file.

    Images are numbered from 1. Everything is held until the end, where COCO's form needs it; so films are better written as
    JSON lines or CSV.
    """

    def __init__(self, stream: TextIO, names: Sequence[str | None]) -> None:
        self._stream = stream
        self._skeletons: Keypoints | None = None
        self._names = names
        self._images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []

    def add(self, prediction: Prediction, extra: Mapping[str, Any]) -> None:
        number = len(self._images) + 1
        found, frame = prediction.detections, prediction.frame
        self._skeletons = prediction.skeletons
        place = {"frame": frame.number} if frame.number is not None else {}
        self._images.append({"id": number, "file_name": frame.source, "width": found.width, "height": found.height, **place})
        for item, result in zip(found, prediction.to_coco(number), strict=True):
            area = result["bbox"][2] * result["bbox"][3] if item.mask is None else int(item.mask.pixels.sum())
            own = {"id": len(self._annotations) + 1, "area": area, "iscrowd": 0}
            self._annotations.append({**own, **result})

    def close(self) -> None:
        categories = [
            {"id": index, "name": name, **self._keypoints(index)} for index, name in enumerate(self._names) if name is not None
        ]
        whole = {"images": self._images, "annotations": self._annotations, "categories": categories}
        self._stream.write(json.dumps(whole, indent=1, allow_nan=False) + "\n")

    def _keypoints(self, class_index: int) -> dict[str, Any]:
        """Names and skeleton of a category's keypoints, in COCO's form, which numbers them from 1."""
        own = None if self._skeletons is None else self._skeletons.of(class_index)
        if own is None:
            return {}
        return {"keypoints": list(own.names), "skeleton": [[first + 1, second + 1] for first, second in own.skeleton]}


class YoloWriter:
    """A folder with a text file for each picture, named like it, with a line for each detection.

    A line is the class index, the box's centre, width and height as fractions of the picture, of each keypoint x and y as
    fractions and its score, and the detection's score: as ultralytics writes them. The file of a film's frame has the frame's
    number after the film's name. A picture without detections has an empty file.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._used: set[str] = set()

    def add(self, prediction: Prediction, extra: Mapping[str, Any]) -> None:
        found, frame = prediction.detections, prediction.frame
        lines = []
        for item in found:
            left, top, right, bottom = item.box
            box = (
                (left + right) / 2 / found.width,
                (top + bottom) / 2 / found.height,
                (right - left) / found.width,
                (bottom - top) / found.height,
            )
            points = [value for p in item.keypoints or () for value in (p.x / found.width, p.y / found.height, p.score)]
            lines.append(f"{item.class_index} {' '.join(f'{value:.6f}' for value in (*box, *points))} {item.score:.6f}\n")
        stem = Path(frame.source).stem + (f"-{frame.number:06d}" if frame.number is not None else "")
        target = self._folder / f"{unused(stem, self._used)}.txt"
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text("".join(lines))
        except OSError as error:
            raise UserError(f"cannot write {target} ({reason(error)}); choose another folder with --out") from error

    def close(self) -> None:
        """The files are complete."""


TO_STREAM: Mapping[str, Callable[[TextIO, Sequence[str | None]], Writer]] = {
    "json": lambda stream, _: JsonWriter(stream),
    "jsonl": lambda stream, _: JsonLinesWriter(stream),
    "coco": CocoWriter,
    "csv": lambda stream, _: CsvWriter(stream),
}
"""The formats that are one text: name → writer, for a stream and the class names."""
YOLO = "yolo"
FORMATS = (*TO_STREAM, YOLO)


@contextmanager
def writing(form: str, out: Path | None, names: Sequence[str | None], stdout: TextIO) -> Iterator[Writer]:
    """Opens a writer for one of ``FORMATS``.

    Args:
        form: the format.
        out: a file, which gets its name once it is whole, or the folder of yolo; None for ``stdout``.
        names: the class names by index.
        stdout: the stream to use without ``out``.

    Raises:
        UserError: it cannot be written, or a format of several files has no folder.
    """
    if form == YOLO:
        if out is None:
            raise UserError(f"the format {YOLO} has a file for each picture: give a folder for them with --out")
        writer: Writer = YoloWriter(out)
        yield writer
        writer.close()
        return
    if out is None:
        writer = TO_STREAM[form](stdout, names)
        yield writer
        writer.close()
        return
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(out) as part, part.open("w", encoding="utf-8", newline="") as stream:
            writer = TO_STREAM[form](stream, names)
            yield writer
            writer.close()
    except OSError as error:
        raise UserError(f"cannot write {out} ({reason(error)}); choose another file with --out") from error


def unused(stem: str, used: set[str]) -> str:
    """Returns the stem, with a number where it is used already, and adds it to the used ones."""
    name, number = stem, 2
    while name in used:
        name, number = f"{stem}-{number}", number + 1
    used.add(name)
    return name
