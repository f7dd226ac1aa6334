"""The command's process: its settings, to be made before the libraries that read them are loaded."""

from __future__ import annotations

import gc
import os

_YOUNG, _MIDDLE, _OLD = 200_000, 20, 20


def tune_process() -> None:
    """Configures PyTorch, TensorFlow and Python's collector in this process; the user's own variables take precedence."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # PyTorch's threads otherwise spin while they wait for each other. If anything else runs on the machine, one of them waits
    # for a core many times longer than its share of a small operator takes: tiny's evaluation went from 0.04 to 9 s.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Loading and tracing make millions of objects that live until the end. With its defaults (700, 10, 10) the collector scans
    # all of them repeatedly: a quarter of the time of both.
    gc.set_threshold(_YOUNG, _MIDDLE, _OLD)
