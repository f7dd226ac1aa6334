"""Runs of a synthetic bundle on a synthetic phone, correct unless a test changes a value."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from detr2litert.verify.device.delegate_log import Delegated
from detr2litert.verify.device.drive import DeviceRun
from detr2litert.verify.device.protocol import PROTOCOL, STAGES, TIMED, Array, Ended, Request, Result

GRAPHS = {"graph_a": "graph_a.tflite", "graph_b": "graph_b.tflite"}
RUN, SHA256 = "runs/convert-1/run-1", "ab" * 32
WITHOUT_MASKS = tuple(stage for stage in STAGES if not stage.startswith("m"))
OUTPUTS = {"a": ("scores", "memory"), "host": ("selected",), "b": ("boxes", "logits")}


def golden() -> dict[str, Array]:
    """Every stage's tensors by name, seeded."""
    rng = np.random.default_rng(7)
    return {name: rng.standard_normal((1, 40, 4)).astype(np.float32) for names in OUTPUTS.values() for name in names}


def chain() -> dict[str, dict[str, Array]]:
    """This machine's outputs for the device's own inputs."""
    return {stage: {name: golden()[name] for name in OUTPUTS[stage]} for stage in ("host", "b")}


def written(**changed: Mapping[str, Array]) -> dict[str, dict[str, Array]]:
    """The device's outputs, stage by stage; ``changed`` names a stage and its other values."""
    tensors = {
        stage: {name: golden()[name] + np.float32(1e-6) for name in OUTPUTS[stage.removesuffix("_given")]}
        for stage in WITHOUT_MASKS
    }
    return {stage: {**values, **changed.get(stage, {})} for stage, values in tensors.items()}


def result(runs: int = 4, **changed: Any) -> Result:
    """Stages of 1, 2, 3, … milliseconds, the same in each run."""
    times = {stage: (float(place),) * runs for place, stage in enumerate(TIMED, 1)}
    right = Result(4711, {"model": "Pixel"}, {"sdk": 35}, {"litert": "2.3.0"}, times, (0, 1), ())
    return replace(right, **changed)


def device_run(**changed: Any) -> DeviceRun:
    lines = tuple(Delegated(file, "TfLiteGpuDelegateV2", 120, 120, 1) for file in GRAPHS.values())
    right = DeviceRun(Request(runs=4), Ended("ok", "done"), result(), written(), lines, "log")
    return replace(right, **changed)


def record() -> dict[str, Any]:
    """A result.json."""
    return {
        "protocol": PROTOCOL,
        "request": {"bundle": "bundles/x", "run": RUN},
        "device": {"model": "Pixel"},
        "android": {"sdk": 35},
        "app": {"pid": 4711, "litert": "2.3.0"},
        "bundle": {"manifest_sha256": SHA256},
        "thermal": {"before": 0, "after": None},
        "milliseconds": {"open": 12.5, **{stage: [1, 2.5] for stage in TIMED}},
        "tensors": [
            {"stage": "a", "name": "m", "dtype": "float32", "shape": [1, 2], "file": "out/a/m.f32", "sha256": SHA256},
        ],
        "status": "ok",
        "error": None,
    }


def packed(value: object) -> bytes:
    return json.dumps(value).encode()
