"""Loads the detector that a command is about, as a stage of its progress."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from detr2litert.convert.bundle import source_name
from detr2litert.convert.models.classes import Classes, resolve_classes
from detr2litert.convert.models.reference import Reference, load_reference
from detr2litert.convert.models.settings import Settings
from detr2litert.convert.models.variants import Variant
from detr2litert.convert.progress import Progress


def load_detector(
    variant: Variant | None,
    weights: str | None,
    requested: Mapping[str, Any],
    seed: int,
    classes_file: Path | None,
    progress: Progress,
) -> tuple[Reference, Classes]:
    """Loads the reference and the names of its classes.

    Args:
        variant: the detector; None to detect it from the checkpoint.
        weights: path, hub id, or ``"random"``; None for the variant's default.
        requested: settings that the user chose, by name.
        seed: of random weights.
        classes_file: file of class names.
        progress: shows the stage, with the origin of what decides the result.

    Raises:
        UserError: see ``load_reference`` and ``resolve_classes``.
    """
    with progress.stage("load weights") as stage:
        reference, checkpoint = load_reference(variant, weights, requested, seed)
        stated = None if checkpoint is None else checkpoint.classes
        classes = resolve_classes(reference.variant, reference.logit_columns, stated, classes_file)
        source = source_name(reference.source)
        source += f" ({reference.place})" if reference.place else ""
        stage.detail = (
            f"{reference.variant.name} at {reference.settings.resolution}, {_selection(reference.settings)}, "
            f"weights {source}, classes from {classes.source}{_masks(reference)}"
        )
    return reference, classes


def _masks(reference: Reference) -> str:
    if reference.variant.family.masks_output is None:
        return ""
    return ", with masks" if reference.masks else "; boxes and classes alone, masks are off"


def _selection(settings: Settings) -> str:
    """Describes the numbers of queries and of selected detections, with their origin, once if it is the same."""
    queries, select = settings.num_queries, settings.num_select
    if queries.origin == select.origin:
        return f"num_queries {queries.value} and num_select {select}"
    return f"num_queries {queries}, num_select {select}"
