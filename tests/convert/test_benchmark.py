"""The benchmark's counts and tables."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import torch
from click.testing import CliRunner
from torch import Tensor, nn

from detr2litert.convert.document import read_document
from detr2litert.host_runtime.manifest import Weights
from detr2litert.rewrites import driver, pipeline
from detr2litert.rewrites.profile import Profile, Sampling
from detr2litert.rewrites.program import export
from detr2litert.verify.bench.compare import compare_in_turns
from detr2litert.verify.bench.machine import describe_machine
from detr2litert.verify.cost.measure import Measured, Measurements, Time
from detr2litert.verify.gates import GateResult, Verdict
from detr2litert.verify.report.report import RunReport, Stage
from tests.verify.bench.fakes import contender
from tests.verify.bench.fakes import record as bench_record
from tools.benchmark.__main__ import main
from tools.benchmark.conversion import Conversion, from_report
from tools.benchmark.cost import cost_of, sampling_core
from tools.benchmark.frames import FrameTimes
from tools.benchmark.record import Cost, Record, VariantRecord
from tools.benchmark.tables import _FORMS, render

ROOT = Path(__file__).parents[2]


class Layers(nn.Module):
    """Every kind of op that has its own cost formula."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        product = torch.matmul(x, y)  # [2, 3, 5] from [2, 3, 4] and [2, 4, 5]
        moved = product.permute(0, 2, 1)
        return torch.relu(moved).sum(1)


def test_each_kind_of_op_has_the_documented_cost():
    graph = export(Layers(), (torch.zeros(2, 3, 4), torch.zeros(2, 4, 5))).graph
    cost = cost_of(graph.nodes)
    assert cost.macs == 2 * 3 * 5 * 4
    assert cost.elementwise == 30 + 30  # the relu writes 30, the sum reads 30
    assert cost.bytes == 4 * (30 + 30 + 30 + 2 * 3)


def test_a_linear_layer_costs_its_matmul_and_a_reshape_nothing():
    graph = export(nn.Sequential(nn.Linear(7, 11), nn.Flatten(0)), (torch.zeros(3, 7),)).graph
    assert cost_of(graph.nodes) == Cost(macs=3 * 7 * 11, elementwise=0, bytes=3 * 11 * 4)


BATCH, CHANNELS, HEIGHT, WIDTH, QUERIES, POINTS = 2, 8, 6, 5, 7, 3


class Weighted(nn.Module):
    """Sampling whose samples are weighted and summed, as deformable attention does."""

    def forward(self, image: Tensor, grid: Tensor, weights: Tensor) -> Tensor:
        samples = nn.functional.grid_sample(image, grid, align_corners=False)
        return (samples * weights).sum(-1)


class Decoder(nn.Module):
    """A sampling module between layers that do not count towards its cost."""

    def __init__(self) -> None:
        super().__init__()
        self.sampler = Weighted()
        self.after = nn.Linear(QUERIES, QUERIES)

    def forward(self, image: Tensor, grid: Tensor, weights: Tensor) -> Tensor:
        return self.after(self.sampler(image, grid, weights))


def lowered(sampling: Sampling) -> Cost:
    inputs = (
        torch.zeros(BATCH, CHANNELS, HEIGHT, WIDTH),
        torch.zeros(BATCH, QUERIES, POINTS, 2),
        torch.zeros(BATCH, 1, QUERIES, POINTS),
    )
    graph_module = export(Decoder(), inputs)
    driver.run(pipeline.IN_EACH_GRAPH, graph_module, replace(Profile(), sampling=sampling))
    core = sampling_core(graph_module)
    assert any(node.op == "call_function" for node in set(graph_module.graph.nodes) - set(core))
    return cost_of(core)


def test_the_macs_of_both_forms_of_sampling_are_those_of_their_formulas():
    cells = HEIGHT * WIDTH
    unfolded = BATCH * QUERIES * POINTS * cells * CHANNELS  # every point's samples
    folded = BATCH * QUERIES * cells * POINTS + BATCH * QUERIES * cells * CHANNELS  # the matrix, then one product
    assert lowered(Sampling.TENT).macs == unfolded
    assert lowered(Sampling.FOLDED_TENT).macs == folded


