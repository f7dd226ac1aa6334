"""Host programs: a whole selection computes what PyTorch computes, and a program that cannot run is refused."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
import torch

from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.host_step import HostStep
from detr2litert.host_runtime.manifest import HostOp, HostProgram, TensorSpec

F = torch.nn.functional


def run(op: str, *tensors: np.ndarray, **attributes) -> np.ndarray:
    names = tuple(f"x{i}" for i in range(len(tensors)))
    program = HostProgram(names, (HostOp(op, names, "y", attributes),), ("y",))
    return HostStep(program)(dict(zip(names, tensors, strict=True)))["y"]


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


X = normal(1, 5, 8) * 3
T = torch.from_numpy
W, B = normal(4, 8, seed=1), normal(4, seed=2)
I3 = np.array([[4, 0, 4]], np.int32)


def test_division_by_zero_and_nan_follow_pytorch_without_a_warning(recwarn):
    x = np.array([[np.inf, -np.inf, np.nan, -200.0, 200.0, 0.0]], np.float32)
    np.testing.assert_array_equal(run("div", x, np.zeros_like(x)), (T(x) / 0).numpy())
    assert run("topk", x, k=6, axis=1).tolist() == [[2, 0, 4, 5, 3, 1]]
    assert not recwarn.list


def selection(count: int = 576) -> tuple[HostProgram, dict[str, np.ndarray]]:
    program = HostProgram(
        inputs=("scores", "memory"),
        constants=(TensorSpec("grid", (1, count, 4)), TensorSpec("w", (4, 32)), TensorSpec("b", (4,))),
        ops=(
            HostOp("topk", ("scores",), "i", {"k": 300, "axis": 1}),
            HostOp("gather", ("memory", "i"), "queries", {"axis": 1}),
            HostOp("gather", ("grid", "i"), "anchors", {"axis": 1}),
            HostOp("linear", ("queries", "w", "b"), "delta"),
            HostOp("add", ("anchors", "delta"), "boxes"),
        ),
        outputs=("queries", "boxes"),
    )
    return program, {"grid": normal(1, count, 4), "w": normal(4, 32), "b": normal(4)}


def test_a_whole_selection_is_torchs():
    program, constants = selection()
    scores, memory = normal(1, 576, seed=7), normal(1, 576, 32, seed=8)
    out = HostStep(program, constants)({"scores": scores, "memory": memory, "unused": memory})
    index = torch.topk(T(scores), 300, dim=1)[1][0]
    queries = T(memory)[:, index]
    boxes = T(constants["grid"])[:, index] + F.linear(queries, T(constants["w"]), T(constants["b"]))
    assert set(out) == {"queries", "boxes"}
    np.testing.assert_array_equal(out["queries"], queries.numpy())
    np.testing.assert_allclose(out["boxes"], boxes.numpy(), atol=1e-5)
    assert all(tensor.flags.c_contiguous for tensor in out.values())


def test_trace_gives_the_intermediates():
    program, constants = selection()
    known = HostStep(program, constants).trace({"scores": normal(1, 576), "memory": normal(1, 576, 32)})
    assert known["i"].dtype == np.int32
    assert {"grid", "i", "delta", "boxes", "memory"} <= set(known)


def program_of(*ops: HostOp, outputs: tuple[str, ...] = ("y",), constants: tuple[TensorSpec, ...] = ()) -> HostProgram:
    return HostProgram(("x",), ops, outputs, constants)


@pytest.mark.parametrize(
    ("program", "words"),
    [
        (program_of(HostOp("fly", ("x",), "y")), "op 0 'fly' giving 'y' is not an op this runtime knows"),
        (program_of(HostOp("relu", ("x", "x"), "y")), "'relu' giving 'y' has 2 inputs, not 1 to 1"),
        (program_of(HostOp("topk", ("x",), "y", {"k": 3})), "lacks or does not know the attribute axis"),
        (program_of(HostOp("relu", ("x",), "y", {"slope": 3})), "lacks or does not know the attribute slope"),
        (program_of(HostOp("relu", ("later",), "y")), "reads 'later', which is not computed before it"),
        (program_of(HostOp("relu", ("x",), "x")), "assigns that name a second time"),
        (program_of(HostOp("relu", ("x",), "z")), "output 'y' is never computed"),
        (program_of(HostOp("relu", ("x",), "y"), outputs=("y", "y")), "outputs name a tensor twice"),
        (program_of(HostOp("relu", ("x",), "y"), constants=(TensorSpec("x", (2,)),)), "'x' assigns that name a second time"),
        (program_of(HostOp("gelu", ("x",), "y", {"approximate": "cubic"})), "has approximate = 'cubic', not 'none' or 'tanh'"),
        (
            program_of(HostOp("topk", ("x",), "y", {"k": 0, "axis": 0})),
            "'topk' giving 'y' has k = 0, not a whole number",
        ),
        (program_of(HostOp("topk", ("x",), "y", {"k": True, "axis": 0})), "has k = True, not a whole number"),
        (program_of(HostOp("topk", ("x",), "y", {"k": 1, "axis": 0.5})), "has axis = 0.5, not a whole number from -4 to 3"),
        (program_of(HostOp("topk", ("x",), "y", {"k": 1, "axis": 7})), "has axis = 7, not a whole number from -4 to 3"),
        (program_of(HostOp("clamp", ("x",), "y", {"min": None})), "has min = None, not a number"),
        (program_of(HostOp("clamp", ("x",), "y", {"min": math.nan})), "has min = nan, not a number"),
        (program_of(HostOp("reshape", ("x",), "y", {"shape": 3})), "has shape = 3, not a list of whole numbers"),
        (program_of(HostOp("where", ("x", "x", "x"), "y")), "op 0 'where' giving 'y' is not an op this runtime knows"),
        (program_of(HostOp("add", ("x", "c"), "y"), constants=(TensorSpec("c", (2,)),)), "constant 'c' is missing"),
    ],
)
def test_a_program_that_cannot_run_is_refused_when_made(program, words):
    with pytest.raises(UserError, match=words):
        HostStep(program)


def test_a_constant_of_another_shape_is_refused():
    program = program_of(HostOp("add", ("x", "c"), "y"), constants=(TensorSpec("c", (2,)),))
    with pytest.raises(UserError, match=r"'c' is float32\[3\], not float32\[2\]"):
        HostStep(program, {"c": np.zeros(3, np.float32)})


def test_with_all_shapes_given_a_program_is_refused_when_made():
    program = program_of(HostOp("topk", ("x",), "i", {"k": 6, "axis": 1}), HostOp("relu", ("i",), "y"))
    with pytest.raises(UserError, match=r"'topk' giving 'i' cannot take 'x' \[1, 5\]: cannot take the 6 largest of 5; make"):
        HostStep(program, input_specs=(TensorSpec("x", (1, 5)),))
    with pytest.raises(UserError, match=r"'relu' giving 'y' cannot take 'i' .*: input 'x' is int32, not float32; make"):
        HostStep(program, input_specs=(TensorSpec("x", (1, 6)),))
    with pytest.raises(UserError, match=r"input 'x' is int64\[1, 6\]: rank or dtype is not supported"):
        HostStep(program, input_specs=(TensorSpec("x", (1, 6), "int64"),))


class TestWrongTensors:
    step = HostStep(program_of(HostOp("relu", ("x",), "y")), input_specs=(TensorSpec("x", (1, 2)),))

    def test_missing(self):
        with pytest.raises(ValueError, match="needs 'x' but was given z"):
            self.step({"z": np.zeros((1, 2), np.float32)})

    @pytest.mark.parametrize("tensor", [np.zeros((2, 1), np.float32), np.zeros((1, 2))])
    def test_not_as_graph_a_gives_it(self, tensor):
        with pytest.raises(ValueError, match=r"'x' is float\d\d\[\d, \d\], not float32\[1, 2\]"):
            self.step({"x": tensor})

    def test_rank_5_and_complex(self):
        free = HostStep(program_of(HostOp("relu", ("x",), "y")))
        for tensor in (np.zeros((1,) * 5, np.float32), np.zeros(1, complex)):
            with pytest.raises(ValueError, match="rank or dtype is not supported"):
                free({"x": tensor})
        with pytest.raises(ValueError, match="gives rank 5"):
            run("reshape", X, shape=[1, 1, 1, 5, 8])

    @pytest.mark.parametrize(
        ("op", "tensors", "attributes", "words"),
        [
            ("topk", (X,), {"k": 6, "axis": 1}, "op 0 'topk' giving 'y' cannot take 'x0'"),
            ("topk", (X,), {"k": 1, "axis": 3}, "'topk' .* axis = 3 is not one of rank 3"),
            ("gather", (X, np.array([[5]], np.int32)), {"axis": 1}, r"outside 0\.\.4"),
            ("gather", (X, np.array([[-1]], np.int32)), {"axis": 1}, r"outside 0\.\.4"),
            ("gather", (X, np.array([[0], [1]], np.int32)), {"axis": 1}, "do not index axis 1"),
            ("gather", (X, np.array([[0.0]], np.float32)), {"axis": 1}, "not integers"),
            ("linear", (X, W.T), {}, "'linear'"),
            ("add", (X, B), {}, r"'x0' \[1, 5, 8\], 'x1' \[4\]"),
            ("reshape", (X,), {"shape": [3, 3]}, "'reshape'"),
            ("concat", (X, W), {"axis": 1}, "'concat'"),
            ("gather", (X[0, 0, 0], np.array([0], np.int32)), {"axis": 0}, "input 'x' has rank 0, not 1 to 4"),
            ("layer_norm", (X[0, 0, 0],), {"eps": 1e-5}, "input 'x' has rank 0, not 1 to 4"),
            ("div", (I3, I3), {}, "input 'x' is int32, not float32"),
            ("slice", (X,), {"axis": 1, "start": 3, "end": 3}, "nothing of 5 lies from 3 to 3"),
            ("clamp", (X,), {}, "neither min nor max"),
            ("add", (np.zeros((1, 2**14, 1), np.float32), np.zeros((2**14,), np.float32)), {}, "more than 67108864"),
        ],
    )
    def test_an_op_that_cannot_take_them_says_so(self, op, tensors, attributes, words):
        with pytest.raises(ValueError, match=words):
            run(op, *tensors, **attributes)


@pytest.mark.parametrize("count", [576, 8400])
def test_it_takes_milliseconds(count):
    """0.2 ms here; the limit only catches a quadratic or a per-element implementation."""
    program, constants = selection(count)
    step = HostStep(program, constants)
    tensors = {"scores": normal(1, count), "memory": normal(1, count, 32)}
    times = []
    for _ in range(20):
        start = time.perf_counter()
        step(tensors)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.02
