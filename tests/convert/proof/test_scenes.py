"""The test pictures of a bundle."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from detr2litert.convert.proof.scenes import pictures
from detr2litert.host_runtime.errors import UserError


def test_the_demo_scenes_are_the_same_every_time() -> None:
    one, other = pictures(()), pictures(())
    assert [p.name for p in one] == [f"demo scene {i}" for i in range(1, 7)]
    assert [p.image.tobytes() for p in one] == [p.image.tobytes() for p in other]


def test_pictures_of_one_name_stay_separate(tmp_path: Path) -> None:
    for folder, colour in (("a", "red"), ("b", "blue")):
        (tmp_path / folder).mkdir()
        Image.new("RGB", (8, 8), colour).save(tmp_path / folder / "x.png")
    found = pictures((tmp_path / "a" / "x.png", tmp_path / "b" / "x.png"))
    assert [p.name for p in found] == ["x.png", "x.png (2)"]
    assert found[0].image.tobytes() != found[1].image.tobytes()


def test_an_unreadable_picture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no picture at"):
        pictures((tmp_path / "none.png",))
