"""Runs a detector's graphs through the fp16 gate, without a bundle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from torch import Tensor

from detr2litert.convert.compiler import CompiledDetector, compile_detector
from detr2litert.convert.half_precision import store_half
from detr2litert.convert.lowering.lower import lower
from detr2litert.convert.models.reference import Reference
from detr2litert.convert.targets import find_target
from detr2litert.rewrites.flatbuffer.pipeline import fix_up
from detr2litert.rewrites.profile import Protection
from detr2litert.verify.delegate.adapters import Driver
from detr2litert.verify.gates import GateResult
from detr2litert.verify.parity.fp16 import check_fp16
from detr2litert.verify.parity.numerics import GraphCase

BOTH = ("graph_a", "graph_b")


def judge_in_fp16(
    reference: Reference, image: Tensor, folder: Path, driver: Driver, protection: Protection, graphs: Sequence[str] = BOTH
) -> GateResult:
    """Compiles for a Pixel, converts the named graphs as in a bundle, and runs them on the delegate in fp16."""
    profile = replace(find_target("pixel").profile, protection=protection)
    compiled = compile_detector(reference, profile, [image])
    return check_fp16([_case(compiled, image, name, folder) for name in graphs], gpu=driver)


def _case(detector: CompiledDetector, image: Tensor, name: str, folder: Path) -> GraphCase:
    part = detector.parts.a if name == "graph_a" else detector.parts.b
    values = detector.evaluate(image)
    inputs = {key: np.asarray(values[key]) for key in part.input_names}
    raw, fixed, shipped = (folder / f"{name}.{kind}.tflite" for kind in ("raw", "fixed", "shipped"))
    lower(part, raw)
    fix_up(raw, fixed)
    store_half(fixed, shipped)
    return GraphCase(name, None, shipped, (inputs,), ({key: np.asarray(values[key]) for key in part.output_names},))
