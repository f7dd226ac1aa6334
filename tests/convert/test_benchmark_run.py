"""The benchmark, run as by a user."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tools.benchmark.latency import STAGES

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
    assert set(tiny["latency"]) == set(STAGES)
    parts = sum(tiny["latency"][stage]["median"] for stage in STAGES[:-1])
    assert tiny["latency"]["whole frame"]["median"] == pytest.approx(parts, rel=0.5)
    graphs = tiny["graphs"]["graphs"]
    assert set(graphs) == {"graph_a", "graph_b", "graph_a.native", "graph_b.native"}
    assert graphs["graph_a.native"]["dispatches"] < graphs["graph_a"]["dispatches"]
    assert tiny["sampling"]["folded-tent"]["macs"] < tiny["sampling"]["tent"]["macs"]
    text = document.read_text(encoding="utf-8")
    assert text.startswith(f"before\n{BEGIN}\n")
    assert text.endswith(f"{END}\nafter\n")
    assert "| host step |" in text and "| dispatches of graph A |" in text
