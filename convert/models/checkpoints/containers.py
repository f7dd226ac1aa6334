"""Finds the model's weights in a training checkpoint.

The order is that of the projects themselves when they load weights for inference:

- ``{"ema": {"module": …}}``: RT-DETR and D-FINE evaluate the averaged weights.
- ``{"model": …}``: rfdetr (src/rfdetr/models/weights.py, load_pretrain_weights) loads this and uses ``ema_model`` beside it
  only for resuming; its best checkpoints already hold the averaged weights under ``model`` where those were better.
- ``{"state_dict": …}`` with ``model.`` before each name: Lightning, ``_orig_mod.`` as well after torch.compile; the arguments
  are in ``hyper_parameters``.
- ``{"ema_model": …}`` alone, and a plain state dict.
"""

from __future__ import annotations

import argparse
import types
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from detr2litert.host_runtime.errors import UserError


@dataclass(frozen=True)
class Contents:
    """Weights and training arguments from a container.

    ``arguments_were_a_namespace`` distinguishes an older training script from a newer one that saved a dict.
    """

    tensors: dict[str, Tensor]
    arguments: Mapping[str, object]
    arguments_were_a_namespace: bool


def open_container(loaded: object, source: str) -> Contents:
    """Returns the model's tensors and the training arguments of an unpickled checkpoint.

    Raises:
        UserError: none of the known places holds named tensors.
    """
    if isinstance(loaded, Mapping):
        stated = loaded.get("args") or loaded.get("hyper_parameters")
        is_namespace = isinstance(stated, argparse.Namespace | types.SimpleNamespace)
        arguments = vars(stated) if is_namespace else stated
        ema = loaded.get("ema")
        places = (
            ema.get("module") if isinstance(ema, Mapping) else None,
            loaded.get("model"),
            _lightning(loaded.get("state_dict")),
            loaded.get("ema_model"),
            loaded,
        )
        for place in places:
            tensors = _tensors(place)
            if tensors:
                return Contents(tensors, arguments if isinstance(arguments, Mapping) else {}, is_namespace)
    found = f"keys {', '.join(map(str, list(loaded)[:5]))}" if isinstance(loaded, Mapping) else f"a {type(loaded).__name__}"
    raise UserError(f"checkpoint {source} holds no model weights ({found}); pass a file that contains a state dict")


def _tensors(place: object) -> dict[str, Tensor]:
    """Returns the tensors of a state dict by name, wrappers' prefixes removed; empty if it is not a state dict."""
    if not isinstance(place, Mapping):
        return {}
    tensors = {name: value for name, value in place.items() if isinstance(name, str) and _is_plain(value)}
    for prefix in ("module.", "_orig_mod."):
        if tensors and all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}
    return tensors


def _is_plain(value: object) -> bool:
    """True for a dense tensor with data. Quantised, sparse and meta tensors cannot be converted."""
    return isinstance(value, Tensor) and value.device.type == "cpu" and value.layout is torch.strided and not value.is_quantized


def _lightning(place: object) -> object:
    if not isinstance(place, Mapping):
        return None
    inner = {
        name.removeprefix("model."): value
        for name, value in place.items()
        if isinstance(name, str) and name.startswith("model.")
    }
    return inner or place
