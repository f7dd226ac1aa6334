"""Computes the host step with PyTorch's own operators, as a reference for the runtimes' interpreters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from detr2litert.graphs.host_step import HostPart, aten_overload
from detr2litert.host_runtime.host_table import host_table

Arrays = Mapping[str, NDArray[Any]]

_LEVELS = 16


@torch.no_grad()
def run_host_step(host: HostPart, inputs: Arrays) -> dict[str, NDArray[Any]]:
    """Computes the program's outputs by name.

    Args:
        host: the host step as the compiler has it.
        inputs: graph A's outputs.
    """
    program = host.program
    values = {name: torch.from_numpy(np.asarray(inputs[name])) for name in program.inputs} | host.constants
    for op in program.ops:
        values[op.output] = compute(op.op, [values[name] for name in op.inputs], op.attributes)
    return {name: values[name].contiguous().numpy() for name in program.outputs}


def compute(op: str, inputs: Sequence[Tensor], attributes: Mapping[str, Any]) -> Tensor:
    """Computes one op of the table: by the first of its ATen overloads, or by a function here."""
    function = _OPS.get(op) or aten_overload(host_table().ops[op].aten[0])
    result: Tensor = function(*inputs, **attributes)
    return result


def with_ties(host: HostPart, inputs: Arrays) -> dict[str, NDArray[Any]]:
    """Returns the inputs with the selection scores rounded to sixteen levels, so that most are tied."""
    changed = dict(inputs)
    for name in host.ranked:
        scores = np.asarray(inputs[name])
        low, high = float(scores.min()), float(scores.max())
        step = (high - low) / _LEVELS or 1.0
        changed[name] = (low + np.floor((scores - low) / step) * step).astype(scores.dtype)
    return changed


def _topk(scores: Tensor, *, k: int, axis: int) -> Tensor:
    """Returns the best first, equal scores by lower index, like a stable sort."""
    return scores.sort(dim=axis, descending=True, stable=True).indices.narrow(axis, 0, k).int()


def _gather(x: Tensor, indices: Tensor, *, axis: int) -> Tensor:
    axis %= x.dim()
    if indices.dim() == 1:
        return x.index_select(axis, indices)
    return torch.stack([item.index_select(axis - 1, row) for item, row in zip(x, indices, strict=True)])


def _layer_norm(x: Tensor, weight: Tensor | None = None, bias: Tensor | None = None, *, eps: float) -> Tensor:
    return functional.layer_norm(x, x.shape[-1:], weight, bias, eps)


def _slice(x: Tensor, *, axis: int, start: int, end: int) -> Tensor:
    return x[(slice(None),) * (axis % x.dim()) + (slice(start, end),)]


_OPS: Mapping[str, Callable[..., Tensor]] = {
    "topk": _topk,
    "gather": _gather,
    "layer_norm": _layer_norm,
    "slice": _slice,
    "concat": lambda *tensors, axis: torch.cat(tensors, axis),
    "reshape": lambda x, *, shape: x.reshape(shape),
}
"""The ops for which the table names no ATen overload."""
