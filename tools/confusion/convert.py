"""Converts one module with litert-torch, without this project's rewrites."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import litert_torch
import torch

from tools.confusion.modules import Case


def convert(case: Case, path: Path) -> str:
    """Writes the module's .tflite with fixed random weights; returns the error's first line, "" without one."""
    torch.manual_seed(0)
    try:
        module = case.make().eval()
        for buffer in module.buffers():  # statistics of a trained network, not 0 and 1
            if buffer.dtype == torch.float32 and buffer.ndim == 1:
                buffer.copy_(torch.rand_like(buffer) + 0.5)
        with torch.no_grad(), contextlib.redirect_stdout(io.StringIO()):  # it reports every step
            litert_torch.convert(module, tuple(torch.randn(shape) for shape in case.shapes)).export(str(path))
    except Exception as error:
        return f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
    return ""
