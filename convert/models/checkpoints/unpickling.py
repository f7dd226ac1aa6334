"""Reads a pickled file without running any code in it.

``torch.load(weights_only=True)`` interprets the pickle itself and refuses every global outside torch's own list. Training
scripts save a few more types; those are allowed here, and only as follows: the two plain attribute holders that carry training
arguments as themselves, everything else as an ``IgnoredObject``, so that no code of theirs runs either.

What rfdetr writes: ``argparse.Namespace`` (before 1.6), a plain dict (since), ``types.SimpleNamespace`` (its
utilities/state_dict.py mentions it), paths among the arguments, and, in some 1.8 versions, the enum
``rfdetr.config.AugmentationBackend``. NumPy scalars are from users' own metrics.
"""

from __future__ import annotations

import argparse
import re
import types
import warnings
from pathlib import Path
from typing import Any

import torch

from detr2litert.convert.models.checkpoints.unsupported import describe_library
from detr2litert.host_runtime.errors import UserError


class IgnoredObject:
    """Placeholder for an object that is not needed: accepts any arguments and any state, and stores none."""

    def __new__(cls, *_args: object, **_keywords: object) -> IgnoredObject:
        return object.__new__(cls)

    def __init__(self, *_args: object, **_keywords: object) -> None:
        pass

    def __setstate__(self, _state: object) -> None:
        pass


_PATHS = ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")
_PLACEHOLDERS = (
    "rfdetr.config.AugmentationBackend",
    *(f"{module}.{name}" for module in ("pathlib", "pathlib._local") for name in _PATHS),
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "numpy.dtype",
)
_SAFE: list[Any] = [
    (argparse.Namespace, "argparse.Namespace"),
    (types.SimpleNamespace, "types.SimpleNamespace"),
    *((IgnoredObject, name) for name in _PLACEHOLDERS),
]

_REFUSED_GLOBAL = re.compile(r"GLOBAL (\S+)")


def load_pickle(path: Path) -> object:
    """Loads the object in a file written by ``torch.save``, with tensors on the CPU.

    Raises:
        UserError: the file cannot be read, is empty, truncated or not a torch file, or holds a type outside the allow-list,
            which is named.
    """
    try:
        if path.stat().st_size == 0:
            raise UserError(f"checkpoint {path} is empty; download or save it again")
        with torch.serialization.safe_globals(_SAFE), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickle protocols, which are irrelevant here
            return torch.load(path, map_location="cpu", weights_only=True)
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"cannot read checkpoint {path}: {error.strerror or error}") from error
    except Exception as error:
        # A damaged or hostile pickle can raise any exception; they all mean the same to the user.
        raise UserError(_reason(path, error)) from error


def _reason(path: Path, error: Exception) -> str:
    refused = _REFUSED_GLOBAL.search(str(error))
    if refused and (library := describe_library(refused[1])) is not None:
        return f"checkpoint {path} is {library}"
    if refused:
        return (
            f"checkpoint {path} holds a {refused[1]}, which is not loaded because unpickling it could run code; "
            "save the weights alone with torch.save(model.state_dict(), ...) or as safetensors"
        )
    if "TorchScript" in str(error):
        return f"checkpoint {path} is a TorchScript archive, not weights; save model.state_dict() instead"
    return f"checkpoint {path} is damaged or not a torch checkpoint ({type(error).__name__}); download or save it again"
