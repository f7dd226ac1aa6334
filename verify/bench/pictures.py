"""The pictures of a run, and their way into a detector's input."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

from PIL import Image

from detr2litert.host_runtime.errors import UserError, readable
from detr2litert.host_runtime.manifest import Preprocess
from detr2litert.host_runtime.preprocess import PICTURE_SUFFIXES, load_image, prepare, preprocess
from detr2litert.host_runtime.tensor_spec import TensorSpec
from detr2litert.verify.bench.contender import Picture, Prepared
from detr2litert.verify.bench.stages import DECODE, PREPROCESS


def find_pictures(path: Path) -> tuple[Path, ...]:
    """Returns the pictures of a folder, without its subfolders, in the order of their names; or the one picture.

    Raises:
        UserError: there is none, or one cannot be read: all are decoded once, so that nothing ends a run later.
    """
    with readable(path):
        if not path.exists():
            raise UserError(f"no folder of pictures at {path}; give --images one that exists")
        inside = sorted(path.iterdir()) if path.is_dir() else [path]
        found = tuple(
            file for file in inside if not path.is_dir() or (file.suffix.lower() in PICTURE_SUFFIXES and file.is_file())
        )
    if not found:
        raise UserError(f"{path} has no picture ({', '.join(sorted(PICTURE_SUFFIXES))}); give --images a folder with some")
    for file in found:
        load_image(file)
    return found


def pictures_sha256(pictures: tuple[Path, ...]) -> str:
    """Returns a hash of the contents of all pictures, in order; two runs with the same one had the same pictures."""
    digest = hashlib.sha256()
    for path in pictures:
        with path.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def prepare_picture(picture: Picture, spec: Preprocess, taken: TensorSpec | None = None) -> Prepared:
    """Decodes a file, or takes a decoded picture as it is, and makes it the input of ``spec``: floats, or what is ``taken``.

    Raises:
        UserError: the file cannot be read.
    """
    start = time.perf_counter()
    image = picture if isinstance(picture, Image.Image) else load_image(picture, channels=spec.channels)
    decoded = time.perf_counter()
    tensor = preprocess(image, spec) if taken is None else prepare(image, spec, taken)
    end = time.perf_counter()
    own = {} if isinstance(picture, Image.Image) else {DECODE: (decoded - start) * 1e3}
    return Prepared(tensor, image.size, {**own, PREPROCESS: (end - decoded) * 1e3})
