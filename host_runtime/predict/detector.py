"""A bundle as one object that is given pictures and returns predictions."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypedDict, Unpack

from detr2litert.host_runtime.bundle import Bundle
from detr2litert.host_runtime.compiled_graph import Accelerator
from detr2litert.host_runtime.decode import Detections
from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.predict.frames import Broken, Frame, One, Source, frames, name_of, picture_of
from detr2litert.host_runtime.predict.prediction import Prediction
from detr2litert.host_runtime.runner import Runner


class Choice(TypedDict, total=False):
    """Which detections are returned.

    Attributes:
        threshold: scores must be strictly above it; default 0.5.
        classes: names or indices of the classes to return; default all.
        max_detections: the best of each picture; default all.
        nms_iou: remove a box that overlaps a better one of its class by more than this; default none, as in the original.
        nms_across_classes: with ``nms_iou``: of any class.
    """

    threshold: float
    classes: Sequence[str | int]
    max_detections: int | None
    nms_iou: float | None
    nms_across_classes: bool


class Detector:
    """A bundle, ready to predict; for one thread at a time, as ``Runner``.

    Args:
        bundle: a folder or zip file, or a loaded bundle.
        accelerator: "cpu" or "gpu".
        threads: CPU threads; by default as many as there are cores, at most 4.

    Raises:
        UserError: the bundle cannot be read, or not be run on the accelerator.
    """

    def __init__(self, bundle: Bundle | str | Path, accelerator: Accelerator = "cpu", *, threads: int | None = None) -> None:
        self.runner = Runner(bundle, accelerator, threads=threads)

    @property
    def names(self) -> tuple[str | None, ...]:
        """The class names by index; None where a column has none."""
        return tuple(self.runner.bundle.manifest.classes)

    def predict(self, picture: One, **choice: Unpack[Choice]) -> Prediction:
        """Detects objects in one picture.

        Args:
            picture: a file, a Pillow image, or 8-bit pixels [height, width, 3] in the order red, green, blue.
            choice: see ``Choice``.

        Raises:
            UserError: it cannot be read, may be several pictures, or a class has another name.
            BusyError: another thread is using this detector.
            ValueError: a graph's output contains NaN.
        """
        name = name_of(picture, 1)
        return self._predicted(Frame(name, picture_of(picture, name)), choice)

    def predict_each(self, source: Source, *, broken: Broken | None = None, **choice: Unpack[Choice]) -> Iterator[Prediction]:
        """Detects objects in one picture after another: those of a list, a folder, a pattern, a film or a camera.

        A picture is read when its prediction is asked for, and one is held at a time.

        Args:
            source: see ``frames.Source``.
            broken: told of each picture that cannot be read, which is left out; by default the first one raises.
            choice: see ``Choice``.

        Raises:
            UserError, BusyError, ValueError: as ``predict``, when the picture is reached; a folder without pictures at once.
        """
        for frame in frames(source, broken=broken):
            yield self._predicted(frame, choice)

    def _predicted(self, frame: Frame, choice: Choice) -> Prediction:
        wanted = self._indices(choice.get("classes", ()))
        limit = choice.get("max_detections")
        if limit is not None and limit < 1:
            raise UserError(f"max_detections is {limit}; give at least 1")
        found = self.runner.detect(
            frame.image,
            threshold=choice.get("threshold", 0.5),
            nms_iou=choice.get("nms_iou"),
            nms_across_classes=choice.get("nms_across_classes", False),
        )
        kept = [item for item in found if not wanted or item.class_index in wanted]
        skeletons = self.runner.bundle.manifest.postprocess.keypoints
        return Prediction(frame, Detections(tuple(kept[:limit]), found.width, found.height), skeletons)

    def _indices(self, classes: Sequence[str | int]) -> frozenset[int]:
        """Returns the indices of classes; several columns may share a name."""
        found: set[int] = set()
        for wanted in classes:
            if isinstance(wanted, int) and 0 <= wanted < len(self.names):
                found.add(wanted)
                continue
            places = [index for index, name in enumerate(self.names) if name == wanted]
            if not places:
                raise UserError(f"the detector has no class {wanted!r}; {_nearest(wanted, self.names)}")
            found.update(places)
        return frozenset(found)

    def close(self) -> None:
        """Frees the graphs; raises BusyError if another thread is using them."""
        self.runner.close()

    def __enter__(self) -> Detector:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _nearest(wanted: str | int, names: Sequence[str | None]) -> str:
    known = [name for name in names if name is not None]
    near = difflib.get_close_matches(str(wanted), known, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    shown = ", ".join(repr(name) for name in known[:8])
    return f"it has {shown}{f' and {len(known) - 8} more' if len(known) > 8 else ''}"
