"""The record as JSON, and back; and JSON that is none."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from detr2litert.host_runtime.errors import UserError
from detr2litert.verify.bench.budget import Budget
from detr2litert.verify.bench.compare import compare_in_turns
from detr2litert.verify.bench.pipeline import Pipelined
from detr2litert.verify.bench.record import BenchRecord, read_record
from detr2litert.verify.bench.scaling import BATCH, Scaled
from detr2litert.verify.bench.stages import DETECTOR, FRAME
from tests.verify.bench.fakes import contender, record


def whole() -> BenchRecord:
    """A record with everything in it."""
    rows = (Scaled(BATCH, 1, 10.0, 1.0, 100.0, 100.0, 3), Scaled(BATCH, 2, 15.0, 1.5, 133.0, 66.5, 6))
    first = replace(contender(), pipelined=Pipelined((9.0, 11.0), 120.0), scaled=rows, notes=("a note",))
    made = record(first, contender("other", (20.0, 21.0, 22.0)))
    comparisons = compare_in_turns(made.contenders, (), 0)
    return replace(made, comparisons=tuple(comparisons), budget=Budget(33.0, "tiny", 12.0, (), None))


def test_the_times_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    path.write_text(json.dumps(whole().to_json(), allow_nan=False))
    back = read_record(path)
    assert back == replace(whole(), comparisons=(), budget=None)
    assert back.contenders[0].summary == whole().contenders[0].summary


def test_the_json_has_every_time_and_what_follows_from_them() -> None:
    data = whole().to_json()
    first = data["contenders"][0]
    assert first["frames"]["stages"][FRAME] == [10.0, 12.0, 11.0]
    assert first["summary"][FRAME] == {"median": 11.0, "p95": pytest.approx(11.9), "p99": pytest.approx(11.98), "runs": 3}
    assert data["budget"]["kept"] is True and data["comparisons"][0]["ratio"]["paired"] is True


def changed(change: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    data = copy.deepcopy(whole().to_json())
    change(data)
    return data


def _stages(data: dict[str, Any]) -> Any:
    return data["contenders"][0]["frames"]["stages"]


@pytest.mark.parametrize(
    "data",
    [
        {},
        [],
        {"kind": "device"},
        changed(lambda data: data.update(schema_version=2)),
        changed(lambda data: data.pop("machine")),
        changed(lambda data: data.update(contenders=[])),
        changed(lambda data: data["machine"].update(cores="2")),
        changed(lambda data: data["contenders"][0]["setup"].update(form="both")),
        changed(lambda data: _stages(data).update({FRAME: []})),
        changed(lambda data: _stages(data).update({FRAME: [0.0, 0.0, 0.0]})),
        changed(lambda data: _stages(data).update({FRAME: [1.0]})),
        changed(lambda data: _stages(data).update({FRAME: "slow"})),
        changed(lambda data: _stages(data).update({"nap": [1.0, 1.0, 1.0]})),
        changed(lambda data: _stages(data).pop(FRAME)),
        changed(lambda data: _stages(data).pop(DETECTOR)),
        changed(lambda data: _stages(data).update({DETECTOR: [0.0, 0.0, 0.0]})),
    ],
    ids=range(16),
)
def test_what_is_no_record_is_refused_in_one_line(tmp_path: Path, data: Any) -> None:
    path = tmp_path / "foreign.json"
    path.write_text(json.dumps(data))
    with pytest.raises(UserError, match=r"not a record of `detr2litert bench`") as error:
        read_record(path)
    assert "\n" not in str(error.value) and str(path) in str(error.value) and len(str(error.value)) < 1000


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.json").write_text("no JSON")
    for name in ("text.json", "none.json"):
        with pytest.raises(UserError, match=name):
            read_record(tmp_path / name)
