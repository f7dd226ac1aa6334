"""The numbers that a bundle's weights are stored in, and what each may lose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import StrEnum

from detr2litert.host_runtime.manifest import Manifest, SettingRecord
from detr2litert.verify.accuracy.accuracy import AccuracyLimits
from detr2litert.verify.parity.detections import DetectionLimits
from detr2litert.verify.parity.fp16 import Fp16Limits

SETTING = "precision"
"""Its name among the manifest's settings, where a runtime of any version accepts it."""
CALIBRATION = "calibration"
"""The same of the pictures that activations were calibrated on; only a bundle in static int8 has it."""
STATIC, FLOATS = "static_int8", "float_blocks"
"""And of which operators are static, and of the blocks whose activations stay in floats."""
WIDEST_SCORE = 0.1
"""The largest difference of scores that a precision is allowed."""
_LONGEST = 1000  # characters of a setting's value; the schema allows 1024


class Precision(StrEnum):
    """Of the weights of convolutions and fully connected layers.

    ``INT8`` has a scale for each channel of the output. A layer's input stays a float, which the CPU rounds to 8 bits by its
    range when it runs (dynamic range), or is itself int8, by a range that was calibrated (static int8).
    """

    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"


def precision_records(precision: Precision) -> dict[str, SettingRecord]:
    """Returns the precision of the weights as a manifest records it."""
    return {SETTING: SettingRecord(str(precision), "the default" if precision is Precision.FP16 else "--precision")}


def precision_of(settings: Mapping[str, SettingRecord]) -> Precision:
    """Returns the precision that a manifest records; fp16 if it records none: before it did, there was no other."""
    record = settings.get(SETTING)
    try:
        return Precision.FP16 if record is None else Precision(record.value)
    except ValueError:
        return Precision.FP16


def calibration_records(pictures: int, sha256: str, recipe: str, floats: Sequence[str]) -> dict[str, SettingRecord]:
    """Returns a calibration as a manifest records it.

    Args:
        pictures: their number.
        sha256: of their names and contents.
        recipe: which operators are static.
        floats: the blocks that are not, as ``"GRAPH MODULE"``.
    """
    origin = "--calibration"
    blocks = ", ".join(floats) or "none"
    if len(blocks) > _LONGEST:
        blocks = f"{len(floats)}: {blocks[: _LONGEST - 60].rpartition(', ')[0]} and others, see report.json"
    return {
        CALIBRATION: SettingRecord(f"{pictures} picture{'s' if pictures != 1 else ''}, sha256 {sha256}", origin),
        STATIC: SettingRecord(recipe, f"{origin}, measured block by block"),
        FLOATS: SettingRecord(blocks, f"{origin}, measured block by block"),
    }


def is_static(manifest: Manifest) -> bool:
    """Returns whether activations of a bundle are int8 as well."""
    return precision_of(manifest.settings) is Precision.INT8 and CALIBRATION in manifest.settings


def describe_precision(manifest: Manifest) -> str:
    """Describes the weights of a bundle: ``"int8, dynamic range"``."""
    precision = precision_of(manifest.settings)
    if precision is not Precision.INT8:
        return str(precision)
    return "int8, static and dynamic range" if is_static(manifest) else "int8, dynamic range"


def detection_limits(manifest: Manifest, limits: DetectionLimits) -> DetectionLimits:
    """Returns the limits of the detections gate for a bundle's precision, from those of a float one.

    int8 moves boxes and scores further than float32's rounding does. Measured: IoU 0.988 and scores within 0.0064
    for tiny, 0.988 and 0.062 for dfine-tiny. Masks move most where an object is small or its outline is doubtful: of tiny-seg's
    260 masks in 80 scenes the two worst have IoU 0.83 and 0.89, 99 of 100 have 0.936 or more, half 0.993. A lost, an added or a
    moved object is found all the same, and the average precision judges the rest.
    """
    if precision_of(manifest.settings) is not Precision.INT8:
        return limits
    return replace(limits, iou=0.9, score=WIDEST_SCORE, outlier=None, mask_iou=0.8, keypoint=0.04)


def fp16_limits(manifest: Manifest, threshold: float) -> Fp16Limits:
    """Returns the limits of the fp16 gate for a bundle's precision."""
    if precision_of(manifest.settings) is not Precision.INT8:
        return Fp16Limits()
    widened = detection_limits(manifest, DetectionLimits(threshold))
    masks, keypoints = widened.mask_iou or 0.0, widened.keypoint or 0.0
    return Fp16Limits(0.99, widened.iou, None, widened.score, widened.outlier, mask_iou=masks, keypoint=keypoints)


def accuracy_limits(manifest: Manifest) -> AccuracyLimits:
    """Returns the limits of the accuracy gate: a point of mAP for int8 weights, two if activations are int8 as well."""
    if precision_of(manifest.settings) is not Precision.INT8:
        return AccuracyLimits()
    return AccuracyLimits(loss=0.02 if is_static(manifest) else 0.01)
