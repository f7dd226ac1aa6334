"""Choosing the recorded release to use for another."""

from __future__ import annotations

import pytest

from detr2litert.verify.releases import nearest_release


@pytest.mark.parametrize(
    ("expected", "found"),
    [
        ("2.3.0", "2.3.0"),
        ("2.4.1", "2.3.0"),
        ("2.11.0", "2.10.0"),
        ("1.0.0", "2.1.0"),
        ("2.3.0rc1", "2.1.0"),
        ("2.3.0.dev20261121", "2.1.0"),
        ("2.3.0+cpu", "2.3.0"),
        ("2.3.0.post1", "2.3.0"),
        ("", "2.1.0"),
        ("built by hand", "2.1.0"),
    ],
)
def test_chooses_the_newest_release_that_is_not_later_else_the_oldest(expected: str, found: str) -> None:
    assert nearest_release(["2.3.0", "2.10.0", "2.1.0"], expected) == found


def test_an_invalid_version_is_earlier_than_all() -> None:
    assert nearest_release(["2.3.0", "nightly"], "2.2.0") == nearest_release(["nightly"], "2.2.0") == "nightly"
