"""Builds the reference that a bundle was made from, by what its manifest records."""

from __future__ import annotations

from typing import Any

from detr2litert.convert.bundle import source_name
from detr2litert.convert.models.checkpoints import choose_variant, load_checkpoint
from detr2litert.convert.models.reference import Reference, build_reference
from detr2litert.convert.models.settings import Size
from detr2litert.convert.models.settings.setting import SETTINGS
from detr2litert.convert.models.variants import find_variant
from detr2litert.host_runtime.errors import REMAKE, UserError
from detr2litert.host_runtime.manifest import Manifest

_SEED_DIGITS = 19  # of the largest, 2**63 - 1
_SOURCE_SHOWN = 200  # characters of a name


def recorded_reference(manifest: Manifest, weights: str | None) -> Reference:
    """Returns a bundle's reference, with the weights and settings that it was made with.

    Args:
        manifest: of the bundle.
        weights: the checkpoint [default: the variant's published one, if the bundle was made from it].

    Raises:
        UserError: the checkpoint is not available or is another one, or a setting is not of this version.
    """
    variant = find_variant(manifest.variant)
    requested = _requested(manifest)
    seed = manifest.weights.source.rpartition(" ")[2]
    if manifest.weights.random and weights is None and seed.isdecimal() and len(seed) <= _SEED_DIGITS:
        reference = build_reference(variant, None, requested, min(int(seed), 2**63 - 1))
    else:
        own = variant.default_weights
        source = weights or (own if own is not None and source_name(own) == manifest.weights.source else None)
        if source is None:
            source = manifest.weights.source
            source = source if len(source) <= _SOURCE_SHOWN else f"{source[:_SOURCE_SHOWN]}…"
            raise UserError(f"the bundle was made from {source}; give its path with --weights")
        checkpoint = load_checkpoint(source)
        reference = build_reference(choose_variant(checkpoint, variant.name), checkpoint, requested)
    if reference.sha256 != manifest.weights.sha256:
        raise UserError(
            f"the bundle was made from {manifest.weights.source} (sha256 {manifest.weights.sha256[:12]}…), not from "
            f"{reference.source} (sha256 {reference.sha256[:12]}…); give the right checkpoint with --weights"
        )
    return reference


def _requested(manifest: Manifest) -> dict[str, Any]:
    """Returns the settings that the user chose for the bundle, those of a bundle that does not record them included.

    Raises:
        UserError: a setting that this version does not have, or a value that it does not read.
    """
    if not manifest.settings:
        pre = manifest.preprocess
        return {"resolution": Size(pre.height, pre.width), "resize": pre.resize}
    chosen = {name: record.value for name, record in manifest.settings.items() if record.requested}
    try:
        return {name: SETTINGS[name].parse(value) for name, value in chosen.items()}
    except (KeyError, ValueError, TypeError) as error:
        raise UserError(f"the manifest's settings are not of this version ({error}); {REMAKE}") from error
