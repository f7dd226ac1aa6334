"""Stores weights and activations of chosen operators as int8 (static range), and the weights of all others (dynamic range).

An operator in static int8 is an island: a QUANTIZE before it, unless the one before it is int8 too, and a DEQUANTIZE behind.
"""

from __future__ import annotations

import io
import re
from collections.abc import Collection
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np

from detr2litert.convert.int8.blocks import STATIC_OPERATORS
from detr2litert.convert.int8.ranges import Ranges
from detr2litert.convert.quiet import quiet

_BITS = 8


def store_static(source: Path, target: Path, ranges: Ranges, operators: Collection[str], *, others: bool = True) -> None:
    """Writes ``source`` with some operators in static int8.

    Args:
        source: a float32 file.
        target: file to write.
        ranges: of what these operators read and write.
        operators: names of their first outputs.
        others: whether the weights of the other operators become int8 as well, as ``store_dynamic_range`` stores them; False
            leaves them float32, to measure what these operators lose alone.
    """
    with quiet(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        from ai_edge_quantizer import qtyping, quantizer

        names = qtyping.TFLOperationName
        worker = quantizer.Quantizer(str(source))
        if others:
            worker.add_dynamic_config(".*", names.ALL_SUPPORTED, num_bits=_BITS)
        if operators:
            # The quantizer looks for the pattern in the names of an operator's outputs, each with a semicolon behind it.
            pattern = f"^(?:{'|'.join(map(re.escape, sorted(operators)))});$"
            for kind in STATIC_OPERATORS:
                worker.add_static_config(pattern, names[kind], _BITS, _BITS)
        found = {
            name: {"min": np.asarray([low], np.float32), "max": np.asarray([high], np.float32)}
            for name, (low, high) in ranges.items()
        }
        target.write_bytes(bytes(worker.quantize(found if operators else None).quantized_model))
