"""Files with wrong contents but right hashes: each is found by its gate."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.convert.command import invoke, rehash
from tests.convert.planted.fault import BOTH

pytestmark = pytest.mark.plants
GOLDEN = "golden/golden.safetensors"


@pytest.fixture(params=BOTH)
def bundle(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of each demo bundle, to tamper with."""
    made: Any = request.getfixturevalue(str(request.param).replace("-", "_"))
    return Path(shutil.copytree(made.bundle, tmp_path / str(request.param)))


def failed(bundle: Path, gate: str) -> dict[str, Any]:
    outcome = invoke("verify", bundle, "--no-gpu", "--json")
    assert outcome.code == 1
    (found,) = [item for item in outcome.json if item["gate"] == gate]
    assert found["verdict"] == "failed"
    return dict(found)


def test_stale_golden_vectors(bundle: Path) -> None:
    tensors = load_file(bundle / GOLDEN)
    save_file({**tensors, "logits": tensors["logits"] + np.float32(0.05)}, bundle / GOLDEN)
    rehash(bundle, GOLDEN)
    assert "golden logits differs" in failed(bundle, "golden")["summary"]


def test_graph_b_of_another_checkpoint(bundle: Path) -> None:
    """Another checkpoint's weights: the same file with some of its weight bytes reversed."""
    path = bundle / "graph_b.tflite"
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    halves = np.frombuffer(bytes(data[middle : middle + 40_000]), np.float16)
    data[middle : middle + 40_000] = halves[::-1].tobytes()
    path.write_bytes(data)
    rehash(bundle, "graph_b.tflite")
    found = failed(bundle, "numerics")
    assert found["findings"] and all("graph_b" in finding["place"] for finding in found["findings"])


def test_host_parameters_of_another_checkpoint(bundle: Path) -> None:
    path = bundle / "host_params.safetensors"
    tensors = load_file(path)
    generator = np.random.default_rng(7)
    save_file({name: generator.permuted(value).reshape(value.shape) for name, value in tensors.items()}, path)
    rehash(bundle, path.name)
    assert "host step / selected" in failed(bundle, "host")["summary"]
