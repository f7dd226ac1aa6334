"""Stores a converted graph's weights in a precision."""

from __future__ import annotations

import shutil
from pathlib import Path

from detr2litert.convert.dynamic_range import store_dynamic_range
from detr2litert.convert.half_precision import store_half
from detr2litert.verify.precision import Precision


def store_weights(source: Path, target: Path, precision: Precision) -> None:
    """Writes ``source``, whose weights are float32, with weights of a precision to ``target``."""
    match precision:
        case Precision.FP32:
            shutil.copyfile(source, target)
        case Precision.FP16:
            store_half(source, target)
        case Precision.INT8:
            store_dynamic_range(source, target)
