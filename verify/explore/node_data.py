"""Writes measured operators as node data of Model Explorer: a JSON file a graph and quantity, laid over the graph's nodes.

The form is that of ``GraphNodeData`` in Model Explorer's Python package (``model_explorer/node_data_builder.py``, 0.1.34):
results by the name of a node's output tensor, each with a number or a text, and a gradient of colours from the smallest number
to the largest. A quantity that no operator has is left out.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from detr2litert.verify.explore.operators import OperatorData

_LOW, _HIGH = "#ffffff", "#e8710a"
_INFINITE = 1e30
"""In place of infinity, which JSON lacks: above every finite float16 and most float32."""

Value = float | str | None


@dataclass(frozen=True)
class Quantity:
    """One thing to show of each operator.

    Attributes:
        id: part of the file's name.
        title: as Model Explorer shows it.
        value: of an operator; None for none.
    """

    id: str
    title: str
    value: Callable[[OperatorData], Value]


def _error(precision: str) -> Callable[[OperatorData], Value]:
    return lambda operator: operator.errors.get(precision)


QUANTITIES = (
    Quantity("module", "PyTorch module", lambda operator: operator.module or None),
    Quantity("rewrite", "made by the rewrites", lambda operator: " + ".join(operator.rewrites) or None),
    Quantity("magnitude", "largest value, on the CPU", lambda operator: operator.magnitude),
    Quantity("error-fp32", "error on the GPU in fp32, alone, relative", _error("fp32")),
    Quantity("error-fp16", "error on the GPU in fp16, alone, relative", _error("fp16")),
    Quantity("dispatches", "GPU dispatches, alone", lambda operator: operator.dispatches),
)


def node_data(operators: Sequence[OperatorData]) -> Mapping[str, str]:
    """Returns quantity to the text of its file, for the quantities that at least one operator has."""
    files = {}
    for quantity in QUANTITIES:
        values = {operator.outputs[0]: value for operator in operators if (value := quantity.value(operator)) is not None}
        if values:
            files[quantity.id] = json.dumps(_graph_node_data(quantity, values), indent=1, allow_nan=False) + "\n"
    return files


def _graph_node_data(quantity: Quantity, values: Mapping[str, float | str]) -> dict[str, Any]:
    data: dict[str, Any] = {"name": quantity.title, "results": {name: {"value": _plain(v)} for name, v in values.items()}}
    if not any(isinstance(value, str) for value in values.values()):
        data["gradient"] = [{"stop": 0, "bgColor": _LOW}, {"stop": 1, "bgColor": _HIGH}]
    return data


def _plain(value: float | str) -> float | str:
    return value if isinstance(value, str) or math.isfinite(value) else _INFINITE
