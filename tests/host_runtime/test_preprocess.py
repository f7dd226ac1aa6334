"""The reference is torch's own resize and normalise, in the order of either rfdetr; the fixtures are white noise, the worst
case."""

from __future__ import annotations

import errno
import io
import os
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.manifest import Preprocess
from detr2litert.host_runtime.preprocess import MAX_PIXELS, load_image, preprocess, to_rgb

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
