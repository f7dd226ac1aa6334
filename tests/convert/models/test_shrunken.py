"""Small relatives of the published detectors: they run, and differ from the published ones in size alone."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import torch

from detr2litert.convert.compiler import compile_detector
from detr2litert.convert.models.reference import build_reference, count_parameters
from detr2litert.convert.models.variants import VARIANTS, Variant
from detr2litert.convert.targets import find_target
from tests.convert.shrunken import WIDTHS, shrunken
from tests.convert.test_run_families import REPRESENTATIVES
from tests.expected.render import render

ONE_OF_EACH = (*REPRESENTATIVES, "rtdetr-r50m", "deim-r18", "seg-nano", "dfine-seg-n", "keypoint-preview")
"""Of each family and kind of backbone: in the fast lane."""
_DERIVED = {"head_dim", "projector_in_channels", "projector_out_channels"}
"""Values that transformers derives from the widths."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in ONE_OF_EACH else pytest.mark.slow) for name in VARIANTS]
)
@torch.no_grad()
def test_is_small_and_runs(name: str) -> None:
    reference = build_reference(shrunken(name))
    row = VARIANTS[name]
    assert row.bundled or count_parameters(reference.variant) < count_parameters(row) / 2
    boxes, logits = reference.module(reference.example_input())
    assert boxes.isfinite().all() and logits.isfinite().all()
    assert boxes.shape == (1, reference.num_queries, 4)
    assert logits.shape == (1, reference.num_queries, reference.logit_columns)


@pytest.mark.parametrize("name", VARIANTS)
def test_only_sizes_differ(name: str) -> None:
    published, small = _configuration(VARIANTS[name]), _configuration(shrunken(name))
    differing = {field for field in published | small if published.get(field) != small.get(field)}
    assert {field.split()[-1] for field in differing} <= WIDTHS | _DERIVED | {"num_queries", "image_size"}
    assert VARIANTS[name].bundled or differing


def _configuration(row: Variant) -> dict[str, Any]:
    """transformers' configuration, defaults included, with the backbone's fields beside the detector's own."""
    config = getattr(importlib.import_module(row.family.module), row.family.config_class)(**row.config).to_dict()
    backbone = config.pop("backbone_config")
    return {**config, **{f"backbone {field}": value for field, value in backbone.items()}}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["nano", "dfine-n", "rtdetrv2-r18", "lwdetr-tiny", "deimv2-atto"])
def test_compiles_to_the_operators_of_the_published_size(name: str) -> None:
    assert _steps_and_operators(shrunken(name)) == _steps_and_operators(VARIANTS[name])


def _steps_and_operators(row: Variant) -> tuple[str, str]:
    compiled = compile_detector(build_reference(row), find_target("pixel").profile)
    _, steps, _, operators = render("", compiled).split("\n\n")
    return steps, operators
