"""The export of the demo detector, made once for all tests."""

from __future__ import annotations

from tests.conversions import Made, converted

NOTES = {"run": 7, "remark": 'größer als "zuvor"'}
"""Stored in the file."""


def exported_tiny() -> Made:
    """``convert export --variant tiny --dynamic-batch --notes … --json``; the bundle of the result is the file."""
    import json

    arguments = ("--variant", "tiny", "--dynamic-batch", "--notes", json.dumps(NOTES), "--json")
    return converted(*arguments, out="made/tiny.onnx", command="export")
