"""The pictures that activations are calibrated on: a folder of them, or an array."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from detr2litert.host_runtime.errors import UserError, reason
from detr2litert.host_runtime.preprocess import PICTURE_SUFFIXES, load_image

RECOMMENDED = (20, 100)
"""Pictures, from and to: fewer do not show the range of every layer, more take longer and hardly widen one."""
ARRAY = ".npy"


@dataclass(frozen=True)
class CalibrationPictures:
    """The pictures, which are read when they are needed.

    Attributes:
        files: those of a folder that can be read, in the order of their names; none for an array.
        array: uint8 ``[N, H, W, 3]``, RGB; None for a folder.
        skipped: files of the folder that are no pictures or cannot be read, of those that were tried.
        sha256: of the names and contents of the files, or of the array's pictures with their shape.
    """

    files: tuple[Path, ...]
    array: NDArray[np.uint8] | None
    skipped: int
    sha256: str

    def __len__(self) -> int:
        return len(self.files) if self.array is None else len(self.array)

    def __iter__(self) -> Iterator[Image.Image]:
        """Yields the pictures as Pillow images, one at a time.

        Raises:
            UserError: a file can no longer be read.
        """
        if self.array is None:
            for file in self.files:
                yield load_image(file)
        else:
            for pixels in self.array:
                yield Image.fromarray(np.ascontiguousarray(pixels))

    def describe(self) -> str:
        """Returns their number, and a remark if that is too small or some were left out."""
        text = f"{len(self)} picture{'s' if len(self) != 1 else ''}"
        if self.skipped:
            text += f", {self.skipped} that cannot be read left out"
        if len(self) < RECOMMENDED[0]:
            text += f"; {RECOMMENDED[0]} to {RECOMMENDED[1]} are recommended: a layer's range may be wider than they show"
        return text


def read_calibration(source: Path, most: int) -> CalibrationPictures:
    """Finds the pictures and checks that they can be read.

    Args:
        source: a folder, whose pictures are taken (not those of folders inside it), or a ``.npy`` file of uint8
            ``[N, H, W, 3]``, read without pickle.
        most: how many to use; of more, as many are taken at equal distances, in the order of their names.

    Raises:
        UserError: it does not exist, is something else, or no picture in it can be read.
    """
    if source.is_dir():
        return _from_folder(source, most)
    if not source.exists():
        raise UserError(f"--calibration {source}: no such folder or file; give a folder of pictures or a {ARRAY} file")
    if source.suffix.lower() != ARRAY:
        raise UserError(f"--calibration {source}: neither a folder nor a {ARRAY} file; give a folder of pictures")
    return _from_array(source, most)


def _from_folder(folder: Path, most: int) -> CalibrationPictures:
    try:
        found = sorted(
            Path(entry.path)
            for entry in os.scandir(folder)
            if entry.is_file() and Path(entry.name).suffix.lower() in PICTURE_SUFFIXES
        )
    except OSError as error:
        raise UserError(f"--calibration {folder}: cannot be read ({reason(error)}); give another folder") from error
    chosen = [found[place] for place in _spread(len(found), most)]
    readable, digest, problem = [], hashlib.sha256(), ""
    for file in chosen:
        try:
            load_image(file)
            contents = file.read_bytes()
        except (UserError, OSError) as error:
            problem = problem or str(error)
            continue
        digest.update(f"{file.name}\0{hashlib.sha256(contents).hexdigest()}\n".encode("utf-8", "surrogateescape"))
        readable.append(file)
    if not readable:
        why = f"none of its {len(chosen)} pictures can be read: {problem}" if chosen else "there is no picture in it"
        raise UserError(f"--calibration {folder}: {why}; give a folder of {RECOMMENDED[0]} to {RECOMMENDED[1]} pictures")
    return CalibrationPictures(tuple(readable), None, len(chosen) - len(readable), digest.hexdigest())


def _from_array(file: Path, most: int) -> CalibrationPictures:
    form = "give uint8 [N, H, W, 3], RGB"
    try:
        array = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        what = reason(error) if isinstance(error, OSError) else " ".join(str(error).split())
        raise UserError(f"--calibration {file}: not a readable array ({what}); {form}") from error
    if not isinstance(array, np.ndarray) or array.dtype != np.uint8 or array.ndim != 4 or array.shape[3] != 3:
        is_array = isinstance(array, np.ndarray)
        held = f"{array.dtype} {list(array.shape)}" if is_array else "an archive"
        raise UserError(f"--calibration {file}: it holds {held}; {form}")
    if 0 in array.shape:
        raise UserError(f"--calibration {file}: there is no pixel in {list(array.shape)}; {form}")
    pictures = np.asarray(array[_spread(len(array), most)])
    digest = hashlib.sha256(f"{list(pictures.shape)}\n".encode())
    digest.update(np.ascontiguousarray(pictures).data)
    return CalibrationPictures((), pictures, 0, digest.hexdigest())


def _spread(count: int, most: int) -> list[int]:
    """Returns places of up to ``most`` of ``count`` items, at equal distances."""
    return [int(place) for place in np.linspace(0, count - 1, min(count, most)).round()]
