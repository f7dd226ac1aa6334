"""The demo detector in one graph: all gates pass, and it detects what the one of two graphs does."""

from __future__ import annotations

import numpy as np
import pytest

from detr2litert.convert.commands.verify import verify_bundle
from detr2litert.convert.progress import Progress
from detr2litert.convert.proof.scenes import pictures
from detr2litert.host_runtime.bundle import load_bundle
from detr2litert.host_runtime.runner import Runner
from detr2litert.host_runtime.tflite.graph import read_graph
from detr2litert.verify.delegate.adapters import Driver
from detr2litert.verify.parity.detections import DetectionCase, DetectionLimits, compare_detections
from tests.conversions import Made, converted
from tests.convert.command import DEMO_PASSED, FEWER_SCENES, verdicts

pytestmark = pytest.mark.ci


@pytest.fixture(scope="module")
def single(driver: Driver) -> Made:
    arguments = ("--variant", "tiny", "--target", "pixel", "--layout", "single", "--no-native", *FEWER_SCENES, "--json")
    return converted(*arguments, out="made/tiny-single")


def test_all_gates_pass_and_the_host_step_is_reported_as_absent(single: Made) -> None:
    gates = single.outcome.json["gates"]
    assert verdicts(gates) == DEMO_PASSED
    (host,) = [gate for gate in gates if gate["gate"] == "host"]
    assert host["summary"].endswith("host step not run: the bundle has one graph")


def test_there_is_one_file_with_the_selection_inside(single: Made) -> None:
    assert [path.name for path in single.bundle.glob("*.tflite")] == ["graph_a.tflite"]
    with load_bundle(single.bundle) as bundle:
        graphs, host = bundle.manifest.graphs, bundle.manifest.host_step
        assert graphs.b is None and (host.inputs, host.ops, host.outputs) == ((), (), ())
        assert [spec.name for spec in graphs.a.outputs] == ["boxes", "logits", "indices"]
        ops = [op.name for op in read_graph(bundle.path(graphs.a.file)).ops]
    assert ops.count("TOPK_V2") == 1 and ops.count("GATHER") >= 1


def test_it_detects_what_the_bundle_of_two_graphs_does(single: Made, tiny: Made) -> None:
    limits, matched = DetectionLimits(threshold=0.3), 0
    with Runner(single.bundle) as one, Runner(tiny.bundle) as two:
        for scene in pictures(()):
            sides = [side.detect(scene.image, threshold=limits.floor) for side in (two, one)]
            rows = compare_detections(DetectionCase(scene.name, sides[0].items, sides[1].items), limits)
            assert {row.status for row in rows} <= {"matched", "borderline"}, scene.name
            matched += sum(row.status == "matched" for row in rows)
    assert matched >= len(pictures(()))


def test_its_golden_vectors_have_the_selection(single: Made) -> None:
    with load_bundle(single.bundle) as bundle:
        golden = bundle.golden_tensors()
    scores, indices = golden["enc_scores"].reshape(-1), golden["indices"]
    np.testing.assert_array_equal(indices, np.argsort(-scores, kind="stable")[: indices.size])


def test_verify_compiles_it_to_one_graph_again(single: Made) -> None:
    gates = verify_bundle(single.bundle, Progress(), gpu=False)
    passed = {gate.gate for gate in gates if gate.verdict == "passed"}
    assert passed >= {"rewrites", "lint", "host", "detections", "golden"}
