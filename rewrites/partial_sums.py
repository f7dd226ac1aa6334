"""The largest partial sum that an accumulator meets on the way to an operator's result.

A sum whose result fits fp16 may still pass 65504 on the way: 300 terms of +900 and 300 of -900 do. What counts is the largest
prefix of the sum in the order in which it is computed. Here that is the order in which the delegate's kernels walk: a matmul
along its inner dimension, four channels at a time; a convolution over its window's rows, columns, then channels, four at a
time; a reduction in the row-major order of what it reduces.

A reduction is followed whole. A matmul has too many sums for that: the rows whose sums of absolute products are largest are
followed, for every column, and the largest sum of absolute products is given with it, which no order of the terms can pass. To
know even that takes as long as the matmul itself, so a matmul or convolution whose sums are small by a bound that costs little
(Cauchy and Schwarz's: the norm of the longest row times that of the longest column) is left with that bound and its result.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from detr2litert.graphs.toolbox import aten, normalise_dim, pair

_FOLLOWED = 16
_SLICE = 4


@dataclass(frozen=True)
class PartialSum:
    """How large the sums of one operator get.

    Attributes:
        measured: largest |prefix| of the sums that were followed; of a sum that was not, its result.
        bound: largest sum of absolute terms, or what that cannot pass; ``measured`` is never above it.
    """

    measured: float
    bound: float


@dataclass(frozen=True)
class _Sums:
    """An operator's sums.

    Attributes:
        exact: the largest sum of absolute terms, and the prefixes ``[S, …]`` of those worth following.
        ceiling: what no sum of absolute terms passes, where that is known at little cost.
    """

    exact: Callable[[], tuple[float, Iterable[Tensor]]]
    ceiling: float = math.inf


def partial_sum(
    target: Any, args: Sequence[Any], known: PartialSum | None = None, harmless: float = 0.0, result: float = 0.0
) -> PartialSum | None:
    """The largest partial sum of a call; None for one that adds nothing up.

    Args:
        target: the ATen overload.
        args: its positional arguments, tensors with their values.
        known: what other pictures gave.
        harmless: a sum up to here decides nothing. To follow one takes longer than to compute it, so a picture whose bound is
            no larger is followed only if the bound passes all others'; any other, if it passes what they measured.
        result: largest |x| of what the call returns.
    """
    rule = _RULES.get(target)
    sums = rule(*args) if rule is not None else None
    if sums is None:
        return known
    known = known or PartialSum(0.0, 0.0)
    if sums.ceiling <= harmless:
        return PartialSum(max(result, known.measured), max(sums.ceiling, known.bound))
    bound, followed = sums.exact()
    passed = known.bound if bound <= harmless else known.measured
    measured = max((float(prefixes.abs().max()) for prefixes in followed), default=0.0) if bound > passed else 0.0
    return PartialSum(max(measured, known.measured), max(bound, known.bound))


def _prefixes(terms: Tensor) -> Tensor:
    """Of sums over the first dimension of ``[K, …]``, after every slice."""
    return _sliced(terms).sum(1).cumsum(0)


def _sliced(terms: Tensor) -> Tensor:
    """``[K, …]`` as ``[S, 4, …]``, filled up with zeros."""
    short = -len(terms) % _SLICE
    terms = torch.cat([terms, terms.new_zeros(short, *terms.shape[1:])]) if short else terms
    return terms.reshape(-1, _SLICE, *terms.shape[1:])


def _matmul(x: Tensor, y: Tensor) -> _Sums | None:
    """``[…, N, K]`` times ``[…, K, M]``, batches broadcast."""
    if min(x.dim(), y.dim()) < 2:
        return None

    def exact() -> tuple[float, Iterator[Tensor]]:
        reach = (x.abs() @ y.abs()).amax(-1)
        return float(reach.max()), _followed_rows(x, y, reach)

    return _Sums(exact, float(x.norm(dim=-1).max() * y.norm(dim=-2).max()))


def _followed_rows(x: Tensor, y: Tensor, reach: Tensor) -> Iterator[Tensor]:
    """Prefixes of the sums of the rows that reach furthest, for every column."""
    batch = list(reach.shape[:-1])
    rows = x.expand(*batch, *x.shape[-2:]).reshape(-1, x.shape[-1])
    columns = y.expand(*batch, *y.shape[-2:]).reshape(-1, *y.shape[-2:])
    for number, places in groupby(sorted(_furthest(reach)), lambda place: place // x.shape[-2]):
        # Each slice's share of every sum is a matmul of its own.
        yield torch.bmm(_sliced(rows[list(places)].t()).transpose(1, 2), _sliced(columns[number])).cumsum(0)


def _furthest(reach: Tensor) -> list[int]:
    """Flat places of the largest values."""
    places: list[int] = reach.flatten().topk(min(_FOLLOWED, reach.numel())).indices.tolist()
    return places


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> _Sums | None:
    return _matmul(x.reshape(-1, x.shape[-1]), weight.t())


def _addmm(bias: Tensor, x: Tensor, y: Tensor) -> _Sums | None:
    return _matmul(x, y)


def _conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> _Sums | None:
    if isinstance(padding, str):
        return None
    padded = F.pad(x, [side for p in reversed(pair(padding)) for side in (p, p)])
    (rows, columns), (down, right), (apart, beside) = weight.shape[2:], pair(stride), pair(dilation)
    kernels = weight.reshape(groups, -1, *weight.shape[1:])  # [G, M, C, kh, kw]

    def terms(place: int, reach: Tensor) -> Tensor:
        n, i, j = (int(part) for part in torch.unravel_index(torch.tensor(place), reach.shape))
        i, j = i * down, j * right
        window = padded[n, :, i : i + rows * apart : apart, j : j + columns * beside : beside][:, :rows, :columns]
        products = window.reshape(groups, 1, -1, rows, columns) * kernels
        return products.permute(3, 4, 2, 0, 1).flatten(0, 2)

    def exact() -> tuple[float, Iterator[Tensor]]:
        reach = F.conv2d(x.abs(), weight.abs(), None, stride, padding, dilation, groups).amax(1)
        return float(reach.max()), (_prefixes(terms(place, reach)) for place in _furthest(reach))

    return _Sums(exact, float(x.abs().max() * weight.abs().sum((1, 2, 3)).max()))


def _sum(x: Tensor, dims: Sequence[int] | None = None, *_: Any) -> _Sums:
    """A sum, and a mean as an accumulator sees it that divides at the end."""
    over = sorted({normalise_dim(d, x.dim()) for d in dims}) if dims else list(range(x.dim()))
    kept = [d for d in range(x.dim()) if d not in over]
    terms = x.permute(*over, *kept).reshape(-1, *(x.shape[d] for d in kept))
    return _Sums(lambda: (float(terms.abs().sum(0).max()), map(_prefixes, [terms])))


def _sum_all(x: Tensor, *_: Any) -> _Sums:
    return _sum(x)


def _softmax(x: Tensor, dim: int, *_: Any) -> _Sums:
    """The sum of exponentials, of which the largest is one."""
    return _sum((x - x.amax(dim, keepdim=True)).exp(), [dim])


def _layer_norm(x: Tensor, shape: Sequence[int], *_: Any) -> _Sums:
    """The variance's sum: squares of a row's distances from its mean."""
    dims = list(range(-len(shape), 0))
    return _sum((x - x.mean(dims, keepdim=True)) ** 2, dims)


_RULES: dict[Any, Callable[..., _Sums | None]] = {
    aten.linear.default: _linear,
    aten.addmm.default: _addmm,
    aten.mm.default: _matmul,
    aten.bmm.default: _matmul,
    aten.matmul.default: _matmul,
    aten.conv2d.default: _conv2d,
    aten.sum.default: _sum_all,
    aten.sum.dim_IntList: _sum,
    aten.mean.default: _sum_all,
    aten.mean.dim: _sum,
    aten.softmax.int: _softmax,
    aten._softmax.default: _softmax,
    aten.layer_norm.default: _layer_norm,
}
