"""What the export of a backbone is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from detr2litert.convert.notes import read_notes
from detr2litert.convert.targets import Target, find_target
from detr2litert.host_runtime.errors import UserError
from detr2litert.verify.precision import Precision


@dataclass(frozen=True)
class BackboneOptions:
    """The form of the file.

    Attributes:
        target: the phone.
        precision: of the stored weights.
        notes: any JSON value to store in the file; None for none.
        gpu: False skips the GPU gates.
        fp16: False skips the fp16 gate.
    """

    target: Target
    precision: Precision = Precision.FP16
    notes: Any = None
    gpu: bool = True
    fp16: bool = True


def backbone_options(
    target: str | None, backbone_only: bool, precision: str, notes: str | None, gpu: bool, fp16: bool
) -> BackboneOptions:
    """Checks the options of the command.

    Args:
        target: name of the phone.
        backbone_only: must be True: a whole detector is a bundle.
        precision: a ``Precision``.
        notes: JSON text, or the path of a file of it.
        gpu, fp16: see ``BackboneOptions``.

    Raises:
        UserError: an option is missing or has a value that cannot be used.
    """
    if not backbone_only:
        raise UserError(
            "--format tflite exports a backbone, with --backbone-only; `detr2litert run` converts a whole detector to a bundle"
        )
    if target is None:
        raise UserError("--format tflite needs --target, the phone to convert for (`convert targets` lists them)")
    return BackboneOptions(find_target(target), Precision(precision), None if notes is None else read_notes(notes), gpu, fp16)
