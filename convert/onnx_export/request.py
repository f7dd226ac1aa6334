"""What an export is asked for, and what must be installed for it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.foreign_json import JsonLimits, parse_json

OPSETS = range(18, 24)
"""Versions of the operator set that can be asked for. Below 18 PyTorch's exporter converts down and, where it fails, keeps 18
without an error; above 23 it has no operators of its own (``ONNX_MAX_OPSET`` of PyTorch 2.13)."""
DEFAULT_OPSET = 18
"""The lowest: every runtime that reads a later one reads it."""
BATCHES = (1, 2, 4, 8)
"""The batches at which a file with a dynamic batch is checked."""
MAX_BATCH = 256
"""The largest fixed batch, a bound for what is traced and checked."""

_NOTES = JsonLimits(2**20, text=2**16, lines=True)
_PACKAGES = ("onnx", "onnxscript", "onnxruntime")


@dataclass(frozen=True)
class OnnxOptions:
    """The form of the file.

    Attributes:
        batch: of the input; None for any batch.
        opset: version of ONNX's operators, one of ``OPSETS``.
        backbone_only: the backbone's feature maps are the outputs, in place of boxes and logits.
        notes: any JSON value to store in the file; None for none.
    """

    batch: int | None = 1
    opset: int = DEFAULT_OPSET
    backbone_only: bool = False
    notes: Any = None

    @property
    def checked_batches(self) -> tuple[int, ...]:
        """Returns the batches at which the file is compared with PyTorch."""
        return BATCHES if self.batch is None else (self.batch,)


def onnx_options(
    dynamic_batch: bool = False,
    batch: int | None = None,
    opset: int = DEFAULT_OPSET,
    backbone_only: bool = False,
    notes: str | None = None,
) -> OnnxOptions:
    """Checks the options of the command.

    Args:
        dynamic_batch: the file accepts any batch.
        batch: a fixed batch; None for 1.
        opset: version of the operators.
        backbone_only: export the backbone alone.
        notes: JSON text.

    Raises:
        UserError: two options contradict each other, or one has a value that cannot be used.
    """
    if dynamic_batch and batch is not None:
        raise UserError(f"--dynamic-batch accepts any batch and --batch {batch} only that one; give one of the two")
    if batch is not None and not 1 <= batch <= MAX_BATCH:
        raise UserError(f"--batch {batch} is not a batch from 1 to {MAX_BATCH}; give one, or --dynamic-batch for any")
    if opset not in OPSETS:
        raise UserError(f"--opset {opset} cannot be exported; choose from {OPSETS.start} to {OPSETS.stop - 1}")
    value = None
    if notes is not None:
        try:
            value = parse_json(notes, _NOTES)
        except ValueError as error:
            raise UserError(
                f"""--notes is not JSON ({error}); a text needs quotes of its own, as in '"spring batch"'"""
            ) from error
    return OnnxOptions(None if dynamic_batch else batch or 1, opset, backbone_only, value)


def require_packages() -> None:
    """Checks that the packages of the extra ``onnx`` are installed, without importing them.

    Raises:
        UserError: one is missing.
    """
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        raise UserError(
            f"the export to ONNX needs {', '.join(missing)}: install the extra onnx with `pip install -c constraints.txt -e "
            '".[onnx]"`'
        )


def notes_text(value: Any) -> str:
    """Returns the notes as they are stored: compact JSON."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
