"""The demo detector as an ONNX file of any batch, and what PyTorch computes for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from detr2litert.convert.models.reference import Reference, load_reference
from detr2litert.convert.models.variants import VARIANTS
from detr2litert.convert.onnx_export.pytorch_side import Case, compute_cases
from detr2litert.convert.proof.reference_path import ReferencePath
from detr2litert.convert.proof.scenes import pictures
from tests.convert.onnx_export.exports import exported_tiny


@pytest.fixture(scope="session")
def tiny_file() -> Path:
    """The demo detector's file."""
    return exported_tiny().bundle


@pytest.fixture(scope="session")
def tiny_reference() -> Reference:
    """The demo detector."""
    reference, _ = load_reference(VARIANTS["tiny"], None)
    return reference


@pytest.fixture(scope="session")
def tiny_path(tiny_reference: Reference) -> ReferencePath:
    """The demo detector, from picture to detections."""
    return ReferencePath(tiny_reference, VARIANTS["tiny"].classes)


@pytest.fixture(scope="session")
def tiny_cases(tiny_path: ReferencePath) -> tuple[Case, ...]:
    """Four demo scenes with PyTorch's outputs."""
    return compute_cases(tiny_path, pictures(()), 4)
