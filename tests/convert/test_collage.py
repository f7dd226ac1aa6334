"""The README's picture."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner
from PIL import Image

from tools.demo_training.collage import main

DOCS = Path(__file__).parents[2] / "docs"


def test_pictures_stand_side_by_side(tmp_path):
    for name, colour, size in (("a", "red", (30, 20)), ("b", "blue", (40, 50))):
        Image.new("RGB", size, colour).save(tmp_path / f"{name}.png")
    result = CliRunner().invoke(main, [str(tmp_path / "a.png"), str(tmp_path / "b.png"), str(tmp_path / "out.png")])
    assert result.exit_code == 0, result.output
    row = Image.open(tmp_path / "out.png").convert("RGB")
    assert row.size == (30 + 8 + 40, 50)
    assert row.getpixel((5, 5)) == (255, 0, 0)
    assert row.getpixel((33, 5)) == row.getpixel((5, 40)) == (255, 255, 255)
    assert row.getpixel((70, 45)) == (0, 0, 255)


def test_the_pictures_in_the_documents_are_small():
    pictures = sorted(DOCS.glob("*.png"))
    assert pictures
    assert all(picture.stat().st_size < 300_000 for picture in pictures)
