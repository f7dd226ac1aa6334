"""The operators of a converted graph that int8 can compute, in blocks: the unit that is quantised or left in floats.

A block is a module of the detector with what is inside it. It is found in the tensors' names, which lead to the module that an
operator was traced from (``verify.parity.taps``), and in nothing that a model is called.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from detr2litert.host_runtime.tflite.graph import Graph, Op, read_graph
from detr2litert.verify.parity.origins import GraphOrigins

STATIC_OPERATORS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
"""Operators that are computed in int8, each with constant weights.

Measured (``docs/measurements.md``, int8): the CPU and the delegate accept them and agree. A product of two activations
(BATCH_MATMUL) in int8 is lost on the CPU where the layers before it are int8 as well; a MEAN or an ADD of a layer norm is lost
everywhere. What else the quantizer can do (SOFTMAX, LOGISTIC, GELU, copies) has no weights: in int8 it only loses.
"""

MOST_BLOCKS = 16
"""Of a graph: each costs a file and a few runs to measure."""


@dataclass(frozen=True)
class Block:
    """A module, or what is left of one beside the blocks inside it.

    Attributes:
        name: the module's dotted path.
        operators: names of its operators, as the quantizer matches them: those of their first outputs.
    """

    name: str
    operators: tuple[str, ...]


def find_blocks(file: Path, most: int = MOST_BLOCKS) -> tuple[Block, ...]:
    """Returns the blocks of a float32 file in the order of the graph.

    Args:
        file: a converted graph.
        most: how many there may be; the larger modules are divided first.
    """
    graph = read_graph(file)
    origins = GraphOrigins.of(graph).operators
    traced = {op: origins.get(op.index) for op in static_operators(graph)}
    modules = {graph.tensors[op.outputs[0]].name: "" if origin is None else origin.module for op, origin in traced.items()}
    return divide(modules, most)


def static_operators(graph: Graph) -> list[Op]:
    """Returns the operators that int8 can compute: those listed, with float32 weights that are constants."""
    return [
        op
        for op in graph.ops
        if op.name in STATIC_OPERATORS
        and graph.tensors[op.inputs[1]].constant
        and graph.tensors[op.inputs[1]].dtype == "float32"
    ]


def divide(modules: Mapping[str, str], most: int) -> tuple[Block, ...]:
    """Divides operators into blocks by their modules: the largest block into the modules inside it, while that gives no more
    than ``most``. Where there are more
    operators than that, one with twice its share of them or less stays whole.

    Args:
        modules: the module of each operator, in the graph's order.
        most: number of blocks, at least 1.
    """
    small = 2 * math.ceil(len(modules) / most) if len(modules) > most else 0
    blocks: dict[str, list[str]] = {"": list(modules)}
    finished: set[str] = set()
    while open_blocks := [name for name in blocks if name not in finished]:
        name = max(open_blocks, key=lambda block: len(blocks[block]))
        parts = _divided(name, blocks[name], modules)
        whole = len(parts) == 1 and name in parts
        if whole or (len(parts) > 1 and (len(blocks[name]) <= small or len(blocks) - 1 + len(parts) > most)):
            finished.add(name)
        else:
            del blocks[name]
            for part, operators in parts.items():
                blocks.setdefault(part, []).extend(operators)
                if part == name:
                    finished.add(part)
    place = {operator: number for number, operator in enumerate(modules)}
    found = [Block(name or "(root)", tuple(operators)) for name, operators in blocks.items() if operators]
    return tuple(sorted(found, key=lambda block: place[block.operators[0]]))


def _divided(name: str, operators: Sequence[str], modules: Mapping[str, str]) -> dict[str, list[str]]:
    """Returns the operators of a block by the modules directly inside it; its own under its own name."""
    depth = len(name.split(".")) if name else 0
    parts: dict[str, list[str]] = {}
    for operator in operators:
        parts.setdefault(".".join(modules[operator].split(".")[: depth + 1]), []).append(operator)
    return parts
