"""Stores weights as float16: half the size, and the precision that a phone's GPU computes with anyway.

ai-edge-quantizer's float casting rewrites the constant operands of convolutions and fully connected layers to float16 behind a
DEQUANTIZE, which the GPU delegate folds into its own weight upload. Other constants (norms, position embeddings) stay float32.
"""

from __future__ import annotations

import io
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from detr2litert.convert.quiet import quiet


def store_half(source: Path, target: Path) -> None:
    """Writes ``source`` with float16 weights to ``target``."""
    # It prints sizes and a progress bar with Python's own print, on the streams of whoever calls this.
    with quiet(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        from ai_edge_quantizer import qtyping, quantizer
        from ai_edge_quantizer.algorithm_manager import AlgorithmName

        weights = qtyping.TensorQuantizationConfig(num_bits=16, dtype=qtyping.TensorDataType.FLOAT)
        config = qtyping.OpQuantizationConfig(
            weight_tensor_config=weights, compute_precision=qtyping.ComputePrecision.FLOAT, explicit_dequantize=True
        )
        worker = quantizer.Quantizer(str(source))
        worker.update_quantization_recipe(
            regex=".*",
            operation_name=qtyping.TFLOperationName.ALL_SUPPORTED,
            op_config=config,
            algorithm_key=AlgorithmName.FLOAT_CASTING,
        )
        target.write_bytes(bytes(worker.quantize().quantized_model))
