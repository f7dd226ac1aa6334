"""Settings of the command's process that must be made before the libraries that read them are loaded."""

from __future__ import annotations

import gc
import os

_YOUNG, _MIDDLE, _OLD = 200_000, 20, 20


def tune_process() -> None:
    """Set what PyTorch, TensorFlow and Python's collector do in this process; variables that the user has set stay."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # PyTorch's threads otherwise spin while they wait for each other. Where anything else runs on the machine, one of them
    # waits for a core many times as long as its share of a small operator takes: tiny's evaluation went from 0.04 to 9 s.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Loading and tracing make millions of objects that live to the end. The collector's defaults (700, 10, 10) look through all
    # of them again and again: a quarter of the time of both.
    gc.set_threshold(_YOUNG, _MIDDLE, _OLD)
