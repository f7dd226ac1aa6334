"""Reads a transformers folder: config.json beside safetensors (whole or sharded) or a pytorch_model.bin."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from detr2litert.convert.models.checkpoints.containers import open_container
from detr2litert.convert.models.checkpoints.unpickling import load_pickle
from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.foreign_json import OTHERS, parse_json


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Reads the tensors of a transformers folder.

    Raises:
        UserError: a file is missing or damaged, or an index points outside the folder.
    """
    index = folder / "model.safetensors.index.json"
    if (folder / "model.safetensors").is_file():
        return read_safetensors(folder / "model.safetensors")
    if index.is_file():
        return _sharded(folder, read_json(index))
    if (folder / "pytorch_model.bin").is_file():
        path = folder / "pytorch_model.bin"
        return open_container(load_pickle(path), str(path)).tensors
    raise UserError(f"folder {folder} has no model.safetensors (nor pytorch_model.bin) beside its config.json")


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Reads every tensor of one safetensors file.

    Raises:
        UserError: the file is missing, empty, truncated or not a safetensors file.
    """
    try:
        if path.stat().st_size == 0:
            raise UserError(f"checkpoint {path} is empty; download or save it again")
        tensors: dict[str, Tensor] = load_file(path)
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"cannot read checkpoint {path}: {error.strerror or error}") from error
    except Exception as error:
        # safetensors raises its own SafetensorError, and ValueErrors for headers that contradict the data.
        raise UserError(
            f"checkpoint {path} is damaged or not a safetensors file ({error}); download or save it again"
        ) from error
    return tensors


def read_json(path: Path) -> dict[str, Any]:
    """Reads one JSON object.

    Raises:
        UserError: the file is missing or not a JSON object.
    """
    try:
        with path.open("rb") as stream:
            value = parse_json(stream.read(OTHERS.size + 1), OTHERS)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise UserError(f"{path} is not valid JSON: {error}; download or save it again") from error
    if not isinstance(value, dict):
        raise UserError(f"{path} is not a JSON object; download or save it again")
    return value


def _sharded(folder: Path, index: dict[str, Any]) -> dict[str, Tensor]:
    weight_map = index.get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(shard, str) for shard in weight_map.values()):
        raise UserError(f"{folder / 'model.safetensors.index.json'} has no weight_map")
    tensors: dict[str, Tensor] = {}
    for shard in sorted(set(weight_map.values())):
        if Path(shard).name != shard:
            raise UserError(f"{folder / 'model.safetensors.index.json'} names a shard outside its folder: {shard}")
        tensors.update(read_safetensors(folder / shard))
    return tensors
