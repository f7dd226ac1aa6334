"""Downloads a transformers repository from the Hugging Face hub into its local cache."""

from __future__ import annotations

import re
from pathlib import Path

from detr2litert.convert.quiet import quiet
from detr2litert.host_runtime.errors import UserError

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_WEIGHT_SUFFIXES = (".pth", ".pt", ".ckpt", ".bin", ".safetensors", ".json")
_FILES = ["config.json", "*.safetensors", "*.safetensors.index.json", "pytorch_model.bin"]
_TIMEOUT = 10.0
"""Seconds to wait for the hub's first answer."""


def is_hub_id(text: str) -> bool:
    """Returns whether ``text`` has the form ``organisation/name`` and not that of a path to a weight file."""
    return bool(_HUB_ID.fullmatch(text)) and not text.lower().endswith(_WEIGHT_SUFFIXES)


def fetch(hub_id: str) -> Path:
    """Returns the local folder of a hub repository, from the network or, without one, from the cache.

    The hub is queried once, without retries, before anything is downloaded: a machine without a network gets an error within
    seconds instead of after the library's back-off.

    Raises:
        UserError: no such repository, or it can neither be reached nor is it in the cache.
    """
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError, RepositoryNotFoundError

    with quiet():
        try:
            revision = HfApi().model_info(hub_id, timeout=_TIMEOUT).sha
            return Path(snapshot_download(hub_id, revision=revision, allow_patterns=_FILES))
        except RepositoryNotFoundError as error:
            raise UserError(f"the hub has no repository {hub_id}, or it is private: check the name, or set HF_TOKEN") from error
        except Exception as error:
            # Errors of the underlying HTTP library, which the hub client chooses: each means that the hub was not reached.
            reason = type(error).__name__
        try:
            return Path(snapshot_download(hub_id, allow_patterns=_FILES, local_files_only=True))
        except (LocalEntryNotFoundError, OSError, ValueError) as error:
            raise UserError(
                f"could not reach the hub for {hub_id} ({reason}) and the local cache does not have it: with a network, run "
                f"`hf download {hub_id}`, then pass that folder as --weights, or copy the cache here and set HF_HOME"
            ) from error
