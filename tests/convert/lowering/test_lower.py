"""Lowering a rewritten part to a .tflite: real names, traceable tensors, the same numbers, half the size."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from detr2litert.convert.half_precision import store_half
from detr2litert.convert.lowering.lower import lower
from detr2litert.graphs.partition import Part
from detr2litert.host_runtime.tflite.graph import Graph, read_graph
from detr2litert.rewrites import driver, pipeline
from detr2litert.rewrites.profile import Profile
from detr2litert.rewrites.program import export
from detr2litert.verify.delegate.run import run_model


class Block(nn.Module):
    """A convolution, a norm and a matmul, with two inputs and two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 4, stride=4)
        self.norm = nn.LayerNorm(32)
        self.head = nn.Linear(32, 64)

    def forward(self, image: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        tokens = self.norm(self.stem(image).flatten(2).transpose(1, 2))
        return self.head(tokens) + bias, tokens.max(-1).values


@dataclass(frozen=True)
class Case:
    """A rewritten part, its inputs, what PyTorch computes, and the file."""

    part: Part
    inputs: dict[str, Tensor]
    expected: dict[str, Tensor]
    path: Path


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    torch.manual_seed(0)
    module = Block().eval()
    inputs = {"image": torch.randn(1, 3, 16, 16), "bias": torch.randn(1, 16, 64)}
    graph_module = export(module, tuple(inputs.values()))
    for steps in (pipeline.NORMALISE, pipeline.IN_EACH_GRAPH):
        driver.run(steps, graph_module, Profile())
    path = tmp_path_factory.mktemp("lowering") / "block.tflite"
    part = Part(graph_module, tuple(inputs), ("features", "peaks"))
    lower(part, path)
    with torch.no_grad():
        expected = dict(zip(("features", "peaks"), module(*inputs.values()), strict=True))
    return Case(part, inputs, expected, path)


def test_the_signature_has_real_names(case: Case) -> None:
    graph = read_graph(case.path)
    assert graph.signature == "serving_default"
    assert set(graph.signature_inputs) == {"image", "bias"}
    assert set(graph.signature_outputs) == {"features", "peaks"}


def test_every_computed_tensor_names_module_and_rewrite(
    case: Case,
) -> None:
    graph: Graph = read_graph(case.path)
    names = [graph.tensors[op.outputs[0]].name for op in graph.ops]
    assert any(name.startswith(("model.stem|", "stem|")) for name in names), names
    assert any("protect_layer_norm" in name.split("|")[1] for name in names if "norm" in name.split("|")[0]), names
    assert sum("|" in name for name in names) > 0.8 * len(names)


def test_computes_the_same(case: Case) -> None:
    path, inputs, expected = case.path, case.inputs, case.expected
    run = run_model(path, [{name: value.numpy() for name, value in inputs.items()}], accelerator="cpu")
    assert run.ok, run.error
    for name, value in expected.items():
        np.testing.assert_allclose(run.outputs[0][name], value.numpy(), atol=1e-4)


def test_half_precision_halves_the_weights_and_little_else(case: Case, tmp_path: Path) -> None:
    path, inputs, expected = case.path, case.inputs, case.expected
    half = tmp_path / "half.tflite"
    store_half(path, half)
    assert half.stat().st_size < path.stat().st_size - 32 * 64
    dtypes = {tensor.dtype for tensor in read_graph(half).tensors if tensor.constant}
    assert "float16" in dtypes
    run = run_model(half, [{name: value.numpy() for name, value in inputs.items()}], accelerator="cpu")
    for name, value in expected.items():
        found = run.outputs[0][name]
        assert np.corrcoef(found.ravel(), value.numpy().ravel())[0, 1] > 0.999
    again = tmp_path / "again.tflite"
    store_half(path, again)
    assert again.read_bytes() == half.read_bytes()


def test_a_full_disk_is_an_error_and_does_not_end_the_process(case: Case) -> None:
    with pytest.raises(OSError, match="No space left on device"):
        lower(case.part, Path("/dev/full"))
