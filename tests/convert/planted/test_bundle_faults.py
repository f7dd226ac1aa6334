"""Files with wrong contents but right hashes: each is found by its gate."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from detr2litert.convert.proof import prove, registry
from detr2litert.verify.delegate.adapters import Driver
from tests.convert.command import invoke, rehash
from tests.convert.planted.fault import BOTH

pytestmark = pytest.mark.plants
GOLDEN = "golden/golden.safetensors"


@pytest.fixture(params=BOTH)
def bundle(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of each demo bundle, to tamper with."""
    made: Any = request.getfixturevalue(str(request.param).replace("-", "_"))
    return copied(made, tmp_path / str(request.param))


def copied(made: Any, folder: Path) -> Path:
    return Path(shutil.copytree(made.bundle, folder))


def failed(bundle: Path, gate: str, *options: str) -> dict[str, Any]:
    """What ``verify`` says of a bundle whose other gates are left out, for their time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prove, "GATES", tuple(item for item in registry.GATES if item.id == gate))
        outcome = invoke("verify", bundle, *(options or ("--no-gpu",)), "--json")
    assert outcome.code == 1
    (found,) = outcome.json
    assert (found["gate"], found["verdict"]) == (gate, "failed")
    return dict(found)


def test_stale_golden_vectors(bundle: Path) -> None:
    tensors = load_file(bundle / GOLDEN)
    save_file({**tensors, "logits": tensors["logits"] + np.float32(0.05)}, bundle / GOLDEN)
    rehash(bundle, GOLDEN)
    assert "golden logits differs" in failed(bundle, "golden")["summary"]


def write_other_weights(source: Path, path: Path) -> None:
    """A file of the same graph whose weights are others: some of its weight bytes reversed."""
    data = bytearray(source.read_bytes())
    middle = len(data) // 2
    halves = np.frombuffer(bytes(data[middle : middle + 40_000]), np.float16)
    data[middle : middle + 40_000] = halves[::-1].tobytes()
    path.write_bytes(data)


def test_graph_b_of_another_checkpoint(bundle: Path) -> None:
    write_other_weights(bundle / "graph_b.tflite", bundle / "graph_b.tflite")
    rehash(bundle, "graph_b.tflite")
    found = failed(bundle, "numerics")
    assert found["findings"] and all("graph_b" in finding["place"] for finding in found["findings"])


def test_host_parameters_of_another_checkpoint(tiny_tail: Any, tmp_path: Path) -> None:
    bundle = copied(tiny_tail, tmp_path / "tiny")
    path = bundle / "host_params.safetensors"
    tensors = load_file(path)
    generator = np.random.default_rng(7)
    save_file({name: generator.permuted(value).reshape(value.shape) for name, value in tensors.items()}, path)
    rehash(bundle, path.name)
    assert "host step / selected" in failed(bundle, "host")["summary"]


def test_a_native_graph_of_an_older_bundle(tiny: Any, driver: Driver, tmp_path: Path) -> None:
    """Other weights in graph B's native form: the portable one, which the CPU can run, is right."""
    bundle = copied(tiny, tmp_path / "tiny")
    path = bundle / "graph_b.native.tflite"
    write_other_weights(path, path)
    rehash(bundle, path.name)
    found = failed(bundle, "numerics", "--no-fp16")
    assert {finding["rule"] for finding in found["findings"]} == {"native-vs-portable"}
    assert all(finding["place"].startswith("graph_b.native /") for finding in found["findings"])


def test_a_native_graph_of_another_variant(tiny: Any, dfine_tiny: Any, driver: Driver, tmp_path: Path) -> None:
    bundle = copied(tiny, tmp_path / "tiny")
    shutil.copyfile(dfine_tiny.bundle / "graph_b.native.tflite", bundle / "graph_b.native.tflite")
    rehash(bundle, "graph_b.native.tflite")
    found = failed(bundle, "numerics", "--no-fp16")
    assert any(finding["place"].startswith("graph_b.native") for finding in found["findings"])
