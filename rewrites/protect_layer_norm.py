"""Lowers layer norm to a form in which nothing overflows fp16.

Hazard: phone GPUs compute in fp16 whatever the file's dtype. The variance of a row squares its values: at |x| above 255 a
square exceeds 65504, and trained detectors reach |x| of about 1000 before a norm.

Identity, with ``S = max(1, max|x| / 8)`` for each row and ``xs = x / S``::

    (x - mean(x)) / sqrt(var(x) + eps) = (xs - mean(xs)) / sqrt(var(xs) + eps / S^2)

The variance is never multiplied back by ``S^2``: that would overflow again. ``max|xs|`` is at most 8, so a square of the
centred row is at most 256.

Given::

    %y = aten.layer_norm(%x, [C], %w, %b, eps)

Result::

    %r = 8 / max(amax(abs(%x), -1), 8)              # 1 / S
    %s = %x * %r
    %d = %s - mean(%s, -1)
    %v = max(mean(%d * %d, -1) + eps * %r * %r, 1.2e-7)
    %y = %d * rsqrt(%v) * %w + %b

The floor of 1.2e-7 keeps a constant row at zero where ``eps / S^2`` is below fp16's smallest number; it is below every eps in
use, so it does not affect rows with S = 1. Does not fire if the target's profile requests the plain form, nor on norms over
more than the last dimension. Tolerance 1e-5 against the plain form in float32, except for rows whose standard deviation is
below 3e-4 of max|x| / 8.
Evidence: at |x| of 1068 the plain form's fp16 error is 4.5 and this form's 3.6e-3; the delegate's fp16 returns zeros for a
plain norm of rows with a standard deviation of 500.
"""

from __future__ import annotations

from torch import fx

from detr2litert.graphs.delegate import MIN_HEADROOM
from detr2litert.graphs.toolbox import Emitter, aten
from detr2litert.rewrites.contract import Findings, Miss, Site, missed, rewrite
from detr2litert.rewrites.layer_norm import layer_norms
from detr2litert.rewrites.profile import Protection
from detr2litert.rewrites.ranges import range_of

_LARGEST = 8.0
_FLOOR = 1.2e-7


@rewrite(options=("protection",), after=("fold_scales", "protect_sums"))
def protect_layer_norm(graph_module: fx.GraphModule, protection: Protection) -> Findings:
    found: list[Site | Miss] = []
    for norm in layer_norms(graph_module):
        if not _needs_protection(norm.node, protection):
            found.append(missed(norm.node, _miss_reason(norm.node, protection)))
            continue
        emit = Emitter(graph_module, norm.node)
        peak = emit(aten.amax.default, emit(aten.abs.default, norm.x), [-1], True)
        r = emit(aten.mul.Tensor, emit(aten.reciprocal.default, emit(aten.clamp_min.default, peak, _LARGEST)), _LARGEST)
        scaled = emit(aten.mul.Tensor, norm.x, r)
        centred = emit(aten.sub.Tensor, scaled, emit(aten.mean.dim, scaled, [-1], True))
        variance = emit(aten.mean.dim, emit(aten.mul.Tensor, centred, centred), [-1], True)
        small = emit(aten.mul.Tensor, emit(aten.mul.Tensor, r, r), norm.eps)
        floored = emit(aten.clamp_min.default, emit(aten.add.Tensor, variance, small), _FLOOR)
        found.append(norm.substitute(emit, emit(aten.mul.Tensor, centred, emit(aten.rsqrt.default, floored))))
    return found


def _miss_reason(node: fx.Node, protection: Protection) -> str:
    values = range_of(node)
    if protection is Protection.NONE or values is None:
        return "the target's GPU computes in fp32"
    return f"its values have a headroom of 2^{values.headroom:.1f} in fp16, of which 2^{MIN_HEADROOM:g} are required"


def _needs_protection(node: fx.Node, protection: Protection) -> bool:
    values = range_of(node)
    if protection is Protection.MEASURED:
        return values is None or values.headroom < MIN_HEADROOM
    return protection is Protection.ALL
