"""Suppresses other libraries' progress bars and notices in the command's output."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet() -> Iterator[None]:
    """Drops warnings and log records below error, and the progress bars of transformers and the hub, within a block.

    All settings are restored afterwards, so that a caller's own logging is unchanged.
    """
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
            from transformers.utils import logging as transformers_logging

            bars_were_on = transformers_logging.is_progress_bar_enabled()
            hub_bars_were_on = not are_progress_bars_disabled()
            transformers_logging.disable_progress_bar()
            disable_progress_bars()
            try:
                yield
            finally:
                if bars_were_on:
                    transformers_logging.enable_progress_bar()
                if hub_bars_were_on:
                    enable_progress_bars()
    finally:
        logging.disable(previous)
