"""An annotated data set: its pictures, their objects, and the class names; read from COCO or YOLO annotations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.masks import Mask
from detr2litert.verify.accuracy.average_precision import Truth

_SEED = 0
_SHOWN = 12
T = TypeVar("T")


@dataclass(frozen=True)
class AnnotatedPicture:
    """A picture, loaded when it is needed, and its objects in its own pixels; a class is a position in ``Dataset.classes``.

    ``read_masks`` reads the objects' masks, which only a detector of instances needs, and raises UserError where they are
    malformed; None where not every object has one. ``boxes_alone`` is how many have none.
    """

    name: str
    load: Callable[[], Image.Image]
    truth: Truth
    read_masks: Callable[[], tuple[Mask, ...]] | None = None
    boxes_alone: int = 0


@dataclass(frozen=True)
class Dataset:
    """Annotated pictures.

    Attributes:
        source: for messages and the report.
        classes: names.
        pictures: those to evaluate on.
        total: how many the data set has.
        stated_ap: the mAP that is known of the detector on it, from the user or a model card; None if none is.
        stated_mask_ap: the same of its masks.
        keypoint_names: of the keypoints of each class, by its number, where the annotations name them.
        sigmas: of the keypoints of each class of which they are judged, by its number.
        remark: what else a reader of figures on it has to know; "" if there is nothing.
    """

    source: str
    classes: tuple[str, ...]
    pictures: tuple[AnnotatedPicture, ...]
    total: int
    stated_ap: float | None = None
    stated_mask_ap: float | None = None
    keypoint_names: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    sigmas: Mapping[int, NDArray[np.float64]] = field(default_factory=dict)
    remark: str = ""

    @property
    def has_masks(self) -> bool:
        """True if the masks of all objects have been read."""
        return all(picture.truth.masks is not None for picture in self.pictures)

    @property
    def lacks_masks(self) -> str:
        """Describes which objects have no mask; "" if all masks have been read."""
        if self.has_masks:
            return ""
        objects = sum(len(picture.truth.classes) for picture in self.pictures)
        alone = sum(picture.boxes_alone for picture in self.pictures)
        if alone in (0, objects):
            return "the annotations have boxes alone"
        first = next(picture.name for picture in self.pictures if picture.boxes_alone)
        return f"{alone} of {objects} objects have a box alone (first in {first})"

    @property
    def description(self) -> str:
        """Names the data set and the choice of pictures."""
        if len(self.pictures) == self.total:
            return f"all {self.total} pictures of {self.source}"
        return f"{len(self.pictures)} of {self.total} pictures of {self.source} (drawn with seed {_SEED})"


def with_masks(dataset: Dataset) -> Dataset:
    """Reads the masks of all objects; returns the data set as it is if not every object of its pictures has one.

    Raises:
        UserError: a mask is malformed, or of another size than its picture; or that cannot be read.
    """
    if any(picture.read_masks is None for picture in dataset.pictures):
        return dataset

    def read(picture: AnnotatedPicture) -> AnnotatedPicture:
        masks = () if picture.read_masks is None else picture.read_masks()
        if masks and (found := (masks[0].width, masks[0].height)) != (size := picture.load().size):
            raise UserError(
                f"{dataset.source}: the masks of {picture.name} have {found[0]} x {found[1]} pixels, and the picture has "
                f"{size[0]} x {size[1]}; correct its width and height"
            )
        return replace(picture, truth=replace(picture.truth, masks=masks))

    return replace(dataset, pictures=tuple(map(read, dataset.pictures)))


def choose(items: Sequence[T], size: int) -> tuple[T, ...]:
    """Keeps at most ``size`` items, drawn with a fixed seed, in their order."""
    if len(items) <= size:
        return tuple(items)
    return tuple(items[i] for i in np.sort(np.random.default_rng(_SEED).choice(len(items), size, replace=False)))


def truth_of(
    boxes: Sequence[Sequence[float]],
    classes: Sequence[int],
    crowd: Sequence[bool] | None = None,
    keypoints: Sequence[NDArray[np.float64] | None] | None = None,
    areas: Sequence[float] | None = None,
) -> Truth:
    """Builds the objects of a picture from lists; see ``Truth``."""
    return Truth(
        np.array(boxes, np.float64).reshape(-1, 4),
        np.array(classes, np.int64),
        np.array(crowd if crowd is not None else [False] * len(classes), np.bool_),
        keypoints=None if keypoints is None else tuple(keypoints),
        areas=None if areas is None else np.array(areas, np.float64),
    )


def class_key(name: str) -> str:
    """A class name without the differences that projects make: case, underscores, hyphens and spaces at its ends."""
    return " ".join(name.replace("_", " ").replace("-", " ").casefold().split())


def class_numbers(dataset: Dataset, columns: Iterable[str | None]) -> dict[str, int]:
    """Maps the detector's class names to the data set's numbers; names that the data set lacks are left out.

    Raises:
        UserError: a class with annotations is none of the detector's.
    """
    names = [name for name in columns if name is not None]
    by_key = {class_key(name): number for number, name in reversed(list(enumerate(dataset.classes)))}
    known = {name: by_key[class_key(name)] for name in names if class_key(name) in by_key}
    used = {int(number) for picture in dataset.pictures for number in picture.truth.classes}
    lacking = [dataset.classes[number] for number in sorted(used - set(known.values()))]
    if lacking:
        raise UserError(
            f"the annotations of {dataset.source} have classes that the detector lacks: {shown_names(lacking)}; its classes "
            f"are {shown_names(dict.fromkeys(names))}; those of the data set are {shown_names(dataset.classes)}; name the "
            "detector's with --classes"
        )
    return known


def shown_names(names: Iterable[str]) -> str:
    listed = list(names)
    more = f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
    return f"{', '.join(listed[:_SHOWN])}{more}"


def existing(candidates: Iterable[Path]) -> Path | None:
    """The first of the paths that exists."""
    return next((path for path in candidates if path.exists()), None)


def finite_box(values: NDArray[np.float64]) -> bool:
    """True if all figures of a box are finite and it has an area."""
    return bool(np.isfinite(values).all() and values[2] > values[0] and values[3] > values[1])
