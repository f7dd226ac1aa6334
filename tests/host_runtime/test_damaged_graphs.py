"""A .tflite that is damaged is refused in one line before LiteRT sees it, and nothing that is not refused ends a process."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import damaged_graphs
import numpy as np
import pytest

from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.tflite import verify_file as verify_module
from detr2litert.host_runtime.tflite.graph import read_graph
from detr2litert.host_runtime.tflite.verify_file import verify_file
from detr2litert.host_runtime.tflite.verify_indices import LARGEST
from detr2litert.host_runtime.tflite.writer import ModelWriter
from tests.trials import trials

_FLIPS = 80


@pytest.fixture(scope="module")
def valid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return damaged_graphs.valid_graph(tmp_path_factory.mktemp("valid") / "valid.tflite")


def refusal(path: Path, *, runnable: bool = True) -> str:
    """The one line that refuses a file."""
    with pytest.raises(UserError) as caught:
        verify_file(path, runnable=runnable)
    message = str(caught.value)
    assert path.name in message and "\n" not in message and ";" in message
    return message


def test_a_valid_file_passes_and_runs(valid: Path, tmp_path: Path) -> None:
    verify_file(valid, runnable=True)
    assert trials("run", [valid], tmp_path) == ["ran"]


@pytest.mark.parametrize("name", damaged_graphs.CONTRADICTIONS)
def test_contradictions(valid: Path, tmp_path: Path, name: str) -> None:
    change, words = damaged_graphs.CONTRADICTIONS[name]
    path = tmp_path / "damaged.tflite"
    path.write_bytes(damaged_graphs.changed(valid.read_bytes(), change))
    assert words in refusal(path, runnable=False)
    with pytest.raises(UserError, match=r"damaged\.tflite: truncated or damaged LiteRT model"):
        read_graph(path)


@pytest.mark.parametrize("name", damaged_graphs.OPERANDS)
def test_operands_that_only_litert_needs(valid: Path, tmp_path: Path, name: str) -> None:
    change, words = damaged_graphs.OPERANDS[name]
    path = tmp_path / "damaged.tflite"
    path.write_bytes(damaged_graphs.changed(valid.read_bytes(), change))
    verify_file(path)
    assert words in refusal(path)


def test_cut_files(valid: Path, tmp_path: Path) -> None:
    """Without flatbuffers' verifier LiteRT is killed by most of them."""
    for name, data in damaged_graphs.cut(valid.read_bytes()):
        path = tmp_path / f"{name}.tflite"
        path.write_bytes(data)
        refusal(path, runnable=False)


def test_flipped_bytes_and_absent_fields_end_no_process(valid: Path, tmp_path: Path) -> None:
    """Whatever is not refused is compiled and run in a child, which must survive all of it."""
    paths = []
    original = valid.read_bytes()
    for name, data in (*damaged_graphs.flipped(original, _FLIPS), *damaged_graphs.without_fields(original)):
        paths.append(tmp_path / f"{name}.tflite")
        paths[-1].write_bytes(data)
    assert len(paths) > _FLIPS + 20
    outcomes = dict(zip((path.stem for path in paths), trials("run", paths, tmp_path), strict=True))
    unexpected = {name: text for name, text in outcomes.items() if text != "ran" and not text.startswith("exit 2 error: ")}
    assert unexpected == {}
    assert all("\n" not in text for text in outcomes.values())
    counts = Counter(text.partition(" ")[0] for text in outcomes.values())
    assert min(counts["ran"], counts["exit"]) > 10, counts


def test_the_library_verifier_is_asked(valid: Path, tmp_path: Path) -> None:
    """A table whose vtable overlaps another's: Python's reader and the indices are content with it."""
    data = valid.read_bytes()
    path = tmp_path / "offsets.tflite"
    for position in range(len(data) - 4, 8, -4):
        damaged = bytearray(data)
        damaged[position] ^= 1  # an offset that is not aligned
        path.write_bytes(bytes(damaged))
        try:
            verify_module.verify_indices(bytes(damaged), len(damaged), runnable=True)
        except Exception:
            continue
        try:
            verify_file(path)
        except UserError as error:
            assert "an offset leads to no table" in str(error)
            return
    pytest.fail("no such file was found")


def test_shared_vectors_do_not_multiply_the_work(tmp_path: Path) -> None:
    """3000 operators that share one vector of 3000 inputs, which flatbuffers allows: 9 million operands in 100 KB."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    builder = flatbuffers.Builder(1024)
    count = 3000

    def vector(start: object, offsets: list[int]) -> int:
        start(builder, len(offsets))  # type: ignore[operator]
        for offset in reversed(offsets):
            builder.PrependUOffsetTRelative(offset)
        return int(builder.EndVector())

    inputs = builder.CreateNumpyVector(np.zeros(count, np.int32))
    operators = []
    for _ in range(count):
        schema.OperatorStart(builder)
        schema.OperatorAddInputs(builder, inputs)
        operators.append(schema.OperatorEnd(builder))
    operators_vector = vector(schema.SubGraphStartOperatorsVector, operators)
    schema.TensorStart(builder)
    tensors = vector(schema.SubGraphStartTensorsVector, [schema.TensorEnd(builder)])
    main = builder.CreateNumpyVector(np.zeros(1, np.int32))
    schema.SubGraphStart(builder)
    schema.SubGraphAddOperators(builder, operators_vector)
    schema.SubGraphAddTensors(builder, tensors)
    schema.SubGraphAddInputs(builder, main)
    subgraphs = vector(schema.ModelStartSubgraphsVector, [schema.SubGraphEnd(builder)])
    schema.OperatorCodeStart(builder)
    codes = vector(schema.ModelStartOperatorCodesVector, [schema.OperatorCodeEnd(builder)])
    schema.BufferStart(builder)
    buffers = vector(schema.ModelStartBuffersVector, [schema.BufferEnd(builder)])
    schema.ModelStart(builder)
    schema.ModelAddVersion(builder, 3)
    schema.ModelAddSubgraphs(builder, subgraphs)
    schema.ModelAddOperatorCodes(builder, codes)
    schema.ModelAddBuffers(builder, buffers)
    builder.Finish(schema.ModelEnd(builder), b"TFL3")
    path = tmp_path / "shared.tflite"
    path.write_bytes(bytes(builder.Output()))
    assert "more elements than fit" in refusal(path, runnable=False)


def test_a_large_file_takes_no_longer(tmp_path: Path) -> None:
    """Weights of 120 MB are not read."""
    w = ModelWriter()
    x = w.input("x", (1, 4))
    w.op("FULLY_CONNECTED", [x, w.constant("weights", np.zeros((7_500_000, 4), np.float32)), None], {"y": (1, 7_500_000)})
    path = w.write(tmp_path / "large.tflite", ["y"])
    verify_file(path)  # imports
    start = time.process_time()
    verify_file(path, runnable=True)
    assert time.process_time() - start < 0.5


def test_a_sparse_file_of_ten_gigabytes_is_not_read(tmp_path: Path, valid: Path) -> None:
    path = tmp_path / "sparse.tflite"
    path.write_bytes(valid.read_bytes())
    with path.open("r+b") as file:
        file.truncate(10 * 2**30)
    assert str(LARGEST) in refusal(path)
