from __future__ import annotations

import itertools

import numpy as np
import pytest
from PIL import Image

from detr2litert.host_runtime.decode import Detection
from detr2litert.host_runtime.draw import class_colour, draw_detections, mask_layer
from detr2litert.host_runtime.masks import Mask


def one(box=(20, 30, 80, 90), index=3, name="dog", score=0.5) -> list[Detection]:
    return [Detection(index, name, score, box)]


def near(pixels: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return np.abs(pixels.astype(int) - colour).max(axis=-1) <= 2


@pytest.mark.parametrize("background", [(0, 0, 0), (255, 255, 255), class_colour(3)])
def test_the_box_stands_out_on_any_background(background):
    image = Image.new("RGB", (200, 150), background)
    pixels = np.asarray(draw_detections(image, one()))
    edge = pixels[60, 18:26]  # across the left side, below the label
    assert near(edge, class_colour(3)).any()
    assert near(edge, (0, 0, 0)).any()
    np.testing.assert_array_equal(pixels[60, 50], background)  # the inside is left alone
    np.testing.assert_array_equal(pixels[140, 190], background)


def masked(index: int, score: float, rows: slice, columns: slice, size=(200, 150)) -> Detection:
    pixels = np.zeros(size[::-1], bool)
    pixels[rows, columns] = True
    return Detection(index, "dog", score, (1, 1, 3, 3), Mask.of(pixels))


def test_where_masks_overlap_the_best_is_on_top_and_the_picture_is_as_visible():
    good = masked(3, 0.9, slice(60, 120), slice(60, 120))
    items = [masked(5, 0.5, slice(90, 140), slice(90, 180)), good, masked(4, 0.7, slice(80, 140), slice(80, 180))]
    picture = Image.new("RGB", (200, 150), (100, 150, 200))
    pixels = np.asarray(draw_detections(picture, items)).astype(int)

    def tinted(index: int) -> np.ndarray:
        return np.array((100, 150, 200)) + (np.array(class_colour(index)) - (100, 150, 200)) * (110 / 255)

    for place, index in {(70, 70): 3, (85, 85): 3, (100, 100): 3, (130, 130): 4, (85, 150): 4}.items():
        assert np.abs(pixels[place] - tinted(index)).max() <= 1, place
    np.testing.assert_array_equal(pixels[145, 20], (100, 150, 200))
    layer = mask_layer(items, picture.size)
    assert set(np.unique(layer[..., 3])) == {0, 110}
    np.testing.assert_array_equal(mask_layer([good, masked(6, 0.95, slice(0, 9), slice(0, 9), (100, 75))], picture.size)[:9], 0)
    # Of equal scores, the first is the best.
    equal = [masked(index, 0.5, slice(0, 9), slice(0, 9)) for index in (3, 4)]
    np.testing.assert_array_equal(mask_layer(equal, picture.size)[0, 0], (*class_colour(3), 110))


def test_the_original_is_not_changed():
    image = Image.new("RGB", (100, 100))
    draw_detections(image, one())
    assert not np.asarray(image).any()


def test_a_class_has_one_colour_and_neighbours_differ():
    colours = [np.array(class_colour(i)) for i in range(91)]
    assert class_colour(5) == tuple(colours[5])
    assert len({tuple(colour) for colour in colours}) == 91
    assert min(np.abs(a - b).sum() for a, b in itertools.pairwise(colours)) > 100
    # Light enough for a dark picture.
    assert min(colour @ [0.299, 0.587, 0.114] for colour in colours) > 80


def test_lines_and_letters_scale_with_the_picture():
    def drawn(size: int) -> int:
        box = (size * 0.4, size * 0.4, size * 0.8, size * 0.8)
        return int(np.asarray(draw_detections(Image.new("RGB", (size, size)), one(box))).any(axis=-1).sum())

    # Four times as long and wide: about sixteen times the inked area.
    assert 8 < drawn(1600) / drawn(400) < 24


@pytest.mark.parametrize(
    "box",
    [
        (0, 0, 200, 150),
        (-50, -50, 500, 500),
        (199, 149, 200, 150),
        (10, 10, 10, 10),
        (50, 50, 51, 140),
        (0, 0, 5, 5),
        (300, 300, 400, 400),
    ],
)
def test_boxes_at_and_over_the_edge(box):
    image = draw_detections(Image.new("RGB", (200, 150)), one(box))
    assert image.size == (200, 150)
    assert np.asarray(image).any()


@pytest.mark.parametrize("size", [(1, 1), (3, 500), (500, 3)])
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P"])
def test_any_picture(size, mode):
    result = draw_detections(Image.new(mode, size), one((0, 0, *size)))
    assert (result.size, result.mode) == (size, "RGB")


@pytest.mark.parametrize("name", ["", "two\nlines", "猫", "x" * 300, "emoji 🐶"])
def test_any_name(name):
    draw_detections(Image.new("RGB", (100, 100)), one(name=name))


def test_nothing_to_draw_gives_the_picture_back():
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 9, 3), np.uint8))
    np.testing.assert_array_equal(np.asarray(draw_detections(image, [])), np.asarray(image))


def test_labels_of_overlapping_boxes_do_not_cover_each_other():
    twins = one((60, 100, 160, 190), 0, "first", 0.9) + one((61, 101, 161, 191), 1, "second", 0.8)
    pixels = np.asarray(draw_detections(Image.new("RGB", (200, 200), (255, 255, 255)), twins))
    for index in (0, 1):
        ys, _ = np.nonzero(near(pixels, class_colour(index)))
        assert (ys < 100).any() or (ys > 105).sum() > 200
    whole = [np.count_nonzero(near(pixels, class_colour(index))) for index in (0, 1)]
    alone = np.asarray(draw_detections(Image.new("RGB", (200, 200), (255, 255, 255)), twins[1:]))
    # The second's line runs under the first's, its label must not.
    assert whole[1] > 0.5 * np.count_nonzero(near(alone, class_colour(1)))
