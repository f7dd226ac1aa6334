"""Every variant compiles to its expected text, and a rewrite that stops firing changes it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from torch import fx

from detr2litert.convert.models.variants import VARIANTS
from detr2litert.rewrites import pipeline
from detr2litert.rewrites.contract import Findings, rewrite
from tests.expected.files import compiled_text, difference, path_of, stale_files

QUICKEST = "tiny"
"""The variant with the fewest operators."""
# One of each family.
REPRESENTATIVES = (QUICKEST, "dfine-n", "rtdetrv2-r18", "lwdetr-tiny", "deimv2-atto")
# A published RF-DETR, masks, and the DEIMv2 with a ViT; the slow lane has every variant.
CONTINUOUS = ("nano", "seg-nano", "deimv2-s")


def lane(name: str) -> tuple[pytest.MarkDecorator, ...]:
    """Returns the mark of a variant's test: none in the fast lane."""
    if name in REPRESENTATIVES:
        return ()
    return (pytest.mark.ci if name in CONTINUOUS else pytest.mark.slow,)


@pytest.mark.parametrize("name", [pytest.param(name, marks=lane(name)) for name in VARIANTS])
def test_compiles_as_expected(name: str) -> None:
    assert_expected(name, compiled_text(name))


def assert_expected(name: str, text: str) -> None:
    if diff := difference(name, text):
        pytest.fail(diff, pytrace=False)


def test_each_variant_has_a_text_and_each_text_a_variant() -> None:
    assert [name for name in VARIANTS if not path_of(name).exists()] == []
    assert stale_files() == []


def test_nothing_depends_on_the_weights() -> None:
    assert_expected(QUICKEST, compiled_text(QUICKEST, seed=1))


def test_a_rewrite_that_stops_firing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    @rewrite()
    def fold_scales(graph_module: fx.GraphModule) -> Findings:
        return []

    steps = [replace(step, rewrite=fold_scales) if step.name == "fold_scales" else step for step in pipeline.LOWER]
    monkeypatch.setattr(pipeline, "LOWER", tuple(steps))
    with pytest.raises(pytest.fail.Exception) as failure:
        assert_expected(QUICKEST, compiled_text(QUICKEST))
    changed = [line.split() for line in str(failure.value).splitlines()]
    assert ["+graph_a", "fold_scales", "–"] in changed and ["+graph_b", "fold_scales", "–"] in changed
    assert "make expected" in str(failure.value)
