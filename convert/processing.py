"""The post-processing of a detector, in the manifest's form."""

from __future__ import annotations

from detr2litert.convert.compiler import KEYPOINTS
from detr2litert.convert.models.classes import Classes
from detr2litert.convert.models.keypoints.skeletons import skeletons_of
from detr2litert.convert.models.reference import Reference
from detr2litert.graphs.mask_product import KEPT, MASKS
from detr2litert.host_runtime.manifest import ClassKeypoints, Keypoints, Masks, Postprocess


def postprocess_of(reference: Reference, classes: Classes) -> Postprocess:
    """Returns the post-processing of a reference, in the manifest's form."""
    return Postprocess(
        num_select=reference.settings.num_select.value,
        ignored_classes=classes.ignored,
        masks=_masks_of(reference),
        keypoints=_keypoints_of(reference, classes),
    )


def _masks_of(reference: Reference) -> Masks | None:
    family = reference.variant.family
    return (
        Masks(MASKS, KEPT, activation=family.masks_activation, within_box=family.masks_within_box) if reference.masks else None
    )


def _keypoints_of(reference: Reference, classes: Classes) -> Keypoints | None:
    counts = reference.keypoints_per_class
    if not counts:
        return None
    skeletons = skeletons_of(counts, classes.names, classes.skeletons, reference.variant.keypoints)
    return Keypoints(
        reference.keypoint_score_weight,
        tuple(ClassKeypoints(column, item.names, item.edges, item.sigmas) for column, item in skeletons.items()),
        KEYPOINTS,
    )
