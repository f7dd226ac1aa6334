"""Clamps constants to the range of fp16.

Hazard: invalid anchors are set to float32's largest number and masks to -inf. In fp16 both are infinite, and infinity times
zero is NaN.

Identity: none: values beyond ± ``constant_limit`` (1e4 by default) are clamped to it. Such constants are at positions that the
model already marks as invalid; every other element is unchanged.

Given::

    %anchors = [..., 3.4e38, ...]

Result::

    %anchors = [..., 1e4, ...]

Does not fire on integer or boolean constants, nor where every element is inside the limit.
"""

from __future__ import annotations

from torch import fx

from detr2litert.graphs.toolbox import constant_of
from detr2litert.rewrites.contract import Findings, Miss, Site, fired, rewrite


@rewrite(options=("constant_limit",), after=("evaluate_constants",))
def bound_constants(graph_module: fx.GraphModule, constant_limit: float) -> Findings:
    found: list[Site | Miss] = []
    limit = constant_limit
    for node in graph_module.graph.nodes:
        value = constant_of(graph_module, node)
        if value is None or not value.is_floating_point() or not (value.abs() > limit).any():
            continue
        count = int((value.abs() > limit).sum())
        setattr(graph_module, str(node.target), value.clamp(-limit, limit))
        found.append(fired(node, f"{count} of {value.numel()} elements clamped to ±{limit:g}"))
    return found
