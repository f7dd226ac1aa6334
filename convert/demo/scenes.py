"""Renders scenes of labelled shapes, the data on which the demo detectors are trained.

A scene is a textured background with one to six shapes on it, which differ in colour, size and rotation and may hide up to a
quarter of one another. Everything is determined by the scene's index, so that a training run, its held-out set and the demo
pictures can be reproduced anywhere without storing an image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from detr2litert.convert.demo.corners import BITE, BITE_RADIUS, REACH, corners_of

CLASSES: tuple[str, ...] = ("circle", "square", "triangle", "star", "cross", "crescent")

SIDE = 160
"""Side of a scene in pixels."""

HELD_OUT_START = 1_000_000_000
"""First scene index that is never drawn in training, nor are those after it."""

_SUPERSAMPLING = 2
_MAX_OBJECTS = 6
_MAX_HIDDEN = 0.25
_PLACEMENT_TRIES = 40

Points = list[tuple[float, float]]


@dataclass(frozen=True)
class Scene:
    """One rendered picture with its ground truth.

    Attributes:
        image: RGB picture, side × side pixels.
        labels: ``[n]`` int64 indices into ``CLASSES``.
        boxes: ``[n, 4]`` float32 boxes as x0, y0, x1, y1 in pixels, tight around each whole shape (hidden parts included).
        masks: ``[n, side, side]`` bool, the pixels of which a whole shape (hidden parts included) covers at least half.
        keypoints: of each shape ``[K, 3]`` float32 as x, y in pixels and COCO's visibility: 2 seen, 1 hidden, 0 outside. See
            ``convert.demo.corners``.
    """

    image: Image.Image
    labels: np.ndarray
    boxes: np.ndarray
    masks: np.ndarray
    keypoints: tuple[np.ndarray, ...] = ()


def render(index: int, side: int = SIDE) -> Scene:
    """Draws scene number ``index`` at ``side`` pixels.

    The same index and side always give the same pixels.
    """
    rng = np.random.default_rng(index)
    big = side * _SUPERSAMPLING
    canvas = _background(rng, side).resize((big, big), Image.Resampling.BICUBIC)
    labels: list[int] = []
    boxes: list[np.ndarray] = []
    covered: list[np.ndarray] = []
    corners: list[np.ndarray] = []
    for _ in range(int(rng.integers(1, _MAX_OBJECTS + 1))):
        placed = _place(rng, big, covered)
        if placed is None:
            continue
        label, mask, points = placed
        _paint(rng, canvas, mask)
        covered.append(np.asarray(mask) > 127)
        labels.append(label)
        # A coordinate of a drawing is that of a pixel's centre.
        corners.append((points + 0.5) / _SUPERSAMPLING)
        boxes.append(np.asarray(mask.getbbox(), np.float32) / _SUPERSAMPLING)
    image = _add_noise(rng, canvas.resize((side, side), Image.Resampling.BOX))
    masks = np.stack([_half_covered(shape) for shape in covered]) if covered else np.zeros((0, side, side), bool)
    keypoints = tuple(_with_visibility(points, masks[i + 1 :], side) for i, points in enumerate(corners))
    return Scene(image, np.asarray(labels, np.int64), np.asarray(boxes, np.float32).reshape(-1, 4), masks, keypoints)


def _with_visibility(points: np.ndarray, above: np.ndarray, side: int) -> np.ndarray:
    """Returns keypoints ``[K, 3]`` of points ``[K, 2]``, given the masks of the shapes above theirs."""
    columns, rows = np.floor(points).astype(int).T.reshape(2, -1)
    inside = (columns >= 0) & (columns < side) & (rows >= 0) & (rows < side)
    hidden = above[:, rows.clip(0, side - 1), columns.clip(0, side - 1)].any(0)
    return np.column_stack([points, np.where(inside, np.where(hidden, 1, 2), 0)]).astype(np.float32)


def _half_covered(shape: np.ndarray) -> np.ndarray:
    """Returns, of a shape's ``[2 side, 2 side]`` drawing, which pixels ``[side, side]`` it covers by at least a half."""
    side = shape.shape[0] // _SUPERSAMPLING
    parts = shape.reshape(side, _SUPERSAMPLING, side, _SUPERSAMPLING).sum((1, 3))
    covered: np.ndarray = 2 * parts >= _SUPERSAMPLING**2
    return covered


