"""Converts a picture to the input tensor, equal to the input of the model in `rfdetr`'s own `predict`.

What `predict` does (github.com/roboflow/rf-detr):

- `rfdetr/detr.py`, 1.0 (commit 9d6c8d4), and so up to 1.8: `F.to_tensor` (uint8 / 255), `F.normalize` with ImageNet's mean and
  std, then `F.resize(image, (resolution, resolution))`: bilinear, whose torchvision default is antialias=True since torchvision
  0.17.
- `src/rfdetr/_prediction.py`, since 1.9 (commit 0848393): `img.convert("RGB")` for any other mode, / 255, `F.resize(...,
  antialias=False)`, then `F.normalize`. Antialiasing was switched off by pull request 1206 (July 2026, issue 1203), because
  training had moved to Albumentations' antialias-free resize; checkpoints trained up to 1.2 used `F.resize` on PIL images,
  which antialiases.

Resize and normalise commute (the weights of a pixel sum to 1; measured difference 1e-6), so only the antialiasing matters,
which is in the manifest: `bilinear` or `bilinear_antialias`. transformers' RfDetrImageProcessor (5.23) also resizes with
antialias=False.

The original projects of RT-DETR, D-FINE, DEIM, DEIMv2 and LW-DETR apply torchvision's Resize to a PIL image, before the
division by 255: `bilinear_8bit`. The resizes themselves are in `resize.py`.

`predict` ignores EXIF orientation (issue 189: "we're not doing anything to handle EXIF data"). Here a picture is turned upright
first, as a viewer shows it, and boxes are in the upright picture's pixels; `load_image(..., upright=False)` reads it as rfdetr
does.
"""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from detr2litert.host_runtime.errors import UserError, reason
from detr2litert.host_runtime.manifest import CHANNEL_COUNT, Channels, Manifest, Preprocess
from detr2litert.host_runtime.placement import Placement, place
from detr2litert.host_runtime.resize import resize, resize_in_8_bits
from detr2litert.host_runtime.tensor_spec import TensorSpec

Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]

# Pillow itself raises above twice its MAX_IMAGE_PIXELS; the same limit, with our own message. 16384 x 10922 is the largest 3:2
# picture.
MAX_PIXELS = 178_956_970

PICTURE_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
"""Suffixes, in lower case, of the files of a folder that are taken as pictures, wherever a folder of pictures is read."""

_WHITE = 65535
# Cameras of 10, 12 and 14 bits write their values into 16 as they are, whose brightest pixel is then below 64 of 255.
_DARK = 64

_LOG = logging.getLogger(__name__)


def load_image(path: str | Path, *, upright: bool = True, channels: Channels = "RGB") -> Image.Image:
    """Reads a picture as 8-bit RGB, or with the channels that a detector needs.

    Greyscale is repeated over the channels; alpha is dropped, not blended, and palettes and CMYK are converted by Pillow, all
    as `convert("RGB")` in rfdetr does; other channels are converted in the same way. 16-bit greyscale is scaled by
    1/257 (65535 -> 255) where Pillow's own conversion would clip, and a TIFF of 12 bits by its own range (4095 -> 255). 16 bits
    that leave less than 64 of the 256 levels are logged as a loss: such a file does not say whether the picture is dark, or
    comes from a camera of fewer bits. Of an animation the first frame is read.

    Args:
        path: any file Pillow can read.
        upright: whether to apply the EXIF orientation.
        channels: as in the manifest's pre-processing.

    Raises:
        UserError: it is missing, unreadable, empty, truncated or too large, or has floating-point pixels, whose range is
            unknown.
    """
    path = Path(path)
    try:
        with warnings.catch_warnings():
            # The size is checked below; Pillow warns at half that size.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as opened:
                width, height = opened.size
                if width < 1 or height < 1:
                    raise UserError(f"{path} is a picture of {width} x {height} pixels; give one with at least one pixel")
                if width * height > MAX_PIXELS:
                    raise _too_large(path)
                packing = " ".join(str(tile) for tile in opened.tile)
                opened.load()
                if ";16" in packing and opened.mode in ("RGB", "RGBA"):  # of which Pillow reads the upper 8 bits
                    _warn_if_dark(np.asarray(opened)[..., :3], str(path))
                picture = ImageOps.exif_transpose(opened) if upright else opened
                return to_channels(picture, channels, str(path), white=4095 if "I;12" in packing else _WHITE)
    except FileNotFoundError as error:
        raise UserError(f"no picture at {path}; check the path") from error
    except Image.DecompressionBombError as error:
        raise _too_large(path) from error
    except UnidentifiedImageError as error:
        kind = "is empty" if path.stat().st_size == 0 else "is not a picture in a format Pillow reads"
        raise UserError(f"{path} {kind}; give a PNG, JPEG, WebP, BMP or TIFF") from error
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError) as error:
        # Pillow's decoders raise all of these on damaged files.
        problem = f"cannot be read ({reason(error) if isinstance(error, OSError) else error})"
        if isinstance(error, IsADirectoryError):
            problem = "is a folder"
        raise UserError(f"{path} {problem}; give a whole PNG, JPEG, WebP, BMP or TIFF file") from error


def to_rgb(image: Image.Image, name: str = "the picture") -> Image.Image:
    """Converts any Pillow image to mode RGB, as `load_image` does; raises UserError for floating-point pixels."""
    return to_channels(image, "RGB", name)


