"""The top-k of one graph: a TOPK_V2 whose row is filled up, right on the CPU and on the delegate, in fp32 and in fp16."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import fx

from detr2litert.convert.lowering.lower import lower
from detr2litert.graphs.native_ops import GATHER_ROWS, TOP_ROWS
from detr2litert.graphs.partition import Part
from detr2litert.graphs.toolbox import aten, evaluate_meta, graph_module_of
from detr2litert.host_runtime.tflite.graph import read_graph
from detr2litert.verify.arrays import Arrays
from detr2litert.verify.delegate.adapters import Driver
from detr2litert.verify.delegate.run import Job, run_models
from detr2litert.verify.gates import Verdict
from detr2litert.verify.lint.op_lint import check_lint

SIZES = ((24, 5), (301, 100), (303, 303), (8402, 300))
"""Scores and queries; the last are more than fp16 has whole numbers for."""


def selecting(path: Path, length: int, queries: int) -> Path:
    """A graph that adds one to its scores, selects the best, and gathers their rows of a table."""
    graph = fx.Graph()
    scores, table = graph.placeholder("scores"), graph.placeholder("table")
    scores.meta["val"], table.meta["val"] = torch.empty(length, device="meta"), torch.empty(length, 8, device="meta")
    nodes = [graph.call_function(aten.add.Tensor, (scores, 1.0))]
    nodes.append(graph.call_function(TOP_ROWS, (nodes[0], queries)))
    nodes.append(graph.call_function(GATHER_ROWS, (table, nodes[1])))
    for node in nodes:
        node.meta["val"] = evaluate_meta(node)
    graph.output((nodes[2], nodes[1]))
    lower(Part(graph_module_of(torch.nn.Module(), graph), ("scores", "table"), ("rows", "indices")), path)
    return path


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[int, int], Path]:
    folder = tmp_path_factory.mktemp("top")
    return {size: selecting(folder / f"{size[0]}.tflite", *size) for size in SIZES}


def inputs(length: int) -> tuple[Arrays, ...]:
    """Distinct, mostly tied, negative and equal scores, all numbers of fp16; a row of the table is its own number."""
    rng = np.random.default_rng(length)
    rows = np.arange(length, dtype=np.float32)
    table = np.zeros((length, 8), np.float32)
    table[:, 0], table[:, 1] = rows // 256, rows % 256
    kinds = (
        rng.permutation(rows[:1024].repeat(-(-length // 1024))[:length]) if length > 1024 else rng.permutation(rows),
        np.round(rng.normal(size=length) * 3),
        -np.round(rng.uniform(1, 900, length)),
        np.full(length, -2.5),
    )
    return tuple({"scores": kind.astype(np.float32), "table": table} for kind in kinds)


def assert_selects(models: dict[tuple[int, int], Path], **options: object) -> None:
    """All sizes in one process."""
    given = {size: inputs(size[0]) for size in models}
    for size, run in zip(models, run_models([Job(models[size], given[size]) for size in models], **options), strict=True):
        assert run.ok, run.error
        for one, outputs in zip(given[size], run.outputs, strict=True):
            best = np.argsort(-one["scores"], kind="stable")[: size[1]]
            np.testing.assert_array_equal(outputs["indices"], best)
            np.testing.assert_array_equal(outputs["rows"][:, :2], one["table"][best, :2])


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_it_is_one_topk_of_a_row_of_whole_fours(models: dict[tuple[int, int], Path], size: tuple[int, int]) -> None:
    graph = read_graph(models[size])
    (top,) = [op for op in graph.ops if op.name == "TOPK_V2"]
    length = graph.tensors[top.inputs[0]].shape[-1]
    assert length % 4 == 0 and 0 <= length - size[0] < 4
    assert [op.name for op in graph.ops].count("CONCATENATION") == int(length > size[0])
    assert graph.tensors[graph.signature_outputs["indices"]].dtype == "int32"
    assert check_lint({"graph": models[size]}).verdict is Verdict.PASSED


def test_it_is_right_on_the_cpu(models: dict[tuple[int, int], Path]) -> None:
    assert_selects(models, accelerator="cpu")


@pytest.mark.gpu
def test_it_is_right_on_the_delegate(models: dict[tuple[int, int], Path], driver: Driver) -> None:
    assert_selects(models, driver=driver, enforce_f32=True)


@pytest.mark.gpu
def test_it_is_right_in_fp16(models: dict[tuple[int, int], Path], fp16_driver: Driver) -> None:
    """With indices that fp16 could not represent."""
    assert_selects(models, driver=fp16_driver)
