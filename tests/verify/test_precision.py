"""What a manifest records of a bundle's precision, and the limits that follow from it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from detr2litert.host_runtime.manifest import Manifest, SettingRecord
from detr2litert.verify.parity.detections import DetectionLimits
from detr2litert.verify.precision import (
    Precision,
    accuracy_limits,
    calibration_records,
    describe_precision,
    detection_limits,
    is_static,
    precision_records,
)
from tests.host_runtime.tiny_bundle import manifest

STATIC = calibration_records(40, "ab" * 32, "CONV_2D in static int8 (3 of 4)", ["graph_a model.neck"])


def with_settings(**settings: SettingRecord) -> Manifest:
    return replace(manifest(), settings=settings)


@pytest.mark.parametrize(
    ("settings", "words", "static", "loss"),
    [
        ({}, "fp16", False, 0.005),
        (precision_records(Precision.FP32), "fp32", False, 0.005),
        (precision_records(Precision.INT8), "int8, dynamic range", False, 0.01),
        ({**precision_records(Precision.INT8), **STATIC}, "int8, static and dynamic range", True, 0.02),
        ({**precision_records(Precision.FP16), **STATIC}, "fp16", False, 0.005),
    ],
)
def test_the_limits_follow_from_what_is_recorded(
    settings: dict[str, SettingRecord], words: str, static: bool, loss: float
) -> None:
    bundle = with_settings(**settings)
    assert all(len(str(record.value)) <= 1024 and len(record.origin) <= 1024 for record in settings.values())
    assert describe_precision(bundle) == words and is_static(bundle) is static
    assert accuracy_limits(bundle).loss == pytest.approx(loss)


def test_static_int8_has_the_limits_of_dynamic_range_for_detections() -> None:
    dynamic, static = (with_settings(**precision_records(Precision.INT8), **extra) for extra in ({}, STATIC))
    assert detection_limits(static, DetectionLimits()) == detection_limits(dynamic, DetectionLimits())


def test_a_calibration_is_recorded_and_a_long_list_is_cut() -> None:
    assert STATIC["calibration"].value == f"40 pictures, sha256 {'ab' * 32}"
    assert STATIC["float_blocks"].value == "graph_a model.neck"
    assert calibration_records(1, "", "", [])["float_blocks"].value == "none"
    many = calibration_records(1, "", "", [f"graph_b model.decoder.layers.{number}.self_attention" for number in range(32)])
    text = many["float_blocks"].value
    assert text.startswith("32: graph_b model") and text.endswith("and others, see report.json") and len(text) <= 1024
