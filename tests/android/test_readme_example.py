"""The README has one short example of another app, which check.sh compiles."""

from __future__ import annotations

from pathlib import Path

import pytest
import readme_example

README = Path(__file__).parents[2] / "android_sample" / "README.md"
BLOCK = "```kotlin\nfun main() = Unit\n```\n"


def test_the_readme_as_it_is(tmp_path: Path):
    out = tmp_path / "new/Example.kt"
    assert readme_example.main(README, out) == 0
    source = out.read_text()
    assert source.count("\n") <= 20
    assert source in README.read_text()
    for call in ("Detector.open", ".detect(", ".close()"):
        assert call in source


def test_exactly_the_block():
    text = "# Title\n\n```console\n$ ls\n```\n\n" + BLOCK + "\n```json\n{}\n```\n"
    assert readme_example.example(text) == "fun main() = Unit\n"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("no block\n", "0 blocks of Kotlin"),
        (BLOCK + BLOCK, "2 blocks of Kotlin"),
        ("```kotlin\n" + "\n" * 21 + "```\n", "the example has 21 lines, more than 20"),
    ],
)
def test_documents_without_one_short_example(text: str, problem: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    readme = tmp_path / "README.md"
    readme.write_text(text)
    assert readme_example.main(readme, tmp_path / "Example.kt") == 1
    assert problem in capsys.readouterr().err
    assert not (tmp_path / "Example.kt").exists()
