"""Named arrays in a file, for exchange with a child process.

An .npz whose member ``names`` is the list of names as one JSON string, and whose members ``v0``, ``v1`` … are the arrays in
that order: signature names may hold characters that an archive's member may not. The children, ``delegate/child.py`` and
``parity/tensorflow_child.py``, import nothing of this project and implement the same format themselves.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]


def save_arrays(values: Arrays, path: Path) -> Path:
    """Writes arrays by name to ``path``, which ends in ``.npz``; returns the path."""
    members: dict[str, Any] = {f"v{n}": np.asarray(value) for n, value in enumerate(values.values())}
    np.savez(path, names=np.array(json.dumps(list(values))), **members)
    return path


def load_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Reads arrays that ``save_arrays`` or a child process wrote, in the same order."""
    with np.load(path) as archive:
        return {name: archive[f"v{n}"] for n, name in enumerate(json.loads(str(archive["names"])))}
