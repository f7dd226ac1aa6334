"""Makes transformers' code traceable with any batch, while it is traced."""

from __future__ import annotations

import builtins
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

_UNCHECKED = "TRANSFORMERS_DISABLE_TORCH_CHECK"
_LEN = "len"


@contextmanager
def traceable(module: nn.Module) -> Iterator[None]:
    """Changes two things within it, neither of which changes a value.

    - ``len(tensor)`` in the code of the module's parts gives the first dimension as it is. The hybrid encoders' models have
      ``batch_size = len(source_flatten)`` (transformers 5.23, modeling_d_fine.py and its relatives). Python's ``len`` must give
      an ``int``, so the trace takes the example's batch for the only one, and ``torch.export`` refuses a dynamic batch. A name
      ``len`` in the code's own module comes before Python's.
    - transformers' checks of values are off, by its own switch. They would be traced to ``aten._is_all_true``, for which ONNX
      has no operator.
    """
    names = {type(part).__module__ for part in module.modules()}
    spaces = [vars(sys.modules[name]) for name in sorted(names) if name.startswith("transformers.")]
    changed = [space for space in spaces if _LEN not in space]
    before = os.environ.get(_UNCHECKED)
    os.environ[_UNCHECKED] = "1"
    for space in changed:
        space[_LEN] = _length
    try:
        yield
    finally:
        for space in changed:
            del space[_LEN]
        del os.environ[_UNCHECKED]
        if before is not None:
            os.environ[_UNCHECKED] = before


def _length(value: Any) -> Any:
    return value.shape[0] if isinstance(value, Tensor) else builtins.len(value)
