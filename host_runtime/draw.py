"""Draws masks, boxes, keypoints and labels on a picture, legible on any background and at any size."""

from __future__ import annotations

import colorsys
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from detr2litert.host_runtime.decode import Detection
from detr2litert.host_runtime.keypoints import FINDABLE
from detr2litert.host_runtime.manifest_keypoints import Keypoints
from detr2litert.host_runtime.preprocess import to_rgb

Colour = tuple[int, int, int]

_BLACK, _WHITE = (0, 0, 0), (255, 255, 255)
_OPACITY = 110
"""Of a mask, of 255."""
# Steps of the golden ratio around the colour wheel keep neighbouring class indices far apart however many there are.
_GOLDEN = 0.6180339887498949


def class_colour(class_index: int) -> Colour:
    """Returns a class's colour: fixed for an index, bright, and unlike its neighbours'."""
    hue = (0.02 + class_index * _GOLDEN) % 1.0
    # Every third class is darker and every second paler, so that equal hues far apart still differ.
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.95 - 0.3 * (class_index % 2), 1.0 - 0.2 * (class_index % 3 == 2))
    # Dark blues and violets are lightened: a line of luma below 0.35 is not visible on a dark picture.
    white = max(0.0, (0.35 - _luma(red, green, blue)) / (1 - _luma(red, green, blue)))
    red, green, blue = (round(255 * (value + (1 - value) * white)) for value in (red, green, blue))
    return red, green, blue


def _luma(red: float, green: float, blue: float) -> float:
    """Returns a colour's luma (Rec. 601), on the scale of its channels."""
    return 0.299 * red + 0.587 * green + 0.114 * blue


def draw_detections(image: Image.Image, detections: Iterable[Detection], skeletons: Keypoints | None = None) -> Image.Image:
    """Draws each detection's mask, box and label `name 0.87` on a copy of the picture (RGB), the best ones last, on top.

    A mask is a translucent area of its class's colour, see `mask_layer`; one of another size than the picture is not drawn.
    Keypoints are drawn from a score of 0.5 on, as discs with a dark rim, joined by the lines of their class's skeleton if
    `skeletons` are given.

    Line width and type size follow the picture's longer side. A box has a dark edge on both sides of its coloured line and a
    label its own background, so both are legible on any picture. A label that would extend beyond the picture is moved inside.
    """
    items = _best_last(detections)
    canvas = _shaded(to_rgb(image), items)
    draw = ImageDraw.Draw(canvas)
    long_side = max(canvas.size)
    line = max(1, round(long_side / 320))
    font = ImageFont.load_default(size=max(10, round(long_side / 45)))
    for item in items:
        _draw_box(draw, item, canvas.size, line)
    for item in items:
        _draw_keypoints(draw, item, canvas.size, line, skeletons)
    placed: list[tuple[float, float, float, float]] = []
    for item in reversed(items):
        placed.append(_label_place(draw, item, canvas.size, font, line, placed))
    for item, place in zip(items, reversed(placed), strict=True):
        _draw_label(draw, item, place, font, line)
    return canvas


def _best_last(items: Iterable[Detection]) -> list[Detection]:
    """Of equal scores, the first is the best: detections are in the order of their ranks."""
    return sorted(items, key=lambda item: -item.score)[::-1]


