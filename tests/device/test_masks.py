"""``convert device`` with bundles with masks: one graph and two before graph M."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from detr2litert.host_runtime.bundle import file_sha256, load_bundle
from detr2litert.host_runtime.decode import Detections
from tests.convert.small_seg import convert_small_seg
from tests.device.commands import assert_clean, device_command, gate, gates
from tests.device.conftest import Plug
from tests.device.faults import Faults

sys.path.insert(0, str(Path(__file__).parents[1] / "host_runtime"))

import masks_bundle

from detr2litert.verify.device.masks import MaskSource

# In fp32: its numbers are exact in fp16, so that a GPU's outputs would be the CPU's bit for bit.
FP32 = ("--json", "--precision", "fp32")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    masks_bundle.write_bundle(tmp_path / "masks", recorded=True)
    return tmp_path / "masks"


def test_everything_passes_and_masks_are_compared(plug: Plug, bundle: Path) -> None:
    device = plug()
    outcome = device_command(bundle, *FP32)
    assert {name: verdict for name, verdict in gates(outcome).items() if verdict != "passed"} == {}
    assert outcome.code == 0
    assert "graph_a 120/120, graph_m 9/9 nodes" in gate(outcome, "residency")["summary"]
    detections = gate(outcome, "detections")
    assert "2 detections matched in 1 image, lowest IoU 1.0000, of masks 1.0000" in detections["summary"]
    assert "computed here" not in detections["summary"], "they are the device's own"
    subjects = {item["subject"] for item in gate(outcome, "stages")["measurements"]}
    assert {"graph_m / masks (golden inputs)", "graph_m / masks (in the chain)"} <= subjects
    latency = gate(outcome, "latency")
    assert "A and M without decoding" in latency["summary"]
    assert any(item["subject"] == "graph_m (write, run, read)" for item in latency["measurements"])
    assert_clean(device)


def test_a_wrong_graph_m_is_named_and_its_masks_are_not_accepted(plug: Plug, bundle: Path) -> None:
    plug(Faults(app={"wrong": "m"}))
    outcome = device_command(bundle, *FP32)
    assert outcome.code == 1
    found = gate(outcome, "stages")
    assert (found["verdict"], {finding["rule"] for finding in found["findings"]}) == ("failed", {"stage-m"})
    detections = gate(outcome, "detections")
    assert detections["verdict"] == "failed"
    assert "2 missing, 2 extra" in detections["summary"] and "mask IoU 0.0000" in detections["advice"]


def test_an_app_that_reads_no_masks_is_to_be_updated(plug: Plug, bundle: Path) -> None:
    plug(Faults(app={"schema": 3}))
    outcome = device_command(bundle, *FP32)
    assert outcome.code == 1
    ran = gate(outcome, "run")
    assert "schema version 4 but this app reads up to 3" in ran["summary"]
    assert ran["advice"] == "install this version's app: cd android_sample && ./gradlew :app:installDebug"


def test_an_app_that_leaves_graph_m_out_is_refused(plug: Plug, bundle: Path) -> None:
    device = plug(Faults(app={"record": {"tensors": []}}))
    outcome = device_command(bundle)
    assert outcome.code == 2
    assert "install the app's build of this version" in outcome.stderr
    assert_clean(device)


def test_golden_vectors_without_masks_are_refused(plug: Plug, bundle: Path) -> None:
    plug()
    place = bundle / "golden/golden.safetensors"
    tensors = safetensors.numpy.load_file(place)
    safetensors.numpy.save_file({name: value for name, value in tensors.items() if name != "kept"}, place)
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["files"]["golden/golden.safetensors"] = {"sha256": file_sha256(place), "bytes": place.stat().st_size}
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    outcome = device_command(bundle)
    assert outcome.code == 2
    assert "lack kept; make it again" in outcome.stderr


@pytest.mark.slow
def test_two_graphs_before_graph_m(plug: Plug, tmp_path: Path) -> None:
    """With random weights, which detect nothing, so that the stages alone are compared."""
    device = plug()
    small = convert_small_seg(tmp_path / "small-seg")
    outcome = device_command(small, "--json")
    verdicts = gates(outcome)
    assert {name for name, verdict in verdicts.items() if verdict == "failed"} == set(), outcome
    assert verdicts["stages"] == "passed"
    subjects = {item["subject"] for item in gate(outcome, "stages")["measurements"]}
    assert {"graph_b / mask_queries (in the chain)", "graph_m / masks (in the chain)"} <= subjects
    assert "A to M without decoding" in gate(outcome, "latency")["summary"]
    device.faults.app = {"wrong": "b"}
    assert "graph_b differs" in gate(device_command(small, "--json"), "stages")["summary"]
    assert_clean(device)


def test_masks_of_other_queries_are_computed_from_the_embeddings(bundle: Path) -> None:
    with load_bundle(bundle) as loaded:
        tensors = loaded.golden_tensors()
        wanted = Detections.from_json((bundle / "golden/detections.json").read_bytes())
        with MaskSource(loaded, (wanted.width, wanted.height)) as source:
            kept, logits = tensors["kept"], tensors["masks"]
            masks = [item.mask for item in wanted]
            queries = kept.tolist()
            assert source.masks_of(tensors, queries) == masks
            assert source.masks_of(tensors, queries, (kept, logits)) == masks
            assert source.computed_here == 0
            # The device's own are taken where it was asked for them, whatever they are.
            other = source.masks_of(tensors, [*queries, 3, queries[0]], (kept[:1], np.full_like(logits[..., :1], -1)))
            assert [mask.pixels.any() for mask in other] == [False, True, False, False]
            assert other[1] == masks[1]
            assert source.computed_here == 2
            assert replace(wanted.items[1], mask=other[1]) == wanted.items[1]
