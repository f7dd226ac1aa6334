"""Random programs of views, elementwise ops, concatenations, reductions and matmuls, to compare a rewrite with PyTorch."""

from __future__ import annotations

import random
from collections.abc import Callable
from math import prod

import torch
from torch import Tensor
from torch.nn import functional as F

_MAX_RANK = 7
_MAX_ELEMENTS = 10_000


def inputs(seed: int) -> tuple[Tensor, Tensor]:
    """Two inputs whose ranks and extents depend on the seed."""
    generator = torch.Generator().manual_seed(seed)
    rank = 2 + seed % 3
    return torch.randn([1, 4, 6, 8][-rank:], generator=generator), torch.randn(1, 24, generator=generator)


def run(seed: int, length: int, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    """Applies ``length`` random ops; returns the last two results, folded to four dimensions."""
    rng = random.Random(seed)
    pool = [x, y]
    for _ in range(length):
        operand = rng.choice(pool[-3:])
        result = rng.choice(_STEPS)(rng, operand)
        if 0 < result.numel() <= _MAX_ELEMENTS and result.dim() <= _MAX_RANK:
            pool.append(result)
    # Rewrites do not apply to an output that is an input or a constant: add to it.
    return tuple((r if 1 <= r.dim() <= 4 else r.reshape(-1)) + 0.25 for r in pool[-2:])


def _constant(shape: list[int]) -> Tensor:
    return torch.sin(torch.arange(prod(shape), dtype=torch.float32) * 1.7 + len(shape)).reshape(shape)


def _shape(rng: random.Random, elements: int) -> list[int]:
    shape: list[int] = []
    for _ in range(rng.randrange(_MAX_RANK)):
        shape.append(rng.choice([d for d in range(1, 7) if elements % d == 0]))
        elements //= shape[-1]
    shape.append(elements)
    rng.shuffle(shape)
    return shape


def _dim(rng: random.Random, t: Tensor) -> int:
    return rng.randrange(t.dim()) if t.dim() else 0


def _view(rng: random.Random, t: Tensor) -> Tensor:
    return t.reshape(_shape(rng, t.numel()))


def _permute(rng: random.Random, t: Tensor) -> Tensor:
    return t.permute(rng.sample(range(t.dim()), t.dim()))


def _expand(rng: random.Random, t: Tensor) -> Tensor:
    shape = [rng.randint(2, 3) if size == 1 and rng.random() < 0.7 else size for size in t.shape]
    return t.expand(([2] if rng.random() < 0.4 else []) + shape)


def _repeat(rng: random.Random, t: Tensor) -> Tensor:
    return t.repeat(([2] if rng.random() < 0.4 else []) + [rng.choice([1, 1, 2]) for _ in t.shape] or [1])


def _squeeze(rng: random.Random, t: Tensor) -> Tensor:
    return t.squeeze() if rng.random() < 0.5 else t.unsqueeze(rng.randrange(-t.dim() - 1, t.dim() + 1))


def _slice(rng: random.Random, t: Tensor) -> Tensor:
    if not t.dim():
        return t
    dim = _dim(rng, t)
    start = rng.randrange(int(t.shape[dim]))
    return t[(slice(None),) * dim + (slice(start, None, rng.choice([1, 1, 2])),)]


def _part(rng: random.Random, t: Tensor) -> Tensor:
    if t.dim() < 2:
        return t
    dim = _dim(rng, t)
    ways: list[Callable[[], Tensor]] = [
        lambda: t.select(dim, rng.randrange(-t.shape[dim], t.shape[dim])),
        lambda: t.unbind(dim)[-1],
        lambda: t.chunk(2, dim)[-1],
    ]
    return rng.choice(ways)()


def _join(rng: random.Random, t: Tensor) -> Tensor:
    other = rng.choice([t * 2, _constant(list(t.shape))])
    parts = [t, other] if rng.random() < 0.5 else [other, t]
    return torch.cat(parts, _dim(rng, t)) if rng.random() < 0.5 and t.dim() else torch.stack(parts, rng.randrange(t.dim() + 1))


def _unary(rng: random.Random, t: Tensor) -> Tensor:
    ops: list[Callable[[Tensor], Tensor]] = [
        torch.relu,
        torch.sigmoid,
        torch.neg,
        F.gelu,
        lambda v: v.clamp(-1, 1),
        lambda v: 1 - v,
        lambda v: torch.tensor(2.0) - v,
        lambda v: torch.maximum(torch.tensor(0.1), v),
    ]
    return rng.choice(ops)(t)


_BINARY: list[Callable[[Tensor, Tensor], Tensor]] = [torch.add, torch.sub, torch.mul, torch.maximum, torch.minimum]


def _with_constant(rng: random.Random, t: Tensor) -> Tensor:
    shape = [size if rng.random() < 0.5 else 1 for size in t.shape][rng.choice([0, 0, rng.randrange(t.dim() + 1)]) :]
    constant = _constant(shape) if rng.random() < 0.7 else torch.full(shape, 2.0)
    if rng.random() < 0.3:
        constant = constant.expand([2, *torch.broadcast_shapes(constant.shape, t.shape)])
    return rng.choice(_BINARY)(*(t, constant) if rng.random() < 0.5 else (constant, t))


def _with_itself(rng: random.Random, t: Tensor) -> Tensor:
    other = _permute(rng, t).reshape(t.shape)
    for dim in range(t.dim()):
        if rng.random() < 0.4:
            other = other[(slice(None),) * dim + (slice(0, 1),)]
    if rng.random() < 0.3:
        other = other.expand(t.shape)
        t = other if rng.random() < 0.5 else t
    return rng.choice(_BINARY)(*(t, other) if rng.random() < 0.5 else (other, t))


def _reduce(rng: random.Random, t: Tensor) -> Tensor:
    if t.dim() < 2:
        return t
    dims, keep = rng.sample(range(t.dim()), rng.randint(1, min(t.dim(), 3))), rng.random() < 0.5
    return rng.choice([torch.sum, torch.mean, torch.amax])(t, dims, keep)


def _normalise(rng: random.Random, t: Tensor) -> Tensor:
    if not t.dim():
        return t
    return t.softmax(_dim(rng, t)) if rng.random() < 0.5 else F.layer_norm(t, [t.shape[-1]])


def _product(rng: random.Random, t: Tensor) -> Tensor:
    if t.dim() < 2:
        return F.linear(t, _constant([3, t.shape[-1]]), _constant([3])) if t.dim() else t
    ways: list[Callable[[], Tensor]] = [
        lambda: F.linear(t, _constant([3, t.shape[-1]]), _constant([3])),
        lambda: t @ t.transpose(-1, -2) * 0.1,
        lambda: t @ (t[0] if t.dim() > 2 else t).transpose(-1, -2) * 0.1,
        lambda: t @ _constant([t.shape[-1], 2]),
        lambda: _constant([2, t.shape[-2]]) @ t,
    ]
    return rng.choice(ways)()


_STEPS: list[Callable[[random.Random, Tensor], Tensor]] = [
    *(_view, _view, _view, _permute, _permute, _permute, _expand, _repeat, _squeeze, _slice, _part, _join, _unary, _unary),
    *(_with_constant, _with_constant, _with_itself, _with_itself, _reduce, _normalise, _product),
]
