"""The reference is torch's own resize and normalise, in the order of either rfdetr; the fixtures are white noise, the worst
case."""

from __future__ import annotations

import errno
import io
import os
import zlib

import numpy as np
import PIL
import pytest
import torch
from PIL import Image

from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.manifest import CHANNEL_COUNT, Preprocess
from detr2litert.host_runtime.preprocess import MAX_PIXELS, load_image, preprocess, resized_pixels, to_rgb

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# In units of the normalised tensor (range about -2.1 to 2.6); one step of an 8-bit pixel is 0.017.
TOLERANCE = 3e-6


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def reference(pixels: np.ndarray, size: tuple[int, int], antialias: bool, normalise_first: bool) -> np.ndarray:
    """rfdetr's predict without torchvision: F.to_tensor, F.normalize, F.resize on a float tensor are just this."""
    unit = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float().div(255)
    mean, std = torch.tensor(MEAN)[:, None, None], torch.tensor(STD)[:, None, None]

    def resize(x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.interpolate(x, size, mode="bilinear", align_corners=False, antialias=antialias)

    result = resize((unit - mean) / std) if normalise_first else (resize(unit) - mean) / std
    return result.numpy()


@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("normalise_first", [True, False])
@pytest.mark.parametrize(
    ("height", "width", "size"),
    [
        (480, 640, 384),
        (640, 427, 560),
        (1080, 1920, 512),
        (100, 37, 384),
        (384, 384, 384),
        (7, 5, 160),
        (3000, 3, 64),
        (1, 1, 32),
    ],
)
def test_it_is_rfdetrs_tensor(height, width, size, antialias, normalise_first):
    pixels = noise(height, width)
    spec = Preprocess(size, size, "bilinear_antialias" if antialias else "bilinear")
    tensor = preprocess(Image.fromarray(pixels), spec)
    assert tensor.shape == (1, 3, size, size)
    assert tensor.dtype == np.float32
    assert tensor.flags.c_contiguous
    np.testing.assert_allclose(tensor, reference(pixels, (size, size), antialias, normalise_first), rtol=0, atol=TOLERANCE)


def test_every_pixel_value_is_divided_as_to_tensor_does():
    pixels = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    tensor = preprocess(
        Image.fromarray(pixels), Preprocess(1, 256, "bilinear_antialias", mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    )
    np.testing.assert_array_equal(tensor[0, 0, 0], (torch.arange(256, dtype=torch.uint8).float() / 255).numpy())


def test_height_and_width_are_not_mixed_up():
    pixels = noise(30, 50)
    tensor = preprocess(Image.fromarray(pixels), Preprocess(16, 24, "bilinear_antialias"))
    np.testing.assert_allclose(tensor, reference(pixels, (16, 24), True, True), rtol=0, atol=TOLERANCE)


def test_antialiasing_matters_so_the_manifest_must_say_which():
    image = Image.fromarray(noise(400, 400))
    smooth, sharp = (
        preprocess(image, Preprocess(64, 64, "bilinear_antialias")),
        preprocess(image, Preprocess(64, 64, "bilinear")),
    )
    assert np.abs(smooth - sharp).max() > 1


PRECISION = 22
"""Fraction bits of Pillow's weights (src/libImaging/Resample.c, PRECISION_BITS)."""


def fixed_point_weights(old: int, new: int) -> np.ndarray:
    """Pillow's weights [new, old] of the triangle filter (precompute_coeffs, then normalize_coeffs_8bpc)."""
    scale = old / new
    support = max(scale, 1.0)
    weights = np.zeros((new, old), np.int64)
    for i in range(new):
        centre = (i + 0.5) * scale
        near = range(max(int(centre - support + 0.5), 0), min(int(centre + support + 0.5), old))
        values = [max(1 - abs((source - centre + 0.5) * (1 / support)), 0.0) for source in near]
        for source, value in zip(near, values, strict=True):
            weights[i, source] = int(0.5 + value / sum(values) * 2**PRECISION)
    return weights


def in_8_bits(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Columns and rows of [h, w, c], each rounded and clipped to 8 bits, in the order of Pillow 13."""

    def weighted(equation: str, old: int, new: int, values: np.ndarray) -> np.ndarray:
        sums = np.einsum(equation, fixed_point_weights(old, new), values.astype(np.int64)) + 2 ** (PRECISION - 1)
        return np.clip(sums >> PRECISION, 0, 255)

    passes = [("ow,hwc->hoc", pixels.shape[1], width), ("oh,hwc->owc", pixels.shape[0], height)]
    rows_first = pixels.shape[0] > height and pixels.shape[0] - height > 2 * (pixels.shape[1] - width)
    for equation, old, new in reversed(passes) if rows_first else passes:
        pixels = weighted(equation, old, new, pixels)
    return pixels


@pytest.mark.parametrize("channels", ["L", "RGB", "RGBA"])
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ((120, 90), (160, 160)),
        ((97, 601), (64, 33)),
        ((31, 7), (31, 50)),
        ((1, 1), (4, 3)),
        ((300, 1), (7, 1)),
        # Rows first, by one pixel; columns first with the same fewer rows; rows first and wider columns.
        ((90, 50), (69, 40)),
        ((90, 50), (70, 40)),
        ((90, 50), (89, 60)),
    ],
)
def test_a_resize_in_8_bits_is_the_original_projects(channels, old, new):
    pixels = np.random.default_rng(1).integers(0, 256, (*old, CHANNEL_COUNT[channels]), np.uint8)
    if channels == "RGBA":
        # Colours weigh as much as they are opaque, which is another computation; this one is of opaque pictures.
        pixels[..., 3] = 255
    plain = {"mean": (0.0,) * pixels.shape[2], "std": (1.0,) * pixels.shape[2], "channels": channels}
    image = Image.fromarray(pixels.squeeze(2) if channels == "L" else pixels)
    tensor = preprocess(image, Preprocess(*new, "bilinear_8bit", **plain))
    # Divided as in to_tensor: a whole number of 255ths.
    wanted = in_8_bits(pixels, *new).astype(np.float32) / np.float32(255)
    np.testing.assert_array_equal(tensor[0], wanted.transpose(2, 0, 1))


@pytest.mark.skipif(int(PIL.__version__.split(".")[0]) < 13, reason="earlier versions begin with the columns")
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_a_resize_in_8_bits_is_pillows_own(mode):
    generator = np.random.default_rng(0)
    for height, width, new_height, new_width in generator.integers(1, 200, (100, 4)).tolist():
        pixels = generator.integers(0, 256, (height, width, CHANNEL_COUNT[mode]), np.uint8)
        image = Image.fromarray(pixels.squeeze(2) if mode == "L" else pixels)
        plain = {"mean": (0.0,) * pixels.shape[2], "std": (1.0,) * pixels.shape[2], "channels": mode}
        tensor = preprocess(image, Preprocess(new_height, new_width, "bilinear_8bit", scale=1.0, **plain))
        wanted = np.asarray(image.resize((new_width, new_height), Image.Resampling.BILINEAR))
        np.testing.assert_array_equal(tensor[0].transpose(1, 2, 0), wanted.reshape(new_height, new_width, -1))


def test_a_resize_in_8_bits_rounds_twice():
    """0, 1 and 255 over a quarter and three quarters, by hand."""
    plain = {"mean": (0.0,), "std": (1.0,), "channels": "L"}
    image = Image.fromarray(np.array([[0, 1], [255, 255]], np.uint8))
    tensor = preprocess(image, Preprocess(4, 4, "bilinear_8bit", **plain))
    # The upper row becomes 0, 0.25, 0.75, 1 and is rounded to 0, 0, 1, 1 before the rows are mixed.
    np.testing.assert_array_equal(
        np.rint(tensor[0, 0] * 255), [[0, 0, 1, 1], [64, 64, 65, 65], [191, 191, 192, 192], [255] * 4]
    )


def test_a_resize_in_8_bits_is_within_a_grey_level_of_the_antialiased_one():
    image = Image.fromarray(noise(97, 61))
    rounded, exact = (preprocess(image, Preprocess(48, 80, resize)) for resize in ("bilinear_8bit", "bilinear_antialias"))
    apart = np.abs(rounded - exact) * 255 * np.asarray(STD, np.float32)[:, None, None]
    assert 0.5 < apart.max() < 1.01


def saved(tmp_path, image: Image.Image, name: str = "x.png", **kwargs):
    image.save(tmp_path / name, **kwargs)
    return tmp_path / name


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_picture_is_turned_upright(tmp_path, orientation):
    upright = np.zeros((4, 6, 3), np.uint8)
    upright[0, 0], upright[0, 5] = (255, 0, 0), (0, 255, 0)
    image = Image.fromarray(upright)
    # What a camera in that orientation stores: the inverse of the rotation in the tag.
    back = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = image.transpose(back[orientation]) if orientation in back else image
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path, stored, exif=exif)
    np.testing.assert_array_equal(np.asarray(load_image(path)), upright)
    np.testing.assert_array_equal(np.asarray(load_image(path, upright=False)), np.asarray(stored))


def test_greyscale_is_repeated(tmp_path):
    grey = noise(5, 6)[..., 0]
    result = np.asarray(load_image(saved(tmp_path, Image.fromarray(grey))))
    np.testing.assert_array_equal(result, np.repeat(grey[..., None], 3, axis=2))


def test_one_bit(tmp_path):
    result = np.asarray(load_image(saved(tmp_path, Image.fromarray(np.eye(4, dtype=bool)))))
    np.testing.assert_array_equal(result[..., 0], np.eye(4) * 255)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_is_dropped_not_blended(tmp_path, mode):
    image = Image.fromarray(noise(5, 6)).convert(mode[:-1])
    expected = np.asarray(image.convert("RGB"))
    image.putalpha(0)
    np.testing.assert_array_equal(np.asarray(load_image(saved(tmp_path, image))), expected)


def test_palette(tmp_path):
    image = Image.fromarray(noise(5, 6)).quantize(8)
    np.testing.assert_array_equal(np.asarray(load_image(saved(tmp_path, image))), np.asarray(image.convert("RGB")))


def test_cmyk(tmp_path):
    image = Image.fromarray(noise(16, 16)).convert("CMYK")
    result = load_image(saved(tmp_path, image, "x.tif"))
    assert result.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(result), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("name", ["x.png", "x.tif"])
def test_16_bit_is_scaled_not_clipped(tmp_path, name):
    wide = np.array([[0, 128, 129, 257, 32896, 65406, 65407, 65535]], np.uint16)
    result = np.asarray(load_image(saved(tmp_path, Image.fromarray(wide), name)))
    assert result[0, :, 0].tolist() == [0, 0, 1, 1, 128, 254, 255, 255]
    assert (result == result[..., :1]).all()


def test_32_bit_integers_hold_16_bit_values(tmp_path):
    wide = Image.fromarray(np.array([[-5, 0, 65535, 70000]], np.int32))
    assert np.asarray(load_image(saved(tmp_path, wide, "x.tif")))[0, :, 0].tolist() == [0, 0, 255, 255]
    assert np.asarray(to_rgb(Image.fromarray(np.array([[257]], np.uint16))))[0, 0, 0] == 1


def test_the_first_frame_of_an_animation(tmp_path):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    path = saved(tmp_path, frames[0], "x.gif", save_all=True, append_images=frames[1:])
    assert load_image(path).getpixel((0, 0)) == (255, 0, 0)


class TestBadPictures:
    def test_missing(self, tmp_path):
        with pytest.raises(UserError, match=r"no picture at .*nothing.png; check the path"):
            load_image(tmp_path / "nothing.png")

    def test_a_folder(self, tmp_path):
        with pytest.raises(UserError, match="is a folder"):
            load_image(tmp_path)

    def test_a_name_too_long_for_the_system(self, tmp_path):
        with pytest.raises(UserError, match=r"x.png cannot be read \(file name too long\); give a whole PNG"):
            load_image(tmp_path / ("x" * 300 + ".png"))

    def test_below_a_folder_that_may_not_be_entered(self, tmp_path, monkeypatch):
        def refuse(path, *_arguments, **_options):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

        monkeypatch.setattr("builtins.open", refuse)
        monkeypatch.setattr(os, "stat", refuse)
        with pytest.raises(UserError, match=r"x.png cannot be read \(permission denied\); give a whole PNG"):
            load_image(tmp_path / "x.png")

    def test_empty(self, tmp_path):
        (tmp_path / "x.png").write_bytes(b"")
        with pytest.raises(UserError, match=r"x.png is empty"):
            load_image(tmp_path / "x.png")

    def test_not_a_picture(self, tmp_path):
        (tmp_path / "x.png").write_text("text")
        with pytest.raises(UserError, match="is not a picture"):
            load_image(tmp_path / "x.png")

    @pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP"])
    def test_cut_short_anywhere(self, tmp_path, kind):
        stream = io.BytesIO()
        Image.fromarray(noise(64, 64)).save(stream, kind)
        data = stream.getvalue()
        for share in (0.02, 0.3, 0.9):
            path = tmp_path / f"{share}.{kind.lower()}"
            path.write_bytes(data[: int(len(data) * share)])
            with pytest.raises(UserError) as caught:
                load_image(path)
            assert path.name in str(caught.value)

    def test_zero_size(self, tmp_path):
        # A BMP header with width 0.
        header = b"BM" + (54).to_bytes(4, "little") + bytes(4) + (54).to_bytes(4, "little") + (40).to_bytes(4, "little")
        path = tmp_path / "x.bmp"
        path.write_bytes(header + bytes(4) + (5).to_bytes(4, "little") + b"\1\0\x18\0" + bytes(24))
        with pytest.raises(UserError, match=r"x.bmp"):
            load_image(path)

    @pytest.mark.parametrize("side", [13_400, 30_000])
    def test_a_bomb(self, tmp_path, side):
        assert side * side > MAX_PIXELS
        stream = io.BytesIO()
        Image.new("1", (side, 1)).save(stream, "PNG")
        data = bytearray(stream.getvalue())
        data[20:24] = side.to_bytes(4, "big")
        data[29:33] = zlib.crc32(bytes(data[12:29])).to_bytes(4, "big")
        (tmp_path / "bomb.png").write_bytes(data)
        with pytest.raises(UserError, match="more than 178 million pixels; shrink it"):
            load_image(tmp_path / "bomb.png")

    def test_floating_point_pixels(self, tmp_path):
        path = saved(tmp_path, Image.fromarray(np.ones((4, 4), np.float32)), "x.tif")
        with pytest.raises(UserError, match="floating-point pixels"):
            load_image(path)

    def test_not_allowed_to_read(self, tmp_path, monkeypatch):
        path = saved(tmp_path, Image.new("RGB", (2, 2)))

        def refuse(*_args, **_kwargs):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Image, "open", refuse)
        with pytest.raises(UserError, match=r"cannot be read .*permission denied"):
            load_image(path)


@pytest.mark.parametrize("fit", ["stretch", "letterbox", "letterbox_top_left"])
@pytest.mark.parametrize("channels", ["RGB", "L"])
def test_pixels_are_what_is_normalised(fit, channels):
    count = CHANNEL_COUNT[channels]
    fill = () if fit == "stretch" else (114.0, 0.0, 255.0)[:count]
    spec = Preprocess(24, 40, "bilinear_8bit", mean=(0.4,) * count, std=(0.2,) * count, channels=channels, fit=fit, fill=fill)
    assert spec.in_whole_pixels
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (51, 33, 3), dtype=np.uint8))
    pixels, image = resized_pixels(picture, spec), preprocess(picture, spec)
    assert (pixels.dtype, pixels.shape) == (np.uint8, (1, 24, 40, count))
    np.testing.assert_allclose((pixels / 255 - 0.4) / 0.2, image.transpose(0, 2, 3, 1), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("resize", "fill"),
    [("bilinear", ()), ("bilinear_antialias", ()), ("bilinear_8bit", (123.675,) * 3), ("bilinear_8bit", (256,) * 3)],
)
def test_other_pixels_are_not_whole(resize, fill):
    assert not Preprocess(8, 8, resize, fit="letterbox" if fill else "stretch", fill=fill).in_whole_pixels
