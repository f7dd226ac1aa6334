"""Stores weights as int8, with a scale for each output channel: half the size of fp16.

ai-edge-quantizer's dynamic range: the layer reads the int8 weights itself. The GPU delegate accepts that and unpacks them to
floats; int8 weights behind a DEQUANTIZE, the quantizer's "weight-only" form, it refuses (lint rule ``dequantize-int8``).
"""

from __future__ import annotations

import io
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from detr2litert.convert.quiet import quiet


def store_dynamic_range(source: Path, target: Path) -> None:
    """Writes ``source`` with int8 weights to ``target``."""
    with quiet(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        from ai_edge_quantizer import qtyping, quantizer

        worker = quantizer.Quantizer(str(source))
        worker.add_dynamic_config(".*", qtyping.TFLOperationName.ALL_SUPPORTED, num_bits=8)
        target.write_bytes(bytes(worker.quantize().quantized_model))
