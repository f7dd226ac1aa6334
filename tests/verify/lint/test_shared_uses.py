"""The lint's work grows with the uses of a graph's tensors: 2000 tensors, each read by 2000 operators, took for ever."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from detr2litert.host_runtime.tflite.graph import read_graph
from detr2litert.host_runtime.tflite.writer import ModelWriter
from detr2litert.verify.lint.op_lint import lint_graph
from detr2litert.verify.lint.op_support import load_support

SHAPE, HALF = (1, 4, 8), (1, 4, 4)
Graph = Callable[[ModelWriter, int], list[str]]


def _padded(w: ModelWriter, count: int) -> list[str]:
    """Pads by nothing, all of one tensor, all read by every operator."""
    x, nothing = w.input("x", SHAPE), w.constant("nothing", np.zeros((3, 2), np.int32))
    pads = [w.op("PAD", [x, nothing], {f"pad{i}": SHAPE}) for i in range(count)]
    return [w.op("CONCATENATION", pads, {f"y{i}": (1, 4, 8 * count)}, axis=2) for i in range(count)]


def _parts(w: ModelWriter, count: int) -> list[str]:
    """One SPLIT whose parts are read by every operator."""
    axis, x = w.constant("axis", np.array(2, np.int32)), w.input("x", (1, 4, 8 * count))
    parts = {f"part{i}": SHAPE for i in range(count)}
    w.op("SPLIT", [axis, x], parts, numSplits=count)
    return [w.op("CONCATENATION", list(parts), {f"y{i}": (1, 4, 8 * count)}, axis=2) for i in range(count)]


def _zeros(w: ModelWriter, count: int) -> list[str]:
    """Constants that every operator before a pool reads."""
    shape, wide = (1, 4, 4, 8), (1, 4, 4 * (count + 1), 8)
    x, zeros = w.input("x", shape), [w.constant(f"zero{i}", np.zeros(shape, np.float32)) for i in range(count)]
    window = {"filterWidth": 1, "filterHeight": 1, "strideW": 1, "strideH": 1}
    joined = [w.op("CONCATENATION", [x, *zeros], {f"joined{i}": wide}, axis=2) for i in range(count)]
    return [w.op("MAX_POOL_2D", [tensor], {f"y{i}": wide}, **window) for i, tensor in enumerate(joined)]


def _dequantized(w: ModelWriter, count: int) -> list[str]:
    """A constant behind a chain of DEQUANTIZEs."""
    count *= 4
    tensor = w.constant("half", np.zeros(SHAPE, np.float16))
    for i in range(count):
        tensor = w.op("DEQUANTIZE", [tensor], {f"tensor{i}": SHAPE})
    x = w.input("x", SHAPE)
    return [w.op("ADD", [x, tensor], {f"y{i}": SHAPE}) for i in range(count)]


def _chained(w: ModelWriter, count: int) -> list[str]:
    """SPLITs whose first parts are added up in one chain, so that each of them leads to all the operators after it."""
    count *= 4
    axis, x = w.constant("axis", np.array(2, np.int32)), w.input("x", SHAPE)
    for i in range(count):
        w.op("SPLIT", [axis, x], {f"a{i}": HALF, f"b{i}": HALF}, numSplits=2)
    total = "a0"
    for i in range(1, count):
        total = w.op("ADD", [total, w.op("SIN", [f"a{i}"], {f"s{i}": HALF})], {f"sum{i}": HALF})
    return [total, *(f"b{i}" for i in range(count))]


def _seconds(graph: Graph, count: int, path: Path) -> float:
    """CPU seconds of the lint on a graph of this many tensors."""
    w = ModelWriter()
    read = read_graph(w.write(path, graph(w, count)))
    start = time.process_time()
    lint_graph(read, note=load_support().elsewhere())
    return time.process_time() - start


@pytest.mark.parametrize(("graph", "uses"), [(_padded, 4), (_parts, 4), (_zeros, 4), (_dequantized, 2), (_chained, 2)])
def test_twice_the_graph_takes_as_much_longer_as_it_has_more_uses(graph: Graph, uses: int, tmp_path: Path) -> None:
    """One more factor of the size would double the ratio."""
    small, large = (min(_seconds(graph, count, tmp_path / f"{count}.tflite") for _ in range(2)) for count in (150, 300))
    assert large < 1.6 * uses * small + 0.05, (small, large)


@pytest.mark.slow
def test_two_thousand_tensors_in_two_thousand_operators(tmp_path: Path) -> None:
    assert _seconds(_padded, 2000, tmp_path / "large.tflite") < 60
