"""The benchmark, run as by a user."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from detr2litert.verify.bench.stages import FRAME, GRAPH_A, GRAPH_B

BEGIN, END = "<!-- benchmark:begin -->", "<!-- benchmark:end -->"
ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_demo_detector_is_measured_and_the_document_written(tmp_path):
    document, record = tmp_path / "document.md", tmp_path / "new" / "record.json"
    document.write_text(f"before\n{BEGIN}\n{END}\nafter\n", encoding="utf-8")
    command = [sys.executable, "-m", "tools.benchmark", "--variants", "tiny", "--runs", "3", "--conversions", "1"]
    done = subprocess.run(
        [*command, "--json", str(record), "--write", str(document)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    tiny = json.loads(record.read_text(encoding="utf-8"))["variants"]["tiny"]
    (conversion,) = tiny["conversions"]
    assert conversion["gates"]["detections"] == "passed"
    assert not conversion["random_weights"]
    assert conversion["seconds"] >= sum(conversion["stages"].values())
    assert 300e6 < conversion["peak_bytes"] < 4e9
    cpu, gpu = tiny["frames"]["cpu"], tiny["frames"]["gpu"]
    assert [one["setup"]["engine"] for one in cpu["contenders"]] == ["LiteRT", "ONNX Runtime", "PyTorch eager"]
    assert [one["setup"]["accelerator"] for one in gpu["contenders"]] == ["gpu"]
    for bench in (cpu, gpu):
        stages = bench["contenders"][0]["frames"]["stages"]
        assert {GRAPH_A, GRAPH_B} < set(stages)
        for index, whole in enumerate(stages[FRAME]):
            assert whole == pytest.approx(sum(times[index] for name, times in stages.items() if name != FRAME), rel=0.1)
    graphs = tiny["graphs"]["graphs"]
    assert set(graphs) == {"graph_a", "graph_b", "graph_a.native", "graph_b.native"}
    assert graphs["graph_a.native"]["dispatches"] < graphs["graph_a"]["dispatches"]
    assert tiny["sampling"]["folded-tent"]["macs"] < tiny["sampling"]["tent"]["macs"]
    text = document.read_text(encoding="utf-8")
    assert text.startswith(f"before\n{BEGIN}\n")
    assert text.endswith(f"{END}\nafter\n")
    assert "| host step |" in text and "| bundle against it |" in text and "| dispatches of graph A |" in text