def mask_layer(items: Iterable[Detection], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Returns the masks of detections as one translucent layer, RGBA [height, width, 4], 0 where there is no mask.

    Where masks overlap, the best detection's covers the others, as its box and label do: every shaded pixel has the colour of
    one class, and the picture is equally visible under any number of masks, where blended ones would hide it more and more, in
    colours of no class. The app (`MaskLayer.kt`) and the page (`mask_layer.js`) make the same layer.

    Args:
        items: the detections; a mask of another size than `size` is left out.
        size: (width, height) of the picture.
    """
    layer = np.zeros((size[1], size[0], 4), np.uint8)
    for item in _best_last(items):
        if item.mask is not None and (item.mask.width, item.mask.height) == size:
            layer[item.mask.pixels] = (*class_colour(item.class_index), _OPACITY)
    return layer


def _shaded(picture: Image.Image, items: Sequence[Detection]) -> Image.Image:
    """Returns the picture with the masks on it."""
    if any(item.mask is not None for item in items):
        layer = Image.fromarray(mask_layer(items, picture.size))
        picture.paste(layer, mask=layer)
    return picture


def _draw_box(draw: ImageDraw.ImageDraw, item: Detection, size: tuple[int, int], line: int) -> None:
    left, top, right, bottom = _box_on(item, size)
    rim = max(1, line // 2)
    for shrink, width, colour in ((0, line + 2 * rim, _BLACK), (rim, line, class_colour(item.class_index))):
        # Pillow refuses a rectangle with crossed corners, so these are clamped for a box thinner than its line.
        inner = (left + shrink, top + shrink, max(right - shrink, left + shrink), max(bottom - shrink, top + shrink))
        draw.rectangle(inner, outline=colour, width=width)


def _draw_keypoints(
    draw: ImageDraw.ImageDraw, item: Detection, size: tuple[int, int], line: int, skeletons: Keypoints | None
) -> None:
    points, colour, rim = item.keypoints or (), class_colour(item.class_index), max(1, line // 2)
    # Pillow's lines to far outside take seconds.
    near = [-size[0] <= point.x <= 2 * size[0] and -size[1] <= point.y <= 2 * size[1] for point in points]
    shown = [point.score >= FINDABLE and inside for point, inside in zip(points, near, strict=True)]
    own = None if skeletons is None else skeletons.of(item.class_index)
    for first, second in () if own is None else own.skeleton:
        if max(first, second) < len(points) and shown[first] and shown[second]:
            ends = [(point.x, point.y) for point in (points[first], points[second])]
            draw.line(ends, fill=_BLACK, width=line + 2 * rim)
            draw.line(ends, fill=colour, width=line)
    for point, found in zip(points, shown, strict=True):
        if found:
            draw.circle((point.x, point.y), 2 * line + rim, fill=colour, outline=_BLACK, width=rim)


def _box_on(item: Detection, size: tuple[int, int]) -> tuple[float, float, float, float]:
    """Returns the box's outermost pixels, clamped to the picture."""
    left, top, right, bottom = item.box
    left, top = min(max(left, 0), size[0] - 1), min(max(top, 0), size[1] - 1)
    return left, top, max(min(right, size[0] - 1), left), max(min(bottom, size[1] - 1), top)


def _label_place(
    draw: ImageDraw.ImageDraw,
    item: Detection,
    size: tuple[int, int],
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    line: int,
    placed: list[tuple[float, float, float, float]],
) -> tuple[float, float, float, float]:
    """Returns the label's place: above the box, inside its top, or below, the first that overlaps no earlier label."""
    x0, y0, x1, y1 = draw.textbbox((0, 0), _text(item), font=font)
    width, height = x1 - x0 + 4 * line, y1 - y0 + 4 * line
    left, top, _, bottom = _box_on(item, size)
    left = max(0, min(left, size[0] - width))
    choices = [max(0, min(y, size[1] - height)) for y in (top - height, top, bottom + 1)]
    places = [(left, y, left + width, y + height) for y in choices]
    free = [place for place in places if not any(_overlap(place, other) for other in placed)]
    return (free or places)[0]


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _draw_label(
    draw: ImageDraw.ImageDraw,
    item: Detection,
    place: tuple[float, float, float, float],
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    line: int,
) -> None:
    colour = class_colour(item.class_index)
    text_colour = _BLACK if _luma(*colour) > 128 else _WHITE
    x0, y0, _, _ = draw.textbbox((0, 0), _text(item), font=font)
    draw.rectangle(place, fill=colour, outline=_BLACK, width=max(1, line // 2))
    draw.text((place[0] + 2 * line - x0, place[1] + 2 * line - y0), _text(item), fill=text_colour, font=font)


def _text(item: Detection) -> str:
    """Returns `name 0.87`, without line breaks, which the label's height does not allow for."""
    return f"{' '.join(item.name.split())} {item.score:.2f}"
