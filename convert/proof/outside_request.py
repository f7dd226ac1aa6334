"""What the user gives to compare a detector with, as options of a command."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from detr2litert.verify.accuracy import DEFAULT_SIZE


@dataclass(frozen=True)
class OutsideRequest:
    """The options.

    Attributes:
        expected: file of the user's detections for the pictures of ``--image``.
        oracle: python of an environment with the original project, to ask for detections.
        oracle_config: the YAML configuration of the training, in a clone of the original project.
        dataset: folder of annotated pictures, ``"demo"`` or ``"none"``; None for the default.
        dataset_size: how many of its pictures to evaluate on.
        dataset_fp16: how many of these to compute in fp16; None for what the adapter computes in about a minute.
        dataset_ap: mAP that the user's own evaluation gave on it.
    """

    expected: Path | None = None
    oracle: Path | None = None
    oracle_config: Path | None = None
    dataset: str | None = None
    dataset_size: int = DEFAULT_SIZE
    dataset_fp16: int | None = None
    dataset_ap: float | None = None
