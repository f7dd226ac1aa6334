"""Judging a device's run: each gate, and that the first stage that differs is named."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from detr2litert.host_runtime.manifest import Manifest
from detr2litert.verify.device.delegate_log import Delegated
from detr2litert.verify.device.judge import (
    check_delegated,
    check_fallback,
    check_latency,
    check_ran,
    check_stages,
    detection_limits,
    stage_limits,
)
from detr2litert.verify.device.protocol import TIMED, Ended, Request
from detr2litert.verify.gates import Verdict
from detr2litert.verify.parity.detections import DetectionLimits
from detr2litert.verify.precision import Precision, precision_records
from tests.host_runtime.tiny_bundle import manifest
from tests.verify.device.device_runs import GRAPHS, OUTPUTS, WITHOUT_MASKS, chain, device_run, golden, result, written

PASSED, FAILED, NOT_RUN = Verdict.PASSED, Verdict.FAILED, Verdict.NOT_RUN


def test_everything_right_passes() -> None:
    run = device_run()
    gates = [check_ran(run), check_delegated(run, GRAPHS), check_stages(run, golden(), chain()), check_latency(run)]
    assert [gate.verdict for gate in gates] == [PASSED] * 4
    assert not any(gate.findings or gate.advice for gate in gates)
    assert gates[0].summary == "4 timed runs after 5 to warm up, portable form of the graphs"
    assert gates[1].summary == "graph_a 120/120, graph_b 120/120 nodes, one partition each"
    assert gates[2].summary.startswith("8 outputs agree")


def test_the_form_that_ran_is_named() -> None:
    native = check_ran(device_run(result=result(form="native")))
    assert native.summary.endswith(", native form of the graphs")
    refused = check_ran(device_run(result=result(refusal="graph_b.native.tflite does not run whole")))
    assert refused.verdict is PASSED
    assert refused.summary.endswith(
        "portable form of the graphs; the native one does not run there: graph_b.native.tflite does not run whole"
    )
    assert refused.data == {"form": "portable", "native_refused": "graph_b.native.tflite does not run whole"}


@pytest.mark.parametrize(
    ("ended", "words"),
    [
        (
            Ended("crashed", "compile", "crash", "Process crashed."),
            "the app's process died in stage 'compile': Process crashed.",
        ),
        (Ended("hung", "run", "hang", "no end within 9 s"), "the app hung in stage 'run': no end within 9 s"),
        (Ended("failed", "bundle", "bundle_damaged", "x"), "the app reported a failure in stage 'bundle': x"),
    ],
)
def test_a_run_that_failed(ended: Ended, words: str) -> None:
    gate = check_ran(device_run(ended=ended, log="l" * 9000))
    assert (gate.verdict, gate.summary) == (FAILED, words)
    assert gate.findings[0].rule == ended.kind
    assert len(gate.data["log"]) == 8000
    assert "--accelerator cpu" in gate.advice
    assert "--accelerator" not in check_ran(device_run(ended=ended, request=Request("cpu"))).advice


@pytest.mark.parametrize(
    ("lines", "place", "words"),
    [
        ((), "graph_a", "logcat has no line of the delegate about it"),
        ((("graph_a", 120, 120, 1),), "graph_b", "no line of the delegate"),
        ((("graph_a", 117, 120, 2), ("graph_b", 1, 45, 9)), "graph_a", "accepted 117 of 120 nodes in 2 partitions"),
        ((("graph_a", 120, 120, 1), ("graph_b", 45, 45, 2)), "graph_b", "accepted 45 of 45 nodes in 2 partitions"),
        ((("graph_a", 120, 120, 1), ("graph_a", 120, 120, 1), ("graph_b", 45, 45, 1)), "graph_a", "2 lines of delegates"),
    ],
)
def test_not_resident(lines: tuple[tuple[str, int, int, int], ...], place: str, words: str) -> None:
    delegated = tuple(Delegated(GRAPHS[graph], "TfLiteGpuDelegateV2", *counts) for graph, *counts in lines)
    gate = check_delegated(device_run(delegated=delegated), GRAPHS)
    assert gate.verdict is FAILED
    assert gate.summary.startswith(f"{place}: ")
    assert words in gate.summary
    assert gate.advice


def test_the_cpus_own_delegate_is_not_the_gpu() -> None:
    lines = tuple(Delegated(file, "TfLiteXNNPackDelegate", 9, 9, 1) for file in GRAPHS.values())
    assert "the CPU's own delegate accepted it" in check_delegated(device_run(delegated=lines), GRAPHS).summary


def test_on_the_cpu_nothing_is_resident() -> None:
    assert check_delegated(device_run(request=Request("cpu")), GRAPHS).verdict is NOT_RUN


@pytest.mark.parametrize("first", range(len(WITHOUT_MASKS)))
def test_the_first_wrong_stage_is_named(first: int) -> None:
    """All from ``first`` on are wrong, in the order of judgement; golden inputs come before the chain."""
    order = ("a", "host_given", "b_given", "host", "b")
    wrong = {stage: {name: -golden()[name] for name in OUTPUTS[stage.removesuffix("_given")]} for stage in order[first:]}
    gate = check_stages(device_run(tensors=written(**wrong)), golden(), chain())
    stage = order[first].removesuffix("_given")
    named = {"a": "graph_a", "host": "host step", "b": "graph_b"}[stage]
    assert gate.verdict is FAILED
    assert gate.summary.startswith(f"{named} differs from the reference: {OUTPUTS[stage][0]} has correlation -1.00000")
    assert gate.findings[0].rule == f"stage-{stage}"
    in_chain = "though it is right on its golden inputs" in gate.summary
    assert in_chain == (order[first] in ("host", "b"))
    assert ("buffers are shared or read too early" in gate.advice) == in_chain
    assert ("(in the chain)" if in_chain else "(golden inputs)") in gate.findings[0].place


@pytest.mark.parametrize("wrong", ["", "m_given", "m"])
def test_graph_m_is_judged_on_golden_inputs_and_in_the_chain(wrong: str) -> None:
    masks = {"masks": np.random.default_rng(8).standard_normal((1, 5, 4, 3)).astype(np.float32)}
    own = {stage: {"masks": masks["masks"] * (-1 if stage == wrong else 1)} for stage in ("m", "m_given")}
    run = device_run(tensors={**written(), **own})
    gate = check_stages(run, {**golden(), **masks}, {**chain(), "m": masks})
    assert gate.verdict is (FAILED if wrong else PASSED)
    place = {"": None, "m": "graph_m / masks (in the chain)", "m_given": "graph_m / masks (golden inputs)"}[wrong]
    assert [finding.place for finding in gate.findings] == ([place] if place else [])


def test_a_bundle_that_an_older_app_does_not_read_names_the_app_to_install() -> None:
    gate = check_ran(
        device_run(ended=Ended("failed", "bundle", "bundle_manifest", "schema version 4 but this app reads up to 3"))
    )
    assert gate.advice == "install this version's app: cd android_sample && ./gradlew :app:installDebug"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_fails(value: float) -> None:
    corrupted = golden()["boxes"].copy()
    corrupted[0, 3, 1] = value
    gate = check_stages(device_run(tensors=written(b_given={"boxes": corrupted})), golden(), chain())
    assert gate.verdict is FAILED
    assert gate.summary.startswith("graph_b differs from the reference: boxes has correlation nan")
    assert "largest error inf" in gate.summary
    assert sum(not figure.passed for figure in gate.measurements) == 2


def test_a_wrong_scale_fails_though_it_correlates() -> None:
    doubled = {"logits": golden()["logits"] * 2}
    gate = check_stages(device_run(tensors=written(b_given=doubled)), golden(), chain())
    assert gate.verdict is FAILED
    assert "logits has correlation 1.00000, relative error 1" in gate.summary


def test_detections_may_move_further_where_the_gpu_may_use_float16() -> None:
    wide = DetectionLimits(0.3, iou=0.95, score=0.03, mask_iou=0.95, keypoint=0.02, outlier=0.075)
    for request in (Request(), Request(precision="fp16")):
        assert detection_limits(request, 0.3) == wide
    for request in (Request(precision="fp32"), Request("cpu")):
        assert detection_limits(request, 0.3) == DetectionLimits(0.3)


@pytest.mark.parametrize(("share", "verdict"), [(0.02, PASSED), (0.09, FAILED)])
def test_graphs_may_differ_by_float16_rounding_and_no_more(share: float, verdict: Verdict) -> None:
    noise = np.random.default_rng(1).standard_normal((1, 40, 4)).astype(np.float32)
    noisy = written(a={"memory": golden()["memory"] + share * noise})
    for request in (Request(), Request(precision="fp32")):
        assert check_stages(device_run(tensors=noisy, request=request), golden(), chain()).verdict is verdict


def test_the_host_step_is_always_compared_in_float32() -> None:
    noise = np.random.default_rng(1).standard_normal((1, 40, 4)).astype(np.float32)
    noisy = written(host_given={"selected": golden()["selected"] + 0.05 * noise})
    assert check_stages(device_run(tensors=noisy), golden(), chain()).summary.startswith("host step differs from the reference")


def test_a_silent_cpu() -> None:
    gpu, cpu = device_run(), device_run(request=Request("cpu"))
    gate = check_fallback(gpu, cpu)
    assert gate.verdict is FAILED
    assert gate.summary == "graph_a: every output is bit-identical to the CPU run: suspected fallback to the CPU"
    assert [finding.place for finding in gate.findings] == ["graph_a", "graph_b"]


def test_one_output_that_differs_in_one_bit_is_not_a_fallback() -> None:
    values = {key: {name: array.copy() for name, array in part.items()} for key, part in written().items()}
    for stage, name in (("a", "memory"), ("b_given", "boxes")):
        values[stage][name].view(np.int32)[0, 0, 0] ^= 1
    gate = check_fallback(device_run(tensors=values), device_run(request=Request("cpu")))
    assert gate.verdict is PASSED
    assert {figure.value for figure in gate.measurements if figure.metric == "outputs bit-identical to the CPU's"} == {1.0}


def test_minus_zero_and_nan_are_compared_as_bits() -> None:
    zeros = {"a": {"x": np.zeros(2, np.float32)}, "b_given": {"y": np.array([np.nan], np.float32)}}
    minus = {"a": {"x": -np.zeros(2, np.float32)}, "b_given": {"y": np.array([np.nan], np.float32)}}
    gate = check_fallback(device_run(tensors=zeros), device_run(tensors=minus))
    assert [finding.place for finding in gate.findings] == ["graph_b"]


@pytest.mark.parametrize("cpu", [None, device_run(ended=Ended("crashed", "run", "crash", "died"), tensors={})])
def test_no_cpu_run_to_compare_with(cpu: object) -> None:
    gate = check_fallback(device_run(), cpu)  # type: ignore[arg-type]
    assert gate.verdict is NOT_RUN
    assert ("died" if cpu else "not requested") in gate.summary


def test_percentiles_of_the_whole_chain() -> None:
    """One run in a hundred is slow: p99 includes it (by linear interpolation), p95 does not."""
    runs = 100
    times = dict.fromkeys(TIMED, (1.0,) * runs) | {"run_a": (1.0,) * (runs - 1) + (101.0,)}
    gate = check_latency(device_run(request=Request(runs=runs), result=result(runs, milliseconds=times)))
    shown = gate.data["milliseconds"]
    assert shown["whole chain"] == {"median": 7.0, "p95": 7.0, "p99": pytest.approx(8.0)}
    assert shown["graph_a (write, run, read)"]["median"] == 3.0
    assert shown["host step"] == {"median": 1.0, "p95": 1.0, "p99": 1.0}
    assert "median 7.0 ms, p95 7.0, p99 8.0" in gate.summary


@pytest.mark.parametrize(
    ("thermal", "words", "throttled"),
    [
        ((0, 1), "thermal none to light", False),
        ((None, None), "thermal unknown to unknown", False),
        ((0, 2), "thermal none to moderate; the device was throttled", True),
        ((6, 99), "thermal shutdown to shutdown; the device was throttled", True),
        ((-1, 0), "thermal none to none", False),
    ],
)
def test_the_thermal_note(thermal: tuple[int | None, int | None], words: str, throttled: bool) -> None:
    gate = check_latency(device_run(result=result(thermal=thermal)))
    assert words in gate.summary
    assert gate.data["throttled"] is throttled
    assert gate.verdict is PASSED


def test_times_that_are_missing() -> None:
    assert check_latency(device_run(result=None)).verdict is NOT_RUN
    gate = check_latency(device_run(result=result(runs=3)))
    assert (gate.verdict, gate.summary) == (FAILED, "not 4 times for every stage")


def test_an_int8_bundle_may_lose_what_its_conversion_may() -> None:
    """Logits off by 8 % of their spread: wrong for a float bundle, allowed for an int8 one, up to its own limit."""
    float_bundle = manifest()
    int8 = replace(float_bundle, settings={**float_bundle.settings, **precision_records(Precision.INT8)})

    def off_by(share: float, bundle: Manifest) -> Verdict:
        values = golden()
        wrong = {name: value + share * value.std() * np.sign(np.sin(np.arange(value.size))).reshape(value.shape)
                 for name, value in values.items() if name == "logits"}  # fmt: skip
        tensors = {**device_run().tensors, "b_given": {**device_run().tensors["b_given"], **wrong}}
        return check_stages(replace(device_run(), tensors=tensors), values, chain(), stage_limits(bundle)).verdict

    assert [off_by(0.08, bundle) for bundle in (float_bundle, int8)] == [FAILED, PASSED]
    assert off_by(0.3, int8) is FAILED
