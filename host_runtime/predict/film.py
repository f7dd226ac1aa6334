"""Reads and writes films with PyAV (the extra ``video``), a frame at a time, so that their length takes no memory."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

from PIL import Image

from detr2litert.host_runtime.errors import UserError, reason

SUFFIXES = frozenset({".3gp", ".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ts", ".webm"})
"""Of the files that are taken as films."""
_ENCODERS = ("libx264", "h264", "mpeg4")
"""In order of preference; which exist depends on how FFmpeg was built."""
RATE = Fraction(25)
"""Frames a second where a film does not say."""


def read_film(path: Path) -> Iterator[tuple[Image.Image, float | None]]:
    """Decodes a film's first video stream: frames as RGB, turned upright, and their seconds since the beginning.

    Raises:
        UserError: there is no such file, it is no film or damaged, or PyAV is not installed.
    """
    if not path.exists():
        raise UserError(f"no film at {path}; check the path")
    av = _av(str(path))
    try:
        with av.open(str(path)) as container:
            yield from _decoded(container, str(path))
    except (av.FFmpegError, OSError) as error:
        raise UserError(f"{path} cannot be decoded ({_why(error)}); give a whole film, or convert it with ffmpeg") from error


def read_camera(number: int) -> Iterator[tuple[Image.Image, float | None]]:
    """Reads a camera's frames, without end.

    Args:
        number: from 0; ``/dev/videoN`` on Linux, the number that AVFoundation lists on macOS.

    Raises:
        UserError: there is no such camera, it is in use, or this system has no cameras by number; PyAV is not installed.
    """
    inputs = {"linux": (f"/dev/video{number}", "v4l2"), "darwin": (str(number), "avfoundation")}
    if sys.platform not in inputs:
        raise UserError(
            f"cameras are opened by number on Linux and macOS only, not on {sys.platform}; record a film and give that"
        )
    name, driver = inputs[sys.platform]
    av = _av(f"camera {number}")
    try:
        with av.open(name, format=driver) as container:
            yield from _decoded(container, f"camera {number}")
    except (av.FFmpegError, OSError) as error:
        raise UserError(
            f"camera {number} ({name}) cannot be opened ({_why(error)}); see which there are, and who uses it"
        ) from error


def length(path: Path) -> int | None:
    """Returns a film's number of frames as its container states or implies it; None if it does not, or cannot be opened."""
    try:
        av = _av(str(path))
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            if stream.frames:
                return int(stream.frames)
            if container.duration and stream.average_rate:
                return int(container.duration / av.time_base * stream.average_rate)
    except (UserError, IndexError, OSError):  # what it is, is said when it is read
        return None
    except Exception as error:
        if type(error).__module__.partition(".")[0] != "av":
            raise
    return None


def rate(path: Path) -> Fraction:
    """Returns a film's average frames a second; 25 if it does not say."""
    av = _av(str(path))
    with suppress(av.FFmpegError, IndexError, OSError), av.open(str(path)) as container:
        return Fraction(container.streams.video[0].average_rate or RATE)
    return RATE


class FilmWriter:
    """Writes an MP4 film without sound, frame by frame; under its own name once it is whole.

    Args:
        path: of the film; an older one there is replaced.
        frames_per_second: constant.

    Raises:
        UserError: it cannot be written, or PyAV is not installed.
    """

    def __init__(self, path: Path, frames_per_second: Fraction) -> None:
        self.path, self._rate = path, frames_per_second
        self._part = path.with_name(f".{path.name}.{os.getpid()}.part")
        self._av = _av(str(path))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._container: Any = self._av.open(str(self._part), "w", format="mp4")
        except (self._av.FFmpegError, OSError) as error:
            raise self._unwritten(error) from error
        self._stream: Any = None

    def write(self, image: Image.Image) -> None:
        """Appends a frame; the first one sets the film's size, a multiple of two in both directions."""
        try:
            if self._stream is None:
                self._stream = self._started(image)
            size = (self._stream.width, self._stream.height)
            fitting = image if image.size == size else image.crop((0, 0, *size))
            self._container.mux(self._stream.encode(self._av.VideoFrame.from_image(fitting)))
        except (self._av.FFmpegError, OSError) as error:
            raise self._unwritten(error) from error

    def close(self, *, keep: bool = True) -> None:
        """Ends the film, which is kept under its name, or removed."""
        try:
            if keep and self._stream is not None:
                self._container.mux(self._stream.encode(None))
            self._container.close()
            if keep and self._stream is not None:
                self._part.replace(self.path)
        except (self._av.FFmpegError, OSError) as error:
            raise self._unwritten(error) from error
        finally:
            self._remove_part()

    def _started(self, image: Image.Image) -> Any:
        stream = None
        for name in _ENCODERS:
            with suppress(ValueError, self._av.FFmpegError):
                stream = self._container.add_stream(name, rate=self._rate)
                break
        if stream is None:
            raise UserError(f"this PyAV has none of the encoders {', '.join(_ENCODERS)}; install PyAV from its wheels")
        stream.width, stream.height = (max(2, side // 2 * 2) for side in image.size)
        stream.pix_fmt = "yuv420p"
        return stream

    def _remove_part(self) -> None:
        with suppress(OSError):
            self._part.unlink(missing_ok=True)

    def _unwritten(self, error: Exception) -> UserError:
        self._remove_part()
        return UserError(f"cannot write {self.path} ({_why(error)}); choose another folder")


def _decoded(container: Any, name: str) -> Iterator[tuple[Image.Image, float | None]]:
    if not container.streams.video:
        raise UserError(f"{name} has no video stream; give a film")
    stream = container.streams.video[0]
    # Decoders' threads log through Python: where one of a damaged film does while the decoder is closed, both wait for ever.
    stream.thread_type = "NONE"
    for frame in container.decode(stream):
        image: Image.Image = frame.to_image()
        # As a phone held upright records: the pixels lie, and a matrix beside them turns them counter-clockwise.
        turn = getattr(frame, "rotation", 0)
        yield image.rotate(turn, expand=True) if turn else image, frame.time


def _av(name: str) -> ModuleType:
    try:
        import av
    except ImportError as error:
        raise UserError(f"{name} needs PyAV, which is not installed: pip install 'detr2litert[video]'") from error
    # Decoders report each damaged packet on standard error.
    av.logging.set_level(av.logging.PANIC)
    module: ModuleType = av
    return module


def _why(error: Exception) -> str:
    return reason(error) if isinstance(error, OSError) and error.errno else str(error)
