"""What a detector can be given, one picture after another: files, folders, patterns, arrays, films and cameras."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, TypeGuard

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.predict import film
from detr2litert.host_runtime.preprocess import PICTURE_SUFFIXES, load_image

_ADDRESS = re.compile(r"^[a-z][a-z0-9+.-]+://", re.IGNORECASE)

One: TypeAlias = "str | os.PathLike[str] | Image.Image | NDArray[np.uint8] | int"
"""A file (picture or film), a folder of pictures, a pattern with ``*``, ``?``, ``[...]`` or ``**``, a Pillow image, 8-bit
pixels [height, width, 3] in the order red, green, blue (or [height, width], grey, or with opacity as a fourth channel), or the
number of a camera."""
Source: TypeAlias = "One | Iterable[One]"
"""One of these, or several."""
Broken = Callable[[str, UserError], None]
"""Is told which picture could not be read, and why; the others follow."""


@dataclass(frozen=True)
class Frame:
    """A picture to detect objects in.

    Attributes:
        source: the file's path, ``"camera 0"``, or for an image or an array without a file its place, ``"picture 1"``.
        image: upright, mode RGB or RGBA.
        number: of a film's or camera's frame, from 0; None for a picture.
        seconds: of a film's or camera's frame, since its beginning; None for a picture.
    """

    source: str
    image: Image.Image
    number: int | None = None
    seconds: float | None = None


def frames(source: Source, *, broken: Broken | None = None) -> Iterator[Frame]:
    """Reads one picture at a time.

    Args:
        source: one or several.
        broken: told of each picture that cannot be read, which is then left out; by default the first one raises.

    Raises:
        UserError: a picture cannot be read and there is no ``broken``; a folder has no picture, or a pattern fits no file; a
            film cannot be decoded, or PyAV is not installed; the source is of another type.
    """
    for place, item in enumerate(listed(source), start=1):
        try:
            yield from _frames_of(item, f"picture {place}")
        except UserError as error:
            if broken is None:
                raise
            broken(name_of(item, place), error)


def listed(source: Source) -> list[One]:
    """Lists single files, images, arrays and cameras: the files of folders and patterns are sorted by name.

    Raises:
        UserError: as ``frames``, for folders, patterns and types.
    """
    if isinstance(source, (str, os.PathLike)):
        return list(_files(os.fspath(source)))
    if _is_single(source):
        return [source]  # type: ignore[list-item]
    if not isinstance(source, Iterable):
        raise _unknown(source)
    return [item for one in source for item in (listed(one) if isinstance(one, (str, os.PathLike)) else [one])]


def name_of(item: One, place: int) -> str:
    """Returns the name by which a source is reported, the ``place``-th of several."""
    if isinstance(item, (str, os.PathLike)):
        return os.fspath(item)
    return f"camera {item}" if isinstance(item, int) else f"picture {place}"


def count(items: Iterable[One]) -> int | None:
    """Returns how many frames there are; None if a camera is among them, or a film that does not say."""
    total = 0
    for item in items:
        length = film.length(Path(item)) if isinstance(item, (str, os.PathLike)) and is_film(item) else 1
        if length is None or isinstance(item, int):
            return None
        total += length
    return total


def is_film(item: object) -> bool:
    """True for a path with a film's suffix."""
    return isinstance(item, (str, os.PathLike)) and Path(item).suffix.lower() in film.SUFFIXES


def picture_of(item: One, name: str) -> Image.Image:
    """Returns one picture: a file's, an image as it is, or the pixels of an array.

    Raises:
        UserError: it cannot be read, is a film, a folder or a camera, or is of another type.
    """
    if isinstance(item, Image.Image):
        return item
    if isinstance(item, np.ndarray):
        return _of_pixels(item, name)
    if isinstance(item, (str, os.PathLike)):
        path = os.fspath(item)
        if is_film(path) or Path(path).is_dir() or _is_pattern(path):
            raise UserError(f"{path} may be more than one picture; use predict_each")
        if _ADDRESS.match(path):
            raise _address(path)
        return load_image(path, channels="RGBA")
    if _is_camera(item):
        raise UserError(
            f"camera {item} gives more than one picture; use predict_each, which gives one prediction after another"
        )
    raise _unknown(item)


def _frames_of(item: One, name: str) -> Iterator[Frame]:
    if _is_camera(item):
        moving = film.read_camera(item)
    elif isinstance(item, (str, os.PathLike)) and is_film(item):
        moving = film.read_film(Path(item))
    else:
        yield Frame(os.fspath(item) if isinstance(item, (str, os.PathLike)) else name, picture_of(item, name))
        return
    for number, (image, seconds) in enumerate(moving):
        yield Frame(name_of(item, 0), image, number, seconds)


def _is_single(source: object) -> bool:
    return isinstance(source, (Image.Image, np.ndarray)) or _is_camera(source)


def _is_camera(source: object) -> TypeGuard[int]:
    """True for a camera's number; ``True`` and ``False`` are none."""
    return isinstance(source, int) and not isinstance(source, bool)


def _is_pattern(path: str) -> bool:
    return glob.has_magic(path) and not os.path.lexists(path)  # a file may have brackets in its name


def _files(path: str) -> Iterator[str]:
    if _ADDRESS.match(path):
        raise _address(path)
    if _is_pattern(path):
        # Not of pathlib, whose patterns are not absolute and whose ** follows no links.
        found = sorted(name for name in glob.iglob(path, recursive=True) if not Path(name).is_dir())  # noqa: PTH207
        if not found:
            raise UserError(f"no file fits {path}; quote the pattern and check it with ls")
        yield from found
    elif Path(path).is_dir():
        try:
            pictures = sorted(
                entry for entry in Path(path).iterdir() if entry.suffix.lower() in PICTURE_SUFFIXES and entry.is_file()
            )
        except OSError as error:
            raise UserError(
                f"{path} cannot be listed ({(error.strerror or str(error)).lower()}); check its permissions"
            ) from error
        if not pictures:
            raise UserError(f"there is no picture in {path}; for those of folders inside it, give '{path}/**/*.jpg'")
        yield from map(str, pictures)
    else:
        yield path


def _of_pixels(pixels: NDArray[Any], name: str) -> Image.Image:
    shape = pixels.shape
    if pixels.dtype != np.uint8 or len(shape) not in (2, 3) or 0 in shape or (len(shape) == 3 and shape[2] not in (1, 3, 4)):
        raise UserError(
            f"{name} is an array of {pixels.dtype}{list(shape)}; give 8-bit pixels (uint8) [height, width, 3] in the order "
            "red, green, blue"
        )
    return Image.fromarray(pixels[..., 0] if len(shape) == 3 and shape[2] == 1 else np.ascontiguousarray(pixels))


def _address(path: str) -> UserError:
    return UserError(f"{path} is an address, and nothing is fetched here; download it first and give the file")


def _unknown(source: object) -> UserError:
    return UserError(
        f"a picture is given as a path, a folder, a pattern, a Pillow image, 8-bit pixels or a camera's number, not as "
        f"{type(source).__name__}"
    )
