"""PyTorch's start: the seconds of its imports, as a stage of their own."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from detr2litert.host_runtime.errors import UserError

if TYPE_CHECKING:
    from detr2litert.convert.progress import Progress

_HEAVY = ("detr2litert.convert.proof.reporting", "detr2litert.convert.lowering.lower")
"""Modules that import, between them, all that converting and verifying take."""
_ADDRESS_SPACE = 2 << 30
"""Bytes of address space that the libraries need to load; the demo detector's conversion takes 2.7 GiB in all."""


def start_pytorch(progress: Progress, modules: Sequence[str] = _HEAVY) -> None:
    """Imports what takes seconds, as a stage of its own; the imports in the functions of a command then take no time.

    Args:
        progress: shows the stage.
        modules: that import, between them, all that the command takes.

    Raises:
        UserError: the address space is limited to less than PyTorch takes.
    """
    _require_address_space()
    with progress.stage("start PyTorch"):
        for module in modules:
            import_module(module)


def _require_address_space() -> None:
    # With less, OpenBLAS, which SciPy and NumPy bring, tries for ever to get memory while it is loaded.
    try:
        import resource
    except ImportError:  # Windows
        return
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit != resource.RLIM_INFINITY and limit < _ADDRESS_SPACE:
        raise UserError(
            f"the address space is limited to {limit >> 20} MiB, and this command takes {_ADDRESS_SPACE >> 20} MiB; raise the "
            "limit (ulimit -v)"
        )
