"""Reading a pickled file without running anything in it.

``torch.load(weights_only=True)`` interprets the pickle itself and refuses every global outside torch's own list. Training
scripts add a few types to what they save; those are let in here, and only as follows: the two plain attribute holders that
carry training arguments as themselves, everything else as an inert placeholder, so that no code of theirs runs either.

What rfdetr writes: ``argparse.Namespace`` (before 1.6), a plain dict (since), ``types.SimpleNamespace`` (its
utilities/state_dict.py mentions it), paths among the arguments, and, in some 1.8 versions, the enum
``rfdetr.config.AugmentationBackend``. NumPy scalars come from users' own metrics.
"""

from __future__ import annotations

import argparse
import re
import types
import warnings
from pathlib import Path
from typing import Any

import torch

from detr2litert.convert.checkpoints.unsupported import describe_library
from detr2litert.host_runtime.errors import UserError


class Inert:
    """Stands for a value that nobody reads: takes any arguments and any state, and keeps none."""

    def __new__(cls, *_args: object, **_keywords: object) -> Inert:
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
    *((Inert, name) for name in _PLACEHOLDERS),
]

_REFUSED_GLOBAL = re.compile(r"GLOBAL (\S+)")


def load_pickle(path: Path) -> object:
    """The object in a file written by ``torch.save``, tensors on the CPU.

    Raises:
        UserError: the file cannot be read, is empty, truncated or no torch file, or holds a type outside the allow-list, which
            is named.
    """
    try:
        if path.stat().st_size == 0:
            raise UserError(f"checkpoint {path} is empty; download or save it again")
        with torch.serialization.safe_globals(_SAFE), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickle protocols, which are the file's business
            return torch.load(path, map_location="cpu", weights_only=True)
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"cannot read checkpoint {path}: {error.strerror or error}") from error
    except Exception as error:
        # A damaged or hostile pickle can fail in any way the interpreter can; all of them mean the same to the user.
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
    return f"checkpoint {path} is damaged or no torch checkpoint ({type(error).__name__}); download or save it again"
