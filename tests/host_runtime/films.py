"""Films for tests, made here."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from PIL import Image

from detr2litert.host_runtime.predict.film import FilmWriter

SIZE = (320, 240)
RATE = Fraction(30)


def write_film(path: Path, frames: int) -> Path:
    """A red square that moves to the right, a pixel a frame, on black."""
    writer = FilmWriter(path, RATE)
    for number in range(frames):
        image = Image.new("RGB", SIZE)
        image.paste((255, 0, 0), (number % 240, 60, number % 240 + 80, 120))
        writer.write(image)
    writer.close()
    return path
