"""Matches and replaces ATen layer norms over the last dimension, for the two rewrites of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import fx

from detr2litert.graphs.toolbox import Emitter, argument, aten, calls, replace, value_of
from detr2litert.rewrites.contract import Site, fired


@dataclass(frozen=True)
class LayerNorm:
    """``aten.layer_norm(x, [C], weight, bias, eps)``, with weight and bias None if absent."""

    node: fx.Node
    x: fx.Node
    weight: fx.Node | None
    bias: fx.Node | None
    eps: float

    def substitute(self, emit: Emitter, normalised: fx.Node) -> Site:
        """Replaces the norm with ``normalised * weight + bias``."""
        y = normalised if self.weight is None else emit(aten.mul.Tensor, normalised, self.weight)
        y = y if self.bias is None else emit(aten.add.Tensor, y, self.bias)
        detail = f"layer norm over {value_of(self.node).shape[-1]}, eps {self.eps:g}"
        site = fired(self.node, detail)
        replace(self.node, y)
        return site


def layer_norms(graph_module: fx.GraphModule) -> Iterator[LayerNorm]:
    """Yields the graph's norms over one dimension; the converter lowers the others."""
    for node in calls(graph_module, aten.layer_norm.default):
        x, shape = node.args[:2]
        if isinstance(x, fx.Node) and len(shape) == 1:  # type: ignore[arg-type]
            weight, bias = argument(node, 2, "weight", None), argument(node, 3, "bias", None)
            yield LayerNorm(node, x, weight, bias, argument(node, 4, "eps", 1e-5))
