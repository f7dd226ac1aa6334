"""Computes the host step with PyTorch's own operators, as a reference for the runtimes' interpreters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from detr2litert.graphs.host_step import HostPart

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
        values[op.output] = _OPS[op.op](*(values[name] for name in op.inputs), **op.attributes)
    return {name: values[name].contiguous().numpy() for name in program.outputs}


def with_ties(host: HostPart, inputs: Arrays) -> dict[str, NDArray[Any]]:
    """Returns the inputs with the selection scores rounded to sixteen levels, so that most are tied."""
    ranked = {op.inputs[0] for op in host.program.ops if op.op == "topk"}
    changed = dict(inputs)
    for name in ranked & set(inputs):
        scores = np.asarray(inputs[name])
        low, high = float(scores.min()), float(scores.max())
        step = (high - low) / _LEVELS or 1.0
        changed[name] = (low + np.floor((scores - low) / step) * step).astype(scores.dtype)
    return changed


def _topk(scores: Tensor, *, k: int, axis: int) -> Tensor:
    """Returns the best first, equal scores by lower index, like a stable sort."""
    return scores.sort(dim=axis, descending=True, stable=True).indices.narrow(axis, 0, k)


def _gather(x: Tensor, indices: Tensor, *, axis: int) -> Tensor:
    assert axis == 1 and x.shape[0] == 1, "the compiler emits gathers of tokens only"
    return x.index_select(axis, indices.flatten())


def _layer_norm(x: Tensor, weight: Tensor | None = None, bias: Tensor | None = None, *, eps: float) -> Tensor:
    return functional.layer_norm(x, x.shape[-1:], weight, bias, eps)


def _slice(x: Tensor, *, axis: int, start: int, end: int) -> Tensor:
    return x.narrow(axis, start, end - start)


_OPS: Mapping[str, Callable[..., Tensor]] = {
    "topk": _topk,
    "gather": _gather,
    "linear": functional.linear,
    "layer_norm": _layer_norm,
    "relu": torch.relu,
    "silu": functional.silu,
    "gelu": functional.gelu,
    "sigmoid": torch.sigmoid,
    "exp": torch.exp,
    "log": torch.log,
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "div": torch.div,
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "clamp": torch.clamp,
    "slice": _slice,
    "concat": lambda *tensors, axis: torch.cat(tensors, axis),
    "reshape": lambda x, *, shape: x.reshape(shape),
}
"""Every op that ``graphs.host_step`` emits."""
