"""Finds the model's weights, and the arguments of its training, in a training checkpoint.

The order is that of the projects themselves when they load weights for inference:

- ``{"ema": {"module": …}}``: RT-DETR, D-FINE and DEIM evaluate the averaged weights.
- ``{"model": …}``: rfdetr (src/rfdetr/models/weights.py, load_pretrain_weights) loads this and uses ``ema_model`` beside it
  only for resuming; its best checkpoints already hold the averaged weights under ``model`` where those were better.
- ``{"state_dict": …}`` with ``model.`` before each name: Lightning; the arguments are in ``hyper_parameters``.
- ``{"ema_model": …}`` alone, and a plain state dict.

Around the names of the tensors there may be the prefixes of wrappers, in any order: ``module.`` of DistributedDataParallel and
of averaged weights, ``_orig_mod.`` of torch.compile, ``model.`` of Lightning and others.
"""

from __future__ import annotations

import argparse
import re
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from detr2litert.host_runtime.errors import UserError

ARGUMENTS = ("args", "model_config", "train_config", "config", "hyper_parameters")
"""Keys under which projects store the arguments of a training."""

_WRAPPERS = ("module.", "_orig_mod.", "ema.module.", "ema.", "model.", "net.")
_TRANSFORMERS = re.compile(r"^model\.(backbone\.(model|backbone|conv_encoder)\.|encoder_input_proj\.|enc_output\.)")
"""Names that begin with ``model.`` in transformers' own naming, where it is no wrapper."""


@dataclass(frozen=True)
class Contents:
    """Weights and training arguments from a container.

    Attributes:
        tensors: of the model, without wrappers' prefixes.
        place: where in the container they were found, for example ``ema.module``; empty for a plain state dict.
        arguments: the training's arguments by their place in the file; those nested in others are listed as well.
        arguments_are_a_namespace: an ``argparse.Namespace``, as rfdetr's training stored them before 1.6.
        exported: the arguments are a ``types.SimpleNamespace``, as rfdetr since 1.6 keeps them with a loaded model, and writes
            them in an upload bundle (rfdetr/detr.py, ``deploy_to_roboflow``, ``export_for_roboflow``; 1.6.4 to 1.11.2 read),
            whatever version trained the weights.
        facts: further plain values of the container, for example ``rfdetr_version``.
    """

    tensors: dict[str, Tensor]
    place: str
    arguments: Mapping[str, Mapping[str, object]]
    arguments_are_a_namespace: bool
    exported: bool
    facts: Mapping[str, object]

    def argument(self, name: str) -> object:
        """Returns the value of an argument, wherever it is; None if nowhere."""
        return next((values[name] for values in self.arguments.values() if values.get(name) is not None), None)


def open_container(loaded: object, source: str) -> Contents:
    """Returns the model's tensors and the training arguments of an unpickled checkpoint.

    Raises:
        UserError: none of the known places holds named tensors.
    """
    if isinstance(loaded, Mapping):
        ema = loaded.get("ema")
        places = (
            ("ema.module", ema.get("module") if isinstance(ema, Mapping) else None),
            ("model", loaded.get("model")),
            ("state_dict", _of_the_model(loaded.get("state_dict"))),
            ("ema_model", loaded.get("ema_model")),
            ("", loaded),
        )
        for place, value in places:
            tensors = _tensors(value)
            if tensors:
                stated = loaded.get("args") or loaded.get("hyper_parameters")
                return Contents(
                    tensors,
                    place,
                    dict(_arguments(loaded)),
                    isinstance(stated, argparse.Namespace),
                    isinstance(stated, types.SimpleNamespace),
                    {key: value for key, value in loaded.items() if isinstance(value, str | int | float)},
                )
    found = f"keys {', '.join(map(str, list(loaded)[:5]))}" if isinstance(loaded, Mapping) else f"a {type(loaded).__name__}"
    raise UserError(f"checkpoint {source} holds no model weights ({found}); pass a file that contains a state dict")


def _arguments(container: Mapping[object, object], prefix: str = "") -> Iterator[tuple[str, Mapping[str, object]]]:
    """Yields the arguments of a container, and those nested in them, each after its place."""
    for key in ARGUMENTS:
        value = container.get(key)
        if isinstance(value, argparse.Namespace | types.SimpleNamespace):
            value = vars(value)
        if isinstance(value, Mapping):
            place = f"{prefix}{key}"
            yield place, {name: item for name, item in value.items() if isinstance(name, str)}
            yield from _arguments(value, f"{place}.")


def strip_wrappers(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Removes the prefixes that wrappers put before the names, in any order, where all names have them."""
    stripped = dict(tensors)
    while stripped:
        prefix = next((prefix for prefix in _WRAPPERS if all(name.startswith(prefix) for name in stripped)), None)
        if prefix is None or (prefix == "model." and any(_TRANSFORMERS.match(name) for name in stripped)):
            return stripped
        stripped = {name.removeprefix(prefix): value for name, value in stripped.items()}
    return stripped


def _tensors(place: object) -> dict[str, Tensor]:
    """Returns the tensors of a state dict by name, wrappers' prefixes removed; empty if it is not a state dict."""
    if not isinstance(place, Mapping):
        return {}
    return strip_wrappers({name: value for name, value in place.items() if isinstance(name, str) and _is_plain(value)})


def _is_plain(value: object) -> bool:
    """True for a dense tensor with data. Quantised, sparse and meta tensors cannot be converted."""
    return isinstance(value, Tensor) and value.device.type == "cpu" and value.layout is torch.strided and not value.is_quantized


def _of_the_model(place: object) -> object:
    """Returns the entries of a Lightning state dict that belong to its model; its losses and metrics have tensors too."""
    if not isinstance(place, Mapping):
        return None
    inner = {name: value for name, value in place.items() if isinstance(name, str) and name.startswith("model.")}
    return inner or place
