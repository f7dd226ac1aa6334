"""A report with synthetic but plausible content, for the tests of its JSON and HTML forms."""

from __future__ import annotations

import math
from dataclasses import replace
from io import BytesIO

from PIL import Image, ImageDraw

from detr2litert.convert.proof.registry import GATES
from detr2litert.host_runtime.decode import Detection
from detr2litert.host_runtime.draw import draw_detections
from detr2litert.host_runtime.manifest import SettingRecord, Weights
from detr2litert.verify.gates import Finding, GateResult, Measurement, Verdict
from detr2litert.verify.parity.detections import DetectionCase, MatchRow, check_detections
from detr2litert.verify.report.headroom import RangeRecord
from detr2litert.verify.report.report import RewriteRecord, RunReport, Scene, Stage

_COLOURS = ("#c0563b", "#3b7dc0", "#5aa469", "#b08d2f")
_NAMES = ("circle", "triangle", "star", "ring")


def detections(shift: float = 0.0) -> list[Detection]:
    boxes = ((20, 24, 150, 150), (170, 60, 300, 200), (60, 170, 200, 300), (230, 210, 310, 310))
    return [
        Detection(i, _NAMES[i], 0.97 - 0.11 * i - shift / 100, tuple(v + shift for v in box))  # type: ignore[arg-type]
        for i, box in enumerate(boxes)
    ]


def _png(found: list[Detection]) -> bytes:
    picture = Image.new("RGB", (320, 320), "#dfe3da")
    pen = ImageDraw.Draw(picture)
    for index, item in enumerate(detections()):
        pen.ellipse(item.box, fill=_COLOURS[index])
    buffer = BytesIO()
    draw_detections(picture, found).save(buffer, "PNG")
    return buffer.getvalue()


def gates() -> tuple[GateResult, ...]:
    """A result of each gate that has no conditions, as a run writes them."""
    named = {gate.id: gate for gate in GATES}
    return tuple(replace(result, title=named[result.gate].title, proves=named[result.gate].proves) for result in _results())


def _results() -> tuple[GateResult, ...]:
    figures = []
    for output, correlation, error in (("boxes", 0.9999999998, 3.1e-6), ("logits", 0.99999999, 2.4e-5)):
        for link, limit in (("CPU vs PyTorch", 0.99999), ("shipped vs float32", 0.999), ("GPU vs CPU", 0.99999)):
            subject = f"graph_b / {output}: {link}"
            figures += [
                Measurement(subject, "correlation", correlation, limit),
                Measurement(subject, "max_abs_error", error, at_least=False),
            ]
    adapter = "SwiftShader Device (Subzero) (Vulkan, CPU / Software)"
    return (
        GateResult("rewrites", Verdict.PASSED, "PyTorch computes the original's outputs to 5.5e-06", seconds=0.7, measurements=(
            Measurement("detector / boxes: rewritten vs original", "correlation", 0.9999999999, 0.99999),)),
        GateResult("lint", Verdict.PASSED, "1035 operators, none refused or wrong, 1 risk", seconds=0.2, findings=(
            Finding("token-fan-out", "risk", "graph_a op 412 ADD (memory)", "a token tensor is an output and is read again",
                    "let it leave the graph as a leaf of its own"),)),
        GateResult("residency", Verdict.PASSED, f"2 of 2 graphs fully on the GPU delegate ({adapter})", measurements=(
            Measurement("graph_a", "fully accelerated", 1.0, 1.0), Measurement("graph_b", "fully accelerated", 1.0, 1.0)),
            seconds=6.4),
        GateResult("numerics", Verdict.PASSED, "6 of 6 comparisons within limits, lowest correlation 0.9999997",
                   measurements=tuple(figures), seconds=9.1),
        GateResult("fp16", Verdict.PASSED, "4 of 4 outputs within limits, lowest correlation 0.999970 (llvmpipe (Vulkan, CPU))",
                   measurements=(Measurement("graph_b / boxes: fp16 vs PyTorch", "correlation", 0.99997, 0.999),), seconds=4.0),
        GateResult("host", Verdict.PASSED, "the host side is PyTorch's to 8.3e-07", seconds=0.3),
        replace(check_detections([DetectionCase("scene 1", detections(), detections(0.1))]), seconds=1.3),
    )  # fmt: skip