def _background(rng: np.random.Generator, side: int) -> Image.Image:
    """Blends two colours by smooth noise at two scales."""
    colours = rng.uniform(20, 235, (2, 3))
    field = np.zeros((side, side))
    for cells, weight in ((4, 0.6), (16, 0.4)):
        coarse = Image.fromarray(rng.uniform(0, 255, (cells, cells)).astype(np.uint8))
        field += weight * np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC), float) / 255
    pixels = colours[0] + (colours[1] - colours[0]) * field[..., None]
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def _place(rng: np.random.Generator, big: int, covered: list[np.ndarray]) -> tuple[int, Image.Image, np.ndarray] | None:
    """Finds a class and a place that leave every shape at least three quarters visible."""
    label = int(rng.integers(len(CLASSES)))
    for _ in range(_PLACEMENT_TRIES):
        radius = big * float(rng.uniform(0.065, 0.19))
        centre = rng.uniform(radius * 0.95, big - radius * 0.95, 2)
        mask = Image.new("L", (big, big))
        angle = float(rng.uniform(0, 2 * math.pi))
        _draw_shape(mask, CLASSES[label], centre, radius, angle)
        here = np.asarray(mask) > 127
        if all((here & other).sum() <= _MAX_HIDDEN * min(other.sum(), here.sum()) for other in covered):
            return label, mask, corners_of(CLASSES[label], centre, radius, angle)
    return None


def _draw_shape(mask: Image.Image, name: str, centre: np.ndarray, radius: float, angle: float) -> None:
    draw = ImageDraw.Draw(mask)
    if name in ("circle", "crescent"):
        draw.ellipse(_disc(centre, radius), fill=255)
        if name == "crescent":
            bite = centre + BITE * radius * np.asarray([math.cos(angle), math.sin(angle)])
            draw.ellipse(_disc(bite, BITE_RADIUS * radius), fill=0)
        return
    turn = np.asarray([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    corners = np.asarray(_outline(name)) @ turn.T * radius + centre
    draw.polygon([(float(x), float(y)) for x, y in corners], fill=255)


def _disc(centre: np.ndarray, radius: float) -> tuple[float, float, float, float]:
    return (centre[0] - radius, centre[1] - radius, centre[0] + radius, centre[1] + radius)


def _outline(name: str) -> Points:
    """Returns the corners of a shape inside the unit circle."""
    if name == "square":
        return _ring([1.0] * 4)
    if name == "triangle":
        return _ring([1.0] * 3)
    if name == "star":
        return _ring([1.0, 0.42] * 5)
    arm, reach = 0.3, REACH
    quarter = [(arm, arm), (arm, reach), (-arm, reach)]
    return [_rotate_quarter(p, turns) for turns in range(4) for p in quarter]


def _ring(radii: list[float]) -> Points:
    step = 2 * math.pi / len(radii)
    return [(r * math.cos(i * step), r * math.sin(i * step)) for i, r in enumerate(radii)]


def _rotate_quarter(point: tuple[float, float], turns: int) -> tuple[float, float]:
    x, y = point
    for _ in range(turns):
        x, y = -y, x
    return (x, y)


def _paint(rng: np.random.Generator, canvas: Image.Image, mask: Image.Image) -> None:
    """Fills a shape with a shaded colour that contrasts with its background."""
    inside = np.asarray(mask) > 127
    under = np.asarray(canvas)[inside].mean(0)
    colour = rng.uniform(0, 255, 3)
    while np.abs(colour - under).max() < 60:
        colour = rng.uniform(0, 255, 3)
    shade = np.linspace(0, float(rng.uniform(-50, 50)), canvas.height)[:, None, None]
    fill = np.broadcast_to(colour + shade, (canvas.height, canvas.width, 3)).clip(0, 255).astype(np.uint8)
    canvas.paste(Image.fromarray(fill), (0, 0), mask)


def _add_noise(rng: np.random.Generator, image: Image.Image) -> Image.Image:
    if rng.random() < 0.3:
        image = image.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.2, 0.8))))
    pixels = np.asarray(image, float)
    pixels = pixels + rng.normal(0, float(rng.uniform(0, 10)), pixels.shape)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
