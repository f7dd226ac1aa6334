"""Small models with planted faults and a NumPy "PyTorch" beside them, whose nodes are named as the conversion names them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from detr2litert.host_runtime.tflite.graph import read_graph
from detr2litert.host_runtime.tflite.writer import ModelWriter

Arrays = dict[str, np.ndarray]
N, C = 6, 16


def _random(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


WEIGHTS: Arrays = {
    "w1": _random(1, C, C) / 4, "b1": _random(2, C), "w2": _random(3, C, C) / 4, "b2": _random(4, C),
    "scale": 1 + _random(5, C) / 4, "w3": _random(6, 4, C) / 4, "b3": _random(7, 4),
}  # fmt: skip


def image(seed: int = 0) -> Arrays:
    return {"x": _random(100 + seed, N, C)}


def reference(inputs: Mapping[str, np.ndarray], weights: Mapping[str, np.ndarray] = WEIGHTS) -> tuple[Arrays, Arrays]:
    """The network in NumPy: outputs by signature name, and every node by fx name."""
    w = {name: value.astype(np.float64) for name, value in weights.items()}
    nodes: dict[str, np.ndarray] = {"linear": inputs["x"] @ w["w1"].T + w["b1"]}
    nodes["relu"] = np.maximum(nodes["linear"], 0)
    nodes["mul"] = nodes["relu"] * w["scale"]
    nodes["linear_1"] = nodes["mul"] @ w["w2"].T + w["b2"]
    nodes["add"] = nodes["linear_1"] + inputs["x"]
    nodes["t"] = nodes["add"].T
    nodes["linear_2"] = nodes["add"] @ w["w3"].T + w["b3"]
    nodes = {name: value.astype(np.float32) for name, value in nodes.items()}
    return {"boxes": nodes["linear_2"], "memory": nodes["mul"]}, nodes


def trace(inputs: Mapping[str, np.ndarray]) -> Arrays:
    return reference(inputs)[1]


def write_net(path: Path, changes: Mapping[str, np.ndarray] | None = None, *, half: bool = False) -> Path:
    """The network as a .tflite file; ``changes`` replaces weights, ``half`` stores them in fp16."""
    weights = {**WEIGHTS, **(changes or {})}
    w = ModelWriter()

    def constant(name: str) -> str:
        if not half:
            return w.constant(name, weights[name])
        with np.errstate(over="ignore"):  # for a test
            packed = w.constant(f"{name}_half", weights[name].astype(np.float16))
        return w.op("DEQUANTIZE", [packed], {name: weights[name].shape})

    def linear(source: str, weight: str, bias: str, out: str, width: int) -> str:
        return w.op("FULLY_CONNECTED", [source, constant(weight), constant(bias)], {out: (N, width)})

    x = w.input("x", (N, C))
    hidden = linear(x, "w1", "b1", "net.fc1||_linear;1", C)
    active = w.op("RELU", [hidden], {"net.act||_relu;": (N, C)})
    scaled = w.op("MUL", [active, constant("scale")], {"net.norm|protect_layer_norm+reduce_rank|_mul;3": (N, C)})
    out = linear(scaled, "w2", "b2", "net.fc2||_linear_1;", C)
    total = w.op("ADD", [out, x], {"net||_add;;net||_t;": (N, C)})
    linear(total, "w3", "b3", "boxes", 4)
    # A leaf, as the conversion writes outputs.
    w.op("RESHAPE", [scaled, w.constant("shape", np.array([N, C], np.int32))], {"memory": (N, C)}, newShape=[N, C])
    return w.write(path, ["boxes", "memory"])


def write_gpu_fault(path: Path) -> Path:
    """A network whose rank-2 tensor is added to a rank-3 constant: the delegate accepts it and computes something else (W1)."""
    w = ModelWriter()
    hidden = w.op("FULLY_CONNECTED", [w.input("x", (N, C)), w.constant("w1", WEIGHTS["w1"]), w.constant("b1", WEIGHTS["b1"])],
                  {"net.fc1||_linear;": (N, C)})  # fmt: skip
    for step in range(3):
        hidden = w.op("RELU", [hidden], {f"net.before||_relu_{step};": (N, C)})
        hidden = w.op("SIN", [hidden], {f"net.before||_sin_{step};": (N, C)})
    hidden = w.op("ADD", [hidden, w.constant("pos", _random(8, 1, N, C))], {"net.embed|reduce_rank|_add;": (1, N, C)})
    for step in range(3):
        hidden = w.op("SIN", [hidden], {f"net.after||_sin_{step + 3};": (1, N, C)})
        hidden = w.op("EXP", [hidden], {f"net.after||_exp_{step};": (1, N, C)})
    w.op("LOGISTIC", [hidden], {"boxes": (1, N, C)})
    return w.write(path, ["boxes"])


def write_lost_output(path: Path) -> Path:
    """An ADD that is an output and is read by a SUM: the delegate returns its operand (LiteRT issue 8599)."""
    w = ModelWriter()
    x = w.input("x", (N, C))
    total = w.op("ADD", [w.op("SIN", [x], {"net||_sin;": (N, C)}), w.op("EXP", [x], {"net||_exp;": (N, C)})], {"total": (N, C)})
    w.op("SUM", [total, w.constant("axes", np.array([1], np.int32))], {"sum": (N,)})
    return w.write(path, ["sum", "total"])


def tensor_named(path: Path, start: str) -> int:
    return next(t.index for t in read_graph(path).tensors if t.name.startswith(start))