def test_the_rest_of_the_unfolded_form_is_counted_with_its_weighting():
    outer = BATCH * QUERIES * POINTS * HEIGHT * WIDTH
    weighting = 2 * BATCH * CHANNELS * QUERIES * POINTS  # a product and a sum over it
    tents = BATCH * QUERIES * POINTS * 4 * (HEIGHT + WIDTH)  # subtract, abs, subtract, relu
    pixels = BATCH * QUERIES * POINTS * 2  # a product for x and for y: positions are relative to the centre
    assert lowered(Sampling.TENT).elementwise == outer + weighting + tents + pixels


def test_folding_writes_fewer_bytes():
    assert lowered(Sampling.FOLDED_TENT).bytes < lowered(Sampling.TENT).bytes


def test_a_graph_that_samples_nothing_has_no_core():
    assert sampling_core(export(nn.Linear(2, 2), (torch.zeros(1, 2),))) == []


def a_conversion(random: bool) -> Conversion:
    report = RunReport(
        variant="big" if random else "little",
        target="pixel",
        weights=Weights("", "0" * 64, random),
        versions={},
        adapter="",
        stages=(Stage("load weights", 1.25), Stage("gate 1", 0.5)),
        rewrites=(),
        op_counts={"graph_a": {"ADD": 3, "MUL": 4}, "graph_b": {"ADD": 2}, "graph_a.native": {"MUL": 5}},
        files={"graph_a.tflite": 1_500_000, "graph_b.tflite": 250_000, "graph_a.native.tflite": 1_400_000, "labels.txt": 9},
        gates=(GateResult("lint", Verdict.PASSED, ""),),
        dispatches={"graph_a": 6, "graph_b": 3, "graph_a.native": 4},
    )
    return from_report(report, seconds=12.0, peak_bytes=2_340_000_000)


def some_conversions(random: bool) -> tuple[Conversion, ...]:
    """Two runs, the first slower and with less memory."""
    fast = a_conversion(random)
    slow = replace(fast, seconds=fast.seconds + 2, peak_bytes=1, stages={"load weights": 3.0})
    return slow, fast


def some_graphs(software: bool, not_counted: str = "", adapter: str = "Mali") -> Measurements:
    cpu = Time(1.0, 3)
    figures = {"graph_a": (6, 1.5), "graph_b": (3, 0.5), "graph_a.native": (4, 1.25)}
    graphs = {
        name: Measured(cpu, Time(milliseconds, 3), None if not_counted else count)
        for name, (count, milliseconds) in figures.items()
    }
    return Measurements(graphs, adapter, software, not_counted, 2)


def some_frames(no_gpu: str = "") -> FrameTimes:
    """A bundle beside an ONNX file of twice its time, and the same bundle on a GPU in software."""
    cpu = bench_record(contender(), contender("tiny.onnx", (20.0, 24.0, 22.0), engine="ONNX Runtime", form=""))
    cpu = replace(cpu, comparisons=tuple(compare_in_turns(cpu.contenders, (), 0)))
    gpu = bench_record(contender(frame=(90.0, 92.0), accelerator="gpu", device="Soft", driver="1.3", software=True))
    return FrameTimes(cpu, None if no_gpu else gpu, no_gpu)


def a_record(graphs: Measurements | None = None, frames: FrameTimes | None = None) -> Record:
    sampling = {"tent": Cost(94_000_000, 2_000_000, 22_000_000), "folded-tent": Cost(50_000_000, 1_000_000, 11_000_000)}
    entries = {
        name: VariantRecord(some_conversions(name == "big"), frames or some_frames(), graphs or some_graphs(True), sampling)
        for name in ("little", "big")
    }
    return Record(describe_machine(), "pixel", 2, entries)


def test_a_report_becomes_a_conversion():
    conversion = a_conversion(random=False)
    assert conversion.ops == {"graph_a": 7, "graph_b": 2, "graph_a.native": 5}
    assert conversion.file_bytes == {"graph_a": 1_500_000, "graph_b": 250_000, "graph_a.native": 1_400_000}
    assert conversion.dispatches == {"graph_a": 6, "graph_b": 3, "graph_a.native": 4}
    assert conversion.stages == {"load weights": 1.25, "gate 1": 0.5}
    assert conversion.gates == {"lint": "passed"}


