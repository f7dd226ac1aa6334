"""Makes the README's picture: ``python -m tools.demo_training.collage PICTURE… OUT`` puts pictures side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
from PIL import Image

_GAP = 8
_COLOURS = 256


def collage(pictures: Sequence[Image.Image]) -> Image.Image:
    """Arranges pictures in a row, on white, with an adaptive palette."""
    width = sum(picture.width for picture in pictures) + _GAP * (len(pictures) - 1)
    row = Image.new("RGB", (width, max(picture.height for picture in pictures)), "white")
    left = 0
    for picture in pictures:
        row.paste(picture.convert("RGB"), (left, 0))
        left += picture.width + _GAP
    return row.quantize(_COLOURS, dither=Image.Dither.NONE)


@click.command()
@click.argument("pictures", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
def main(pictures: tuple[Path, ...], out: Path) -> None:
    """Put PICTURES side by side and write them to OUT."""
    collage([Image.open(path) for path in pictures]).save(out, optimize=True)


if __name__ == "__main__":
    main()