def failing_gate() -> GateResult:
    place = "graph_b op 217 BATCH_MATMUL (model.decoder.layers.0.cross_attn|fold_sampling|_matmul_3;1)"
    message = "GPU vs CPU, input set 0: boxes correlation 0.412345, relative error 1.1, max abs error 0.83 of 1"
    return GateResult(
        "numerics",
        Verdict.FAILED,
        "5 of 6 comparisons within limits, lowest correlation 0.4123450",
        advice=f"{place}: see the lint gate, or rewrite it in another form",
        measurements=(
            Measurement("graph_b / boxes: GPU vs CPU", "correlation", 0.412345, 0.99999),
            Measurement("graph_b / logits: GPU vs CPU", "correlation", float("nan"), 0.99999),
            Measurement("graph_b / logits: GPU vs CPU", "max_abs_error", float("inf"), at_least=False),
        ),
        findings=(Finding("gpu-vs-cpu", "wrong", place, message, "rewrite it in another form"),),
        seconds=41.0,
    )


def ranges() -> tuple[RangeRecord, ...]:
    """Six layers of two operators in both graphs: with and without headroom, overflowing, protected, blurred integers."""
    peaks = (3.2, 900.0, 40_000.0, 300_000.0, 5_000_000.0, 1.5)
    return tuple(
        RangeRecord(
            graph,
            f"{op}_{layer}",
            f"aten.{op}.default",
            f"model.encoder.layer.{layer}.{op}",
            peak / 50,
            peak if op == "layer_norm" else None,
            2 * peak if op == "layer_norm" else None,
            math.log2(65504 / (peak if op == "layer_norm" else peak / 50)),
            graph == "graph_b" and layer == 5,
            "protect_layer_norm" if layer == 3 and op == "layer_norm" else "",
        )
        for graph in ("graph_a", "graph_b")
        for layer, peak in enumerate(peaks)
        for op in ("gelu", "layer_norm")
    )


EXPECTED = ("rewrites", "lint", "residency", "numerics", "fp16", "host", "detections")
"""Gates that the sample's run had."""


def sample(**changes: object) -> RunReport:
    found = gates()
    rows = tuple(MatchRow(**row) for row in found[6].data["scenes"]["scene 1"])
    report = RunReport(
        variant="tiny",
        target="pixel",
        weights=Weights("convert/demo/tiny.safetensors", "9f1c" * 16),
        versions={"torch": "2.13.0", "litert-torch": "0.10.0", "ai-edge-litert": "2.3.0", "ai-edge-quantizer": "0.10.0"},
        adapter="SwiftShader Device (Subzero) (Vulkan, CPU / Software)",
        stages=(
            Stage("load", 0.8, "1.4 M parameters"),
            Stage("export", 3.1),
            Stage("rewrite", 0.7, "11 passes, 412 sites"),
            Stage("lower graph_a", 14.2),
            Stage("lower graph_b", 6.3),
            Stage("fp16", 0.4),
            Stage("verify", 17.0),
        ),
        rewrites=tuple(
            RewriteRecord(graph, name, reason, fired, before, after)
            for graph in ("graph_a", "graph_b")
            for name, reason, fired, before, after in (
                ("evaluate_constants", "what the image does not reach is computed once", 184, 1204, 701),
                ("fold_sampling", "bilinear sampling as one matrix product a head", 2, 701, 640),
                ("reduce_rank", "the delegate refuses more than four dimensions", 61, 640, 688),
                ("lower_max", "ties of a values-only top-k", 0, 688, 688),
                ("protect_layer_norm", "squares overflow fp16", 25, 688, 913),
            )
        ),
        op_counts={
            "graph_a": {"MUL": 173, "RESHAPE": 150, "FULLY_CONNECTED": 61, "CONV_2D": 9, "SOFTMAX": 6},
            "graph_b": {"MUL": 104, "RESHAPE": 71, "FULLY_CONNECTED": 37, "BATCH_MATMUL": 12, "SOFTMAX": 4},
        },
        files={"graph_a.tflite": 3_412_004, "graph_b.tflite": 811_320, "host_params.safetensors": 53_200, "labels.txt": 61},
        gates=found,
        scenes=(
            Scene("scene 1", _png(detections()), _png(detections(0.1)), rows),
            Scene("scene 2", _png(detections()[:2]), _png(detections(0.1)[:2]), rows[:2]),
        ),
        ranges=ranges(),
        created="2026-11-21T02:00:00Z",
        expected_gates=EXPECTED,
        settings={
            "resolution": SettingRecord([160, 240], "the default of tiny; the file does not say"),
            "fit": SettingRecord("letterbox", "requested", True),
            "scale": SettingRecord(1 / 255, "preprocessor_config.json: rescale_factor"),
            "num_queries": SettingRecord(40, "40 query rows in 1 groups"),
        },
        weights_place="ema.module",
        dispatches={"graph_a": 318, "graph_b": 179},
    )
    return replace(report, **changes)  # type: ignore[arg-type]
