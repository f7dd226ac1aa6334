"""The names, skeleton and tolerances of the keypoints of each class.

A checkpoint says how many keypoints each class has, not what they are. In order of precedence: the user's class file, where
it is a COCO annotation file whose categories have ``keypoints``; those of the published weights, for a class with as many;
numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from detr2litert.convert.demo.corners import COUNTS
from detr2litert.host_runtime.manifest_keypoints import numbered_names

Edges = tuple[tuple[int, int], ...]

MAX_NAME = 100
"""Characters of a keypoint's name."""
SIGMA = 0.05
"""OKS's tolerance of a keypoint where nothing states one: rfdetr's own (rfdetr/evaluation/coco_eval.py, 1.11.2)."""


@dataclass(frozen=True)
class Skeleton:
    """The keypoints of a class.

    Attributes:
        names: one a keypoint.
        edges: pairs of keypoints to draw a line between, counted from 0.
        sigmas: of each keypoint, how far annotators disagree, relative to the root of the object's area (COCO's OKS).
    """

    names: tuple[str, ...]
    edges: Edges = ()
    sigmas: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not self.sigmas:
            object.__setattr__(self, "sigmas", (SIGMA,) * len(self.names))


def stated_skeleton(category: Mapping[str, object]) -> Skeleton | None:
    """Returns the keypoints that a category of a COCO annotation file states; None if it has none.

    Raises:
        ValueError: they are of another form than COCO's, which counts the ends of a skeleton's edges from 1.
    """
    names, edges = category.get("keypoints"), category.get("skeleton", [])
    if not names:
        return None
    if not isinstance(names, list) or not all(isinstance(name, str) and 0 < len(name) <= MAX_NAME for name in names):
        raise ValueError(f"its keypoints must be a list of names of at most {MAX_NAME} characters")
    ends = range(1, len(names) + 1)
    if not isinstance(edges, list) or not all(isinstance(edge, list) and len(edge) == 2 for edge in edges):
        raise ValueError("its skeleton must be a list of pairs")
    if not all(end in ends and not isinstance(end, bool | float) for edge in edges for end in edge):
        raise ValueError(f"its skeleton must be pairs of the numbers 1 to {len(names)}")
    known = PERSON.sigmas if tuple(map(_plain, names)) == tuple(map(_plain, PERSON.names)) else ()
    return Skeleton(tuple(names), tuple((first - 1, second - 1) for first, second in edges), known)


def _plain(name: str) -> str:
    return name.replace("_", " ").lower()


def skeletons_of(
    counts: Sequence[int], classes: Sequence[str | None], stated: Mapping[str, Skeleton], published: Mapping[int, Skeleton]
) -> dict[int, Skeleton]:
    """Returns the skeleton of each class that the checkpoint has a number of keypoints for, by its column; maybe an empty one.

    Args:
        counts: keypoints of each class, by column.
        classes: names of the columns.
        stated: skeletons that the user's file states, by the name of the class.
        published: of the variant's published weights, by column; that of another column where it alone has as many.
    """
    found: dict[int, Skeleton] = {}
    for column, count in enumerate(counts):
        own = stated.get(classes[column] or "")
        candidates = (own, published.get(column), *published.values())
        known = [skeleton for skeleton in candidates if skeleton is not None and len(skeleton.names) == count]
        found[column] = known[0] if known else Skeleton(numbered_names(count))
    return found


PERSON = Skeleton(
    names=(
        *("nose", "left eye", "right eye", "left ear", "right ear", "left shoulder", "right shoulder", "left elbow"),
        *("right elbow", "left wrist", "right wrist", "left hip", "right hip", "left knee", "right knee", "left ankle"),
        "right ankle",
    ),
    edges=(
        *((15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7), (6, 8), (7, 9), (8, 10)),
        *((1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6)),
    ),
    sigmas=tuple(tenths / 1000 for tenths in (26, 25, 25, 35, 35, 79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89)),
)
"""COCO's person: names and skeleton of its annotations (person_keypoints), sigmas of pycocotools' Params."""


def _ring(name: str, what: str, step: int = 1) -> Skeleton:
    count = COUNTS[name]
    edges = tuple((i, (i + step) % count) for i in range(count)) if count > 2 else ((0, 1),)
    return Skeleton(tuple(f"{what} {i}" for i in range(1, count + 1)), edges)


CORNERS = (
    Skeleton(("top", "right", "bottom", "left"), ((0, 1), (1, 2), (2, 3), (3, 0))),
    _ring("triangle", "corner"),
    _ring("star", "tip", step=2),
    Skeleton(("top", "right", "bottom", "left"), ((0, 2), (1, 3))),
    _ring("crescent", "tip"),
)
"""The demo shapes': of square, triangle, star, cross and crescent (``convert.demo.corners``)."""
