"""Recognises errors of the machine, not of a command or of this project: no memory, threads, descriptors or disk left."""

from __future__ import annotations

import errno

_ERRORS = {
    errno.ENOMEM: ("there is not enough memory", "free some, or raise its limit (ulimit -v)"),
    errno.EAGAIN: ("no process or thread can be started", "end some, or raise their limit (ulimit -u)"),
    errno.EMFILE: ("there are too many open files", "raise their limit (ulimit -n)"),
    errno.ENFILE: ("there are too many open files", "close some programs"),
    errno.ENOSPC: ("no space is left on the device", "free some, or set TMPDIR"),
    errno.EDQUOT: ("the disk quota is exceeded", "free some space, or set TMPDIR"),
    errno.EROFS: ("the file system is read-only", "choose another folder, or set TMPDIR"),
}
_TEXTS = {
    "No usable temporary directory": ("there is no temporary folder that can be written", "set TMPDIR to one"),
    "start new thread": _ERRORS[errno.EAGAIN],
    "allocate memory": _ERRORS[errno.ENOMEM],
    "not enough memory": _ERRORS[errno.ENOMEM],
    "bad_alloc": _ERRORS[errno.ENOMEM],
    "could not create a primitive": _ERRORS[errno.ENOMEM],  # oneDNN's, of PyTorch
    "failed to map segment": _ERRORS[errno.ENOMEM],
    "Too many open files": _ERRORS[errno.EMFILE],
}
"""Parts of messages, where an error has no number: of ``tempfile``, of threads, of the loader and of native code."""


def exhausted(error: BaseException | None) -> str:
    """Returns one line about an error, or an error that it came from, if a resource of the machine is the reason; else ""."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        found = _described(error)
        if found:
            what, advice = found
            file = getattr(error, "filename", None)
            return f"{what}{f' for {file}' if file else ''}; {advice}, and run the same command again"
        error = error.__cause__ or error.__context__
    return ""


def _described(error: BaseException) -> tuple[str, str] | None:
    if isinstance(error, MemoryError):
        return _ERRORS[errno.ENOMEM]
    for part, found in _TEXTS.items():
        if isinstance(error, (OSError, RuntimeError, ImportError)) and part in str(error):
            return found
    return _ERRORS.get(error.errno or 0) if isinstance(error, OSError) else None
