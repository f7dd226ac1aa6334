"""The figures of one tensor's difference with their limits, and a short description, for reports."""

from __future__ import annotations

from detr2litert.verify.gates import Measurement
from detr2litert.verify.parity.metrics import Difference, residual


def figures(subject: str, found: Difference, limit: float) -> tuple[Measurement, ...]:
    """Returns correlation and relative error with a limit, and the largest error without one, since it depends on the scale.

    Args:
        subject: what was compared with what.
        found: the difference between the two.
        limit: lowest correlation; it limits the relative error too (see ``metrics``).
    """
    return (
        Measurement(subject, "correlation", found.correlation, limit),
        Measurement(subject, "relative_error", found.relative_error, residual(limit), at_least=False),
        Measurement(subject, "max_abs_error", found.max_abs_error, at_least=False),
    )


def describe(found: Difference) -> str:
    """Describes a difference briefly."""
    bad = f", {found.non_finite} non-finite" if found.non_finite else ""
    return (
        f"correlation {found.correlation:.6f}, relative error {found.relative_error:.2g}, "
        f"max abs error {found.max_abs_error:.3g} of {found.reference_max:.3g}{bad}"
    )
