"""Judging a device's run of a bundle of one graph."""

from __future__ import annotations

import numpy as np
import pytest

from detr2litert.verify.adb.errors import CommandFailedError
from detr2litert.verify.device.drive import DeviceRun
from detr2litert.verify.device.judge import check_fallback, check_latency, check_one_graph
from detr2litert.verify.device.protocol import TIMED, TIMED_ONE, Array, parse_result
from detr2litert.verify.gates import Verdict
from tests.verify.device.device_runs import RUN, SHA256, device_run, packed, record, result

SHAPES = {"boxes": (1, 40, 4), "logits": (1, 40, 6)}
RNG = np.random.default_rng(3)
GOLDEN: dict[str, Array] = {
    **{name: RNG.standard_normal(shape).astype(np.float32) for name, shape in SHAPES.items()},
    "indices": RNG.permutation(256)[:40].astype(np.int32),
}
OTHERS = np.setdiff1d(np.arange(256), GOLDEN["indices"])[:40].astype(np.int32)


def run_of(**changed: Array) -> DeviceRun:
    times = {stage: (float(place),) * 4 for place, stage in enumerate(TIMED_ONE, 1)}
    return device_run(tensors={"a": {**GOLDEN, **changed}}, result=result(milliseconds=times))


def test_queries_are_compared_where_both_select_the_same_token() -> None:
    right = check_one_graph(run_of(), GOLDEN)
    assert right.verdict is Verdict.PASSED and "40 of 40 queries at the same rank" in right.summary
    order = [*range(38), 39, 38]
    swapped = {name: value[order] if name == "indices" else value[:, order] for name, value in GOLDEN.items()}
    gate = check_one_graph(run_of(**swapped), GOLDEN)
    assert gate.verdict is Verdict.PASSED and "38 of 40 queries at the same rank" in gate.summary


def test_keypoints_are_of_queries_and_a_map_of_cells_is_not() -> None:
    points = {"keypoints": RNG.standard_normal((1, 40, 5, 7)).astype(np.float32)}
    cells = {"mask_cells": RNG.standard_normal((1, 40, 5, 7)).astype(np.float32)}
    golden = {**GOLDEN, **points, **cells}
    order = [*range(38), 39, 38]
    swapped = {name: value[order] if name == "indices" else value[:, order] for name, value in {**GOLDEN, **points}.items()}
    run = device_run(tensors={"a": {**cells, **swapped}}, result=run_of().result)
    assert check_one_graph(run, golden, by_query=("boxes", "logits", "keypoints")).verdict is Verdict.PASSED
    gate = check_one_graph(run, golden)
    assert gate.verdict is Verdict.FAILED and gate.summary.startswith("graph_a differs from the reference: keypoints")
    wrong = device_run(tensors={"a": {**cells, **swapped, "keypoints": -swapped["keypoints"]}}, result=run_of().result)
    assert check_one_graph(wrong, golden, by_query=("keypoints",)).findings[0].place == "graph_a / keypoints (golden inputs)"


def test_wrong_values_fail() -> None:
    gate = check_one_graph(run_of(boxes=-GOLDEN["boxes"]), GOLDEN)
    assert gate.verdict is Verdict.FAILED and gate.summary.startswith("graph_a differs from the reference: boxes")


@pytest.mark.parametrize(("kept", "share"), [(0, "0%"), (35, "88%")])
def test_another_selection_fails(kept: int, share: str) -> None:
    gate = check_one_graph(run_of(indices=np.concatenate([GOLDEN["indices"][:kept], OTHERS[kept:]])), GOLDEN)
    assert gate.verdict is Verdict.FAILED
    assert f"selects {share} of the reference's tokens, {kept} of 40 queries" in gate.summary
    assert gate.findings[0].place == "graph_a / selected tokens"


def test_the_same_tokens_at_no_rank_fail() -> None:
    gate = check_one_graph(run_of(indices=np.roll(GOLDEN["indices"], 1)), GOLDEN)
    assert gate.verdict is Verdict.FAILED and "selects 100% of the reference's tokens, 0 of 40" in gate.summary


def test_without_indices_every_query_is_compared() -> None:
    run = device_run(tensors={"a": {name: GOLDEN[name] for name in SHAPES}})
    assert check_one_graph(run, GOLDEN).verdict is Verdict.PASSED


def test_times_and_fallback_are_of_graph_a_alone() -> None:
    gate = check_latency(run_of())
    assert gate.verdict is Verdict.PASSED and "median 6.0 ms" in gate.summary and "one graph without decoding" in gate.summary
    assert list(gate.data["milliseconds"]) == ["whole chain", "graph_a (write, run, read)"]
    other = run_of(**{name: value + 1 for name, value in GOLDEN.items()})
    assert check_fallback(run_of(), other).verdict is Verdict.PASSED
    assert [finding.place for finding in check_fallback(run_of(), run_of()).findings] == ["graph_a"]


def test_the_record_has_the_times_of_one_graph_or_of_all_stages() -> None:
    times = record()["milliseconds"]
    one = {**record(), "milliseconds": {stage: times[stage] for stage in TIMED_ONE}}
    assert tuple(parse_result(packed(one), RUN, SHA256).milliseconds) == TIMED_ONE
    assert tuple(parse_result(packed(record()), RUN, SHA256).milliseconds) == TIMED
    partial = {**record(), "milliseconds": {stage: times[stage] for stage in (*TIMED_ONE, "host")}}
    with pytest.raises(CommandFailedError, match="write_b"):
        parse_result(packed(partial), RUN, SHA256)
