"""What a program needs to know of a backbone's file besides its tensors; stored in the file's metadata as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from detr2litert.convert.bundle import installed_version, source_name
from detr2litert.convert.models.reference import Reference
from detr2litert.convert.models.settings.picture import preprocess_of
from detr2litert.convert.targets import Target
from detr2litert.verify.precision import Precision

METADATA = "detr2litert"
"""The name of the metadata in the file; ``notes`` are beside it, as in a bundle's files."""
_STACK = ("torch", "transformers", "litert-torch", "ai-edge-litert", "detr2litert")


def metadata(reference: Reference, target: Target, precision: Precision) -> dict[str, Any]:
    """Returns the metadata: the pre-processing has the fields of a bundle's manifest."""
    return {
        "variant": reference.variant.name,
        "part": "backbone",
        "target": target.name,
        "precision": str(precision),
        "weights_sha256": reference.sha256,
        "weights": {"source": source_name(reference.source), "random": reference.random},
        "preprocess": asdict(preprocess_of(reference.settings)),
        "versions": {package: installed_version(package) for package in _STACK},
    }
