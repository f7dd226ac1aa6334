"""Verifies a .tflite file before anything reads it: LiteRT reads offsets without looking where they lead, and is killed."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path
from typing import Any

from ai_edge_litert.interpreter import Interpreter, OpResolverType

from detr2litert.host_runtime.activity import doing
from detr2litert.host_runtime.errors import UserError, reason
from detr2litert.host_runtime.quiet import native_log
from detr2litert.host_runtime.tflite.container import IDENTIFIER, is_model, open_model
from detr2litert.host_runtime.tflite.verify_indices import LARGEST, DamagedError, verify_indices

_NO_FLATBUFFER = "not a valid Flatbuffer"  # LiteRT's words (tflite/core/model_builder.cc)

_WITHOUT_KERNEL = (b"Resampler", b"custom_call.LayerNorm")  # of the files that this project writes


def verify_file(path: Path, *, runnable: bool = False) -> None:
    """Checks that LiteRT, and this project's own reader, can follow every reference in a file.

    Tables and offsets are verified by flatbuffers' own verifier, which LiteRT's ``Interpreter`` runs on construction and its
    ``CompiledModel`` does not; what they mean, by ``verify_indices``. Weights are not read.

    Args:
        path: the file.
        runnable: whether operators must have as many operands as their kernels need, and make all outputs. A file that is only
            read may lack them: the lint reports that itself.

    Raises:
        UserError: the file cannot be read, is no LiteRT model, or is truncated or damaged; the message has the first fault.
    """
    raw = _mapped(path)
    if not is_model(raw[:8]):
        raise UserError(f"{path}: not a LiteRT model (no {IDENTIFIER.decode()} identifier at byte 4); give a .tflite file")
    try:
        # First, since LiteRT reads a required list that is absent as well.
        verify_indices(raw, len(raw), runnable=runnable)
    except MemoryError:
        raise
    except DamagedError as error:
        raise _damaged(path, str(error)) from error
    except struct.error as error:
        raise _damaged(path, "an offset leads out of it") from error
    except Exception as error:
        # Python's reader may raise any other exception as well.
        raise _damaged(path, f"{type(error).__name__} while its tables were read") from error
    if not _initialises_custom_operators(raw) and not _is_flatbuffer(path):
        raise _damaged(path, "an offset leads to no table")


def _mapped(path: Path) -> Any:
    try:
        if not path.is_file() and path.exists():
            raise UserError(f"{path} is not a regular file; give the path of a .tflite file")
        with path.open("rb") as file:
            size = file.seek(0, 2)
            if size > LARGEST:
                raise UserError(f"{path} has {size} bytes, more than the {LARGEST} of any .tflite file; give another")
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b""
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({reason(error)}); give the path of a .tflite file") from error


def _initialises_custom_operators(raw: Any) -> bool:
    """Whether LiteRT's interpreter may have kernels for custom operators of the file: it then reads their options unchecked.

    Measured: without options, ``Mfcc`` ends the process. The accelerators' own codes have no kernel there.
    """
    model = open_model(raw)
    codes = (model.OperatorCodes(index).CustomCode() for index in range(model.OperatorCodesLength()))
    return any(code is not None and code not in _WITHOUT_KERNEL for code in codes)


def _is_flatbuffer(path: Path) -> bool:
    try:
        str(path).encode()
        source: dict[str, Any] = {"model_path": str(path)}
    except UnicodeEncodeError:  # LiteRT accepts UTF-8 paths only
        source = {"model_content": path.read_bytes()}
    try:
        with doing(f"LiteRT verifies {path}"), native_log():
            Interpreter(experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES, **source)
    except (RuntimeError, ValueError) as error:
        # It then looks up the operators, which may be newer than this runtime: that is the lint's and the delegate's to say.
        return _NO_FLATBUFFER not in str(error)
    return True


def _damaged(path: Path, what: str) -> UserError:
    return UserError(f"{path}: truncated or damaged LiteRT model ({what}); make or copy it again")