def test_the_tables_hold_every_figure_and_how_it_was_measured():
    text = render(a_record())
    for row in (
        "|  | little | big |",
        "| load weights | 1.2 | 1.2 |",
        "| **whole process, fastest** | **12.0** | **12.0** |",
        "| whole process, each run | 14.0, 12.0 | 14.0, 12.0 |",
        "| **peak memory** | **2.34 GB** | **2.34 GB** |",
        "| operators of graph A | 7 / 5 | 7 / 5 |",
        "| operators of graph B | 2 | 2 |",
        "| graph A, fp16 weights | 1.5 MB / 1.4 MB | 1.5 MB / 1.4 MB |",
        "| dispatches of graph A | 6 / 4 | 6 / 4 |",
        "| dispatches of graph B | 3 | 3 |",
        "| graph B, fp16 weights | 0.2 MB | 0.2 MB |",
        "| detector | 10.00 / 10.90 | 21.00 / 22.80 | 90.00 / 90.90 |",
        "| whole frame | 11.00 / 11.90 | 22.00 / 23.80 | 91.00 / 91.90 |",
        "| bundle against it |  | 0.50 × (0.50 to 0.50) |  |",
        "| MMAC, unfolded | 94.0 | 94.0 |",
        "| MB, folded | 11.0 | 11.0 |",
    ):
        assert row in text.split("\n"), row
    assert "2 CPU threads" in text
    assert "little, 3 frames on the CPU after 3 to warm up (load when it began: 0.1) and 2 frames on the GPU after 3" in text
    assert "| little: LiteRT on the CPU, portable form, 2 CPU threads, fp32, 8 × 8 | ONNX Runtime on the CPU, 2 CPU " in text
    assert "LiteRT on Soft (1.3, software)" in text
    assert "Weights of big are random" in text
    frames = json.loads(json.dumps(a_record().to_json()))["variants"]["little"]["frames"]
    assert frames["cpu"]["contenders"][1]["frames"]["stages"]["whole frame"] == [20.0, 24.0, 22.0]


def test_frames_without_a_gpu_say_why() -> None:
    text = render(a_record(frames=some_frames("no Vulkan adapter")))
    assert "to warm up (load when it began: 0.1); not on a GPU: no Vulkan adapter:" in text and "Soft" not in text


def test_times_of_a_gpu_are_in_the_table_unless_it_is_a_software_one() -> None:
    hardware = render(a_record(some_graphs(software=False)))
    assert "| graph A, ms | 1.50 / 1.25 | 1.50 / 1.25 |" in hardware and "(Mali), portable / native form, and milli" in hardware
    assert "graph A, ms" not in render(a_record())


def test_dispatches_that_were_not_counted_have_their_reason() -> None:
    lacking = render(a_record(some_graphs(software=True, not_counted="there is no C compiler")))
    assert "Dispatches were not counted: there is no C compiler." in lacking and "dispatches of graph" not in lacking
    alone = render(a_record(some_graphs(software=True, not_counted="no Vulkan adapter", adapter="")))
    assert "Dispatches were not counted: no Vulkan adapter." in alone


def test_bad_input_ends_in_one_line_before_anything_is_measured(tmp_path):
    (tmp_path / "plain.md").write_text("no markers", encoding="utf-8")
    for arguments in (
        ["--variants", "nanno"],
        ["--write", str(tmp_path / "missing.md")],
        ["--write", str(tmp_path / "plain.md")],
    ):
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 2, arguments
        assert result.output.startswith("error: ")
        assert result.output.count("\n") == 1


def test_the_forms_of_sampling_in_the_table_exist():
    assert set(_FORMS) <= set(map(str, Sampling))


def test_the_measurements_have_the_markers():
    assert read_document(ROOT / "docs" / "measurements.md", "benchmark")


def test_the_process_that_measures_memory_holds_no_torch():
    code = "import sys, tools.benchmark.__main__; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
