"""Computes the largest partial sum of an operator's accumulator.

A sum whose result fits fp16 may have partial sums above 65504: 300 terms of +900 and 300 of -900 do. The largest prefix of the
sum, in the order of computation, decides. Here that is the order of the delegate's kernels: a matmul along its inner dimension,
four channels at a time; a convolution over its window's rows, columns, then channels, four at a time; a reduction in row-major
order of its operand.

All prefixes of a reduction are computed. A matmul has too many: the prefixes of the rows with the largest sums of absolute
products are computed, for every column, and the largest sum of absolute products is recorded as a bound for any order of the
terms. Even that takes as long as the matmul itself, so for a matmul or convolution whose sums are small by a cheap bound
(Cauchy-Schwarz: the norm of the longest row times that of the longest column), that bound and its result are recorded instead.
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

_TOP_SUMS = 16
_SLICE = 4


@dataclass(frozen=True)
class PartialSum:
    """The magnitude of one operator's partial sums.

    Attributes:
        measured: largest computed |prefix|; the largest |result| if no prefixes were computed.
        bound: largest sum of absolute terms, or an upper bound of it; ``measured`` is never above it.
    """

    measured: float
    bound: float


@dataclass(frozen=True)
class _Sums:
    """An operator's sums.

    Attributes:
        exact: computes the largest sum of absolute terms, and the prefixes ``[S, …]`` of the largest sums.
        ceiling: an upper bound of the sums of absolute terms, if there is a cheap one.
    """

    exact: Callable[[], tuple[float, Iterable[Tensor]]]
    ceiling: float = math.inf


def partial_sum(
    target: Any, args: Sequence[Any], known: PartialSum | None = None, safe: float = 0.0, result: float = 0.0
) -> PartialSum | None:
    """Returns the largest partial sum of a call; None for one that does not sum.

    Args:
        target: the ATen overload.
        args: its positional arguments, with the tensors' values.
        known: the result for other images.
        safe: a sum up to this size needs no protection. Computing prefixes takes longer than the sum, so they are computed for
            an image with a bound up to this size only if it exceeds all other images' bounds, and otherwise if it exceeds their
            measured sums.
        result: largest |x| of the call's result.
    """
    rule = _RULES.get(target)
    sums = rule(*args) if rule is not None else None
    if sums is None:
        return known
    known = known or PartialSum(0.0, 0.0)
    if sums.ceiling <= safe:
        return PartialSum(max(result, known.measured), max(sums.ceiling, known.bound))
    bound, prefix_tensors = sums.exact()
    largest_known = known.bound if bound <= safe else known.measured
    measured = max((float(prefixes.abs().max()) for prefixes in prefix_tensors), default=0.0) if bound > largest_known else 0.0
    return PartialSum(max(measured, known.measured), max(bound, known.bound))


def _prefixes(terms: Tensor) -> Tensor:
    """Returns the prefixes, after every slice, of sums over the first dimension of ``[K, …]``."""
    return _sliced(terms).sum(1).cumsum(0)


def _sliced(terms: Tensor) -> Tensor:
    """Reshapes ``[K, …]`` to ``[S, 4, …]``, padded with zeros."""
    short = -len(terms) % _SLICE
    terms = torch.cat([terms, terms.new_zeros(short, *terms.shape[1:])]) if short else terms
    return terms.reshape(-1, _SLICE, *terms.shape[1:])


def _matmul(x: Tensor, y: Tensor) -> _Sums | None:
    """Returns the sums of ``[…, N, K]`` times ``[…, K, M]``, batches broadcast."""
    if min(x.dim(), y.dim()) < 2:
        return None

    def exact() -> tuple[float, Iterator[Tensor]]:
        reach = (x.abs() @ y.abs()).amax(-1)
        return float(reach.max()), _row_prefixes(x, y, reach)

    return _Sums(exact, float(x.norm(dim=-1).max() * y.norm(dim=-2).max()))


def _row_prefixes(x: Tensor, y: Tensor, reach: Tensor) -> Iterator[Tensor]:
    """Yields the prefixes of the rows with the largest sums of absolute products, for every column."""
    batch = list(reach.shape[:-1])
    rows = x.expand(*batch, *x.shape[-2:]).reshape(-1, x.shape[-1])
    columns = y.expand(*batch, *y.shape[-2:]).reshape(-1, *y.shape[-2:])
    for number, places in groupby(sorted(_largest_positions(reach)), lambda place: place // x.shape[-2]):
        # Each slice's term of every sum is one matmul.
        yield torch.bmm(_sliced(rows[list(places)].t()).transpose(1, 2), _sliced(columns[number])).cumsum(0)


def _largest_positions(reach: Tensor) -> list[int]:
    """Returns the flat indices of the largest values."""
    places: list[int] = reach.flatten().topk(min(_TOP_SUMS, reach.numel())).indices.tolist()
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
        return float(reach.max()), (_prefixes(terms(place, reach)) for place in _largest_positions(reach))

    return _Sums(exact, float(x.abs().max() * weight.abs().sum((1, 2, 3)).max()))


def _sum(x: Tensor, dims: Sequence[int] | None = None, *_: Any) -> _Sums:
    """Returns the sums of a sum, or of a mean that divides after accumulating."""
    over = sorted({normalise_dim(d, x.dim()) for d in dims}) if dims else list(range(x.dim()))
    remaining = [d for d in range(x.dim()) if d not in over]
    terms = x.permute(*over, *remaining).reshape(-1, *(x.shape[d] for d in remaining))
    return _Sums(lambda: (float(terms.abs().sum(0).max()), map(_prefixes, [terms])))


def _sum_all(x: Tensor, *_: Any) -> _Sums:
    return _sum(x)


def _softmax(x: Tensor, dim: int, *_: Any) -> _Sums:
    """Returns the sum of exponentials, the largest of which is one."""
    return _sum((x - x.amax(dim, keepdim=True)).exp(), [dim])


def _layer_norm(x: Tensor, shape: Sequence[int], *_: Any) -> _Sums:
    """Returns the sum in the variance: squared distances of a row from its mean."""
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
