"""The file of a measurement, and which one a new measurement is compared with."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from detr2litert.host_runtime.errors import UserError
from detr2litert.verify.probe.probe import Behaviour
from detr2litert.verify.probe.table import Measured, Result, read_measured, recorded, write_measured

_RESULTS = {
    "b": Result(Behaviour.WRONG, math.inf),
    "a": Result(Behaviour.ACCEPTED, 4.8e-7),
    "d": Result(Behaviour.DIED, refusal="Check failed: x", death="SIGABRT"),
    "c": Result(Behaviour.REFUSED, refusal="GATHER_ND: Operation is not supported."),
}
_SOFT = Measured("2.3.0", "webgpu", "SwiftShader Device (Subzero) (Vulkan, CPU / Software)", "fp32", "2026-11-21", _RESULTS)


def test_a_table_round_trips(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    write_measured(_SOFT, path)
    assert read_measured(path) == _SOFT
    plain = json.loads(path.read_text())
    assert list(plain["probes"]) == ["a", "b", "c", "d"] and plain["probes"]["b"]["max_abs_diff"] == "inf"
    assert json.dumps(plain) == json.dumps(_SOFT.to_json())


def test_the_table_is_independent_of_the_order_of_running(tmp_path: Path) -> None:
    write_measured(_SOFT, tmp_path / "t.json")
    write_measured(replace(_SOFT, results=dict(sorted(_RESULTS.items(), reverse=True))), tmp_path / "u.json")
    assert (tmp_path / "t.json").read_bytes() == (tmp_path / "u.json").read_bytes()


@pytest.mark.parametrize(
    ("adapter", "name"),
    [
        (_SOFT.adapter, "2.3.0-webgpu-swiftshader-fp32.json"),
        ("llvmpipe (LLVM 15.0.6, 256 bits) (Vulkan, CPU / Software)", "2.3.0-webgpu-llvmpipe-fp32.json"),
        ("Intel(R) Iris(R) Xe Graphics (Vulkan, Integrated GPU)", "2.3.0-webgpu-intel-r-iris-r-xe-graphics-fp32.json"),
    ],
)
def test_file_name(adapter: str, name: str) -> None:
    assert replace(_SOFT, adapter=adapter).file_name == name


_HUGE = json.dumps(
    {"schema_version": 1, "probes": {"a": {"outcome": "wrong", "max_abs_diff": 10**400, "refusal": "", "died": ""}}}
)


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[1]", '{"schema_version": 1, "probes": {"a": 3}}', "[" * 200_000, _HUGE],
    ids=["empty", "object", "list", "no entry", "deep", "huge"],
)
def test_an_invalid_table_is_a_user_error(text: str, tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text(text)
    with pytest.raises(UserError, match=r"not a table of `convert probe`"):
        read_measured(tmp_path / "t.json")


def test_other_errors_are_user_errors_too(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        read_measured(tmp_path / "none.json")
    with pytest.raises(UserError, match="cannot write"):
        write_measured(_SOFT, tmp_path / "none" / "t.json")
    (tmp_path / "t.json").write_text('{"schema_version": 2}')
    with pytest.raises(UserError, match="schema_version 2"):
        read_measured(tmp_path / "t.json")


def test_the_record_is_the_newest_that_is_not_later_preferably_of_the_same_adapter(tmp_path: Path) -> None:
    pipe = "llvmpipe (LLVM 15) (Vulkan, CPU / Software)"
    for runtime, adapter in (("2.3.0", _SOFT.adapter), ("2.3.0", pipe), ("2.10.0", pipe), ("2.1.0", _SOFT.adapter)):
        table = replace(_SOFT, runtime=runtime, adapter=adapter)
        write_measured(table, tmp_path / table.file_name)

    def found(runtime: str, adapter: str) -> tuple[str, str] | None:
        table = recorded(runtime, adapter, "fp32", tmp_path)
        return (table.runtime, table.adapter) if table else None

    assert found("2.3.0", _SOFT.adapter) == ("2.3.0", _SOFT.adapter)
    assert found("2.3.0", pipe) == ("2.3.0", pipe)
    assert found("2.4.1", pipe) == ("2.3.0", pipe)
    assert found("2.11.0", _SOFT.adapter) == ("2.10.0", pipe)
    assert found("1.0.0", pipe) == ("2.1.0", _SOFT.adapter)
    assert recorded("2.3.0", pipe, "fp16", tmp_path) is None