def to_channels(image: Image.Image, channels: Channels, name: str = "the picture", *, white: int = _WHITE) -> Image.Image:
    """Converts any Pillow image to these channels, as `load_image` does; raises UserError for floating-point pixels.

    Args:
        image: of any mode.
        channels: as in the manifest's pre-processing.
        name: for messages.
        white: the value of integer pixels of more than 8 bits that becomes 255.
    """
    if image.mode == channels:
        return image.copy()
    if image.mode == "F":
        raise UserError(f"{name} has floating-point pixels, whose range is not known; save it as 8- or 16-bit first")
    if image.mode.startswith("I"):
        # Modes I;16, I;16L, I;16B, I;16N and I (32-bit holding 16-bit values).
        wide = np.clip(np.asarray(image).astype(np.int64), 0, white)
        narrow = ((wide * 255 + white // 2) // white).astype(np.uint8)
        if white == _WHITE and wide.any():
            _warn_if_dark(narrow, name)
        return Image.fromarray(narrow).convert(channels)
    return image.convert(channels)


def preprocess(image: Image.Image, spec: Preprocess) -> Floats:
    """Converts a picture to the model's input: resized to spec.height x spec.width, scaled and normalised.

    Args:
        image: any size and mode (other modes than the input's channels go through `to_channels`).
        spec: the manifest's pre-processing.

    Returns:
        float32 [1, channels, height, width], red, green, blue (and opacity), or grey; contiguous.
    """
    placed = place(image.size, spec)
    resized = _resize(image, placed, spec)
    tensor = np.empty((1, CHANNEL_COUNT[spec.channels], spec.height, spec.width), np.float32)
    # A channel at a time and in place: it stays in the processor's cache.
    for channel, plane in enumerate(tensor[0]):
        if placed.pads:
            plane[:] = spec.fill[channel]
        plane[placed.rows, placed.columns] = resized[channel]
        # Divided by 255 as in to_tensor; a product with 1/255 would differ by one bit for half of the pixel values.
        plane /= np.float32(1 / spec.scale)
        plane -= np.float32(spec.mean[channel])
        plane /= np.float32(spec.std[channel])
    return tensor


def resized_pixels(image: Image.Image, spec: Preprocess) -> Pixels:
    """Converts a picture to the whole numbers that `preprocess` scales and normalises: what a native form may take.

    Args:
        image: as for `preprocess`.
        spec: the manifest's pre-processing, `in_whole_pixels`.

    Returns:
        uint8 [1, height, width, channels], contiguous; Pillow's own memory, which is read-only, where nothing is padded.
    """
    placed = place(image.size, spec)
    resized = _resize_in_8_bits(image, placed, spec)
    if not placed.pads:
        return resized[None]
    tensor = np.empty((1, spec.height, spec.width, CHANNEL_COUNT[spec.channels]), np.uint8)
    tensor[:] = np.array(spec.fill, np.uint8)
    tensor[0, placed.rows, placed.columns] = resized
    return tensor


def taken_inputs(manifest: Manifest) -> tuple[TensorSpec, ...]:
    """Returns what graph A takes in each form of a bundle: one input if it is the same in both."""
    forms = (manifest.graphs, manifest.native_graphs)
    return tuple(dict.fromkeys(graphs.a.inputs[0] for graphs in forms if graphs is not None))


def prepare(image: Image.Image, spec: Preprocess, taken: TensorSpec) -> NDArray[np.generic]:
    """Converts a picture to what a form's graph A takes: `resized_pixels` for an input of uint8, else `preprocess`."""
    return resized_pixels(image, spec) if taken.dtype == "uint8" else preprocess(image, spec)


def _resize(image: Image.Image, placed: Placement, spec: Preprocess) -> Floats:
    """Resizes an image to [channels, placed.height, placed.width], pixel values from 0 to 255."""
    if spec.resize == "bilinear_8bit":
        return _resize_in_8_bits(image, placed, spec).astype(np.float32).transpose(2, 0, 1)
    converted = _converted(image, spec)
    pixels = np.asarray(converted).reshape(converted.height, converted.width, -1)
    return resize(pixels, placed.height, placed.width, antialias=spec.resize == "bilinear_antialias")


def _resize_in_8_bits(image: Image.Image, placed: Placement, spec: Preprocess) -> Pixels:
    """Resizes an image to [placed.height, placed.width, channels]."""
    resized = np.asarray(resize_in_8_bits(_converted(image, spec), placed.width, placed.height))
    return resized.reshape(placed.height, placed.width, -1)


def _converted(image: Image.Image, spec: Preprocess) -> Image.Image:
    return image if image.mode == spec.channels else to_channels(image, spec.channels)


def _warn_if_dark(pixels: NDArray[np.uint8], name: str) -> None:
    """Logs that a picture of 16 bits used few of the 256 levels that it was reduced to."""
    brightest = int(pixels.max(initial=0))
    if brightest < _DARK:
        _LOG.warning(
            "%s has 16-bit pixels, the brightest of which becomes %d of 255, so that %d of 256 levels are left; if it is of a "
            "camera of fewer bits (12 bits: 0 to 4095), multiply its pixels up to 65535 and save it again",
            name, brightest, brightest + 1,
        )  # fmt: skip


def _too_large(path: Path) -> UserError:
    return UserError(f"{path} has more than {MAX_PIXELS // 10**6} million pixels; shrink it first")
