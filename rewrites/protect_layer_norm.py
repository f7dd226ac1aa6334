"""Write layer norm so that nothing in it overflows fp16.

Hazard: phones compute in fp16 whatever the file says. The variance of a row squares its values: at |x| above 255 a square
passes 65504, and trained detectors reach |x| of about 1000 before a norm.

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
use, so rows with S = 1 never meet it. Does not fire when the target's profile keeps the plain form, nor on norms over more than
the last dimension. Tolerance 1e-5 against the plain form in float32, except for rows whose spread is below 3e-4 of max|x| / 8.
Evidence: at |x| of 1068 the plain form's fp16 error is 4.5 and this form's 3.6e-3; the delegate's fp16 returns zeros for a
plain norm of rows with a standard deviation of 500.
"""

from __future__ import annotations

from torch import fx

from rewrites.base import Emitter, Site, argument, aten, calls, module_of, replace, value_of
from rewrites.profile import Profile, Protection
from rewrites.ranges import SPARE, range_of

_LARGEST = 8.0
_FLOOR = 1.2e-7


def protect_layer_norm(graph_module: fx.GraphModule, profile: Profile) -> list[Site]:
    fired = []
    for node in calls(graph_module, aten.layer_norm.default):
        if len(node.args[1]) != 1 or not _asked_for(node, profile.protection):  # type: ignore[arg-type]
            continue
        emit = Emitter(graph_module, node, "protect_layer_norm")
        x, weight, bias = node.args[0], argument(node, 2, "weight", None), argument(node, 3, "bias", None)
        eps = argument(node, 4, "eps", 1e-5)
        largest = emit(aten.clamp_min.default, emit(aten.amax.default, emit(aten.abs.default, x), [-1], True), _LARGEST)
        r = emit(aten.mul.Tensor, emit(aten.reciprocal.default, largest), _LARGEST)
        scaled = emit(aten.mul.Tensor, x, r)
        centred = emit(aten.sub.Tensor, scaled, emit(aten.mean.dim, scaled, [-1], True))
        variance = emit(aten.mean.dim, emit(aten.mul.Tensor, centred, centred), [-1], True)
        small = emit(aten.mul.Tensor, emit(aten.mul.Tensor, r, r), eps)
        floored = emit(aten.clamp_min.default, emit(aten.add.Tensor, variance, small), _FLOOR)
        y = emit(aten.mul.Tensor, centred, emit(aten.rsqrt.default, floored))
        y = y if weight is None else emit(aten.mul.Tensor, y, weight)
        y = y if bias is None else emit(aten.add.Tensor, y, bias)
        fired.append(Site(node.name, module_of(node), f"layer norm over {value_of(node).shape[-1]}, eps {eps:g}"))
        replace(node, y)
    return fired


def _asked_for(node: fx.Node, protection: Protection) -> bool:
    values = range_of(node)
    if protection is Protection.MEASURED:
        return values is None or values.headroom < SPARE
    return protection is Protection.ALL
