"""A tensor's name, shape and dtype."""

from __future__ import annotations

from dataclasses import dataclass

Shape = tuple[int, ...]
"""Extents, the outermost first; () is a scalar."""


@dataclass(frozen=True)
class TensorSpec:
    """One tensor at a stage's interface: row-major, static shape, dtype `float32` or `int32`, or `uint8` of pixels."""

    name: str
    shape: Shape
    dtype: str = "float32"
