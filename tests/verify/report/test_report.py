"""report.json round trips, judging again, the HTML page, and the terminal's table."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.manifest import SettingRecord, Weights
from detr2litert.verify.gates import GateResult, Measurement, Verdict
from detr2litert.verify.report.html import render_html, write_html
from detr2litert.verify.report.report import Stage, judge, load_report, write_report
from detr2litert.verify.report.static_int8 import BlockLoss, Sweep
from detr2litert.verify.report.summary import gate_table
from tests.verify.report.sample_report import EXPECTED, failing_gate, gates, sample

REWRITES, LINT, RESIDENCY, NUMERICS, FP16, HOST, DETECTIONS = gates()
ABSENT = GateResult("residency", Verdict.NOT_RUN, "no Vulkan adapter: nothing was compiled", advice="run `[driver]`")


def test_json_round_trips(tmp_path: Path) -> None:
    report = sample(gates=(LINT, RESIDENCY, failing_gate(), FP16, DETECTIONS))
    back = load_report(write_report(report, tmp_path / "report.json"))
    assert back.to_json() == report.to_json()  # NaN is unequal to itself, but not as text
    assert back.verdict is Verdict.FAILED and back.gates[2].measurements[1].value != back.gates[2].measurements[1].value
    assert back.scenes[0].reference_png == b"" and back.scenes[0].rows == report.scenes[0].rows
    assert not [p for p in tmp_path.iterdir() if p.name != "report.json"]


def test_json_is_strict_and_has_its_version(tmp_path: Path) -> None:
    text = write_report(sample(gates=(failing_gate(),)), tmp_path / "report.json").read_text()
    record = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert record["schema_version"] == 1 and record["verdict"] == "failed"
    assert record["gates"][0]["measurements"][1] == {
        "subject": "graph_b / logits: GPU vs CPU", "metric": "correlation", "value": "nan", "limit": 0.99999,
        "at_least": True, "passed": False,
    }  # fmt: skip
    assert set(record) == {
        "schema_version", "verdict", "created", "variant", "target", "weights", "weights_place", "settings",
        "class_names", "class_ids",
        "adapter", "expected_gates", "gates", "stages",
        "rewrites",
        "op_counts", "dispatches", "not_counted", "files", "versions", "ranges", "scenes", "compared_with_outside",
        "static_int8",
    }  # fmt: skip


def test_static_int8_has_a_table_of_its_blocks(tmp_path: Path) -> None:
    blocks = (
        BlockLoss("model.backbone.layer.0", 6, 0.00012, True),
        BlockLoss("model.head", 2, float("nan"), False),
        BlockLoss("model.neck", 3, None, False),
    )
    report = sample(
        static_int8=(Sweep("graph_a", blocks, 0.9991, 0.9994, 0.9988, 65.0), Sweep("graph_m", (), 1.0, 1.0, 0.999, 0.1))
    )
    back = load_report(write_report(report, tmp_path / "report.json"))
    assert back.to_json() == report.to_json() and back.static_int8[1] == report.static_int8[1]
    assert back.static_int8[0].floats == ("model.head", "model.neck")
    text = " ".join(read_page(render_html(back)).text.split())
    assert "Static int8 of graph_a what each block loses alone, on the calibration pictures: 2 of 3 stay in floats" in text
    assert "model.backbone.layer.061.2e-04int8 model.head2not a numberfloats model.neck3not measuredfloats" in text
    assert "Static int8 of graph_m" not in text and "1 min 5 s" in text
    assert "Static int8" not in render_html(sample())


def test_verdict_is_judged_from_the_figures() -> None:
    assert sample().verdict is Verdict.PASSED
    flattered = replace(NUMERICS, measurements=(Measurement("graph_b / boxes", "correlation", 0.5, 0.999),))
    assert judge([REWRITES, LINT, RESIDENCY, flattered, FP16, HOST, DETECTIONS], EXPECTED) is Verdict.FAILED
    assert judge([REWRITES, LINT, ABSENT, NUMERICS, FP16, HOST, DETECTIONS], EXPECTED) is Verdict.NOT_RUN
    # An omitted gate did not run.
    assert judge([REWRITES, LINT, NUMERICS, FP16, HOST, DETECTIONS], EXPECTED) is Verdict.NOT_RUN
    assert judge([]) is Verdict.NOT_RUN
    assert judge([ABSENT, failing_gate()], EXPECTED) is Verdict.FAILED


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not valid JSON"),
        ("[1]", "not a report"),
        ('{"schema_version": 2}', "upgrade"),
        ('{"schema_version": 1}', "no 'variant'"),
        ('{"variant": "tiny"}', "schema_version is None"),
    ],
)
def test_bad_reports_are_refused_in_one_line(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "report.json"
    path.write_text(text)
    with pytest.raises(UserError, match=words) as error:
        load_report(path)
    assert "\n" not in str(error.value) and str(path) in str(error.value)


def test_reports_that_cannot_be_read_or_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        load_report(tmp_path / "none.json")
    with pytest.raises(UserError, match="cannot be written"):
        write_html(sample(), tmp_path / "none" / "report.html")


class _Page(HTMLParser):
    """Collects a page's references, its unclosed tags, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data", "action")]
        if tag not in ("meta", "img", "br", "link", "input", "hr"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data


def read_page(text: str) -> _Page:
    page = _Page()
    page.feed(text)
    page.close()
    assert not page.open
    return page


def test_page_is_self_contained(tmp_path: Path) -> None:
    text = write_html(sample(), tmp_path / "report.html").read_text()
    page = read_page(text)
    assert len(page.links) == 4 and all(link.startswith("data:image/png;base64,") for link in page.links)
    assert not re.search(r"https?://|@import|url\(|<script", text)
    assert "default-src 'none'" in text and "prefers-color-scheme: dark" in text and 'name="viewport"' in text


def test_page_shows_all_that_was_recorded() -> None:
    text = read_page(render_html(sample())).text
    for words in (
        "Rewrites", "Lint", "Residency", "Numerics", "Host side", "Detections",
        "graph_b / boxes: GPU vs CPU", "lower graph_a", "14.2 s",
        "protect_layer_norm", "squares overflow fp16", "BATCH_MATMUL", "graph_a.tflite", "3.4 MB", "ai-edge-quantizer",
        "9f1c9f1c", "SwiftShader", "circle", "≥ 0.99999", "1 − 2e-10", "PyTorch reference",
    ):  # fmt: skip
        assert words in text, words
    assert "Not proved" not in text and "Random weights" not in text


def test_dispatches_are_below_the_operators_or_the_reason_why_not(tmp_path: Path) -> None:
    text = " ".join(read_page(render_html(sample())).text.split())
    assert "GPU dispatches318179" in text and "not counted" not in text
    lacking = sample(dispatches={"graph_a": None, "graph_b": None}, not_counted="counting needs a C compiler")
    text = " ".join(read_page(render_html(lacking)).text.split())
    assert "GPU dispatches–– Dispatches were not counted: counting needs a C compiler." in text
    record = sample().to_json()
    del record["dispatches"], record["not_counted"]
    (tmp_path / "older.json").write_text(json.dumps(record))
    older = load_report(tmp_path / "older.json")
    assert older.dispatches == {} and "GPU dispatches" not in render_html(older)


def test_the_settings_are_in_the_head_with_their_origin() -> None:
    text = " ".join(read_page(render_html(sample())).text.split())
    head = text[: text.index("Host side")]
    assert "ema.module in the file" in head
    assert "160 × 240the default of tiny; the file does not say" in head
    assert "letterboxrequested" in head
    assert "0.00392157preprocessor_config.json: rescale_factor" in head
    assert "Settings" not in read_page(render_html(sample(settings={}))).text


@pytest.mark.parametrize(("count", "opened"), [(5, True), (80, False)])
def test_each_column_has_its_id_name_and_rule(count: int, opened: bool) -> None:
    names = (None, *(f"part {number}" for number in range(1, count)))
    settings = {"classes": SettingRecord(f"{count - 1} of {count} columns", "the checkpoint: name i on column i + 1")}
    ids = (None, *range(count - 1))
    page = render_html(sample(settings=settings, class_names=names, class_ids=ids))
    summary = f"<summary>class of each of the {count} columns</summary>"
    assert (f"<details open>{summary}" in page, f"<details>{summary}" in page) == (opened, not opened)
    assert '<td>3</td><td>2</td><td>part 3</td><td class="soft">the checkpoint: name i on column i + 1</td>' in page
    assert '<td>0</td><td>–</td><td><span class="soft">unused</span></td><td class="soft">no class has it; ' in page
    without_ids = render_html(sample(settings=settings, class_names=names))
    assert "<td>3</td><td>–</td><td>part 3</td>" in without_ids


def test_a_report_without_settings_can_be_read(tmp_path: Path) -> None:
    record = json.loads(write_report(sample(), tmp_path / "report.json").read_text())
    del record["settings"], record["weights_place"], record["class_names"]
    (tmp_path / "report.json").write_text(json.dumps(record))
    assert load_report(tmp_path / "report.json").settings == {}


def test_keypoints_have_a_column_where_a_bundle_has_any() -> None:
    scene = sample().scenes[0]
    rows = (replace(scene.rows[0], keypoint=0.0123), *scene.rows[1:])
    text = " ".join(read_page(render_html(sample(scenes=(replace(scene, rows=rows),)))).text.split())
    assert "IoUkeypoints apart" in text and text.count("1.23 %") == 1
    assert f"{rows[0].iou:.4f}1.23 %" in text and f"{rows[1].iou:.4f}–" in text
    assert "keypoints apart" not in render_html(sample())


def test_pairs_that_the_pictures_do_not_show_are_counted() -> None:
    scene = sample().scenes[0]
    low = replace(scene.rows[0], status="matched", note="not above 0.3, nor drawn")
    assert "not above the threshold" not in render_html(sample())
    text = render_html(sample(scenes=(replace(scene, rows=(low, *scene.rows)),)))
    assert "matched, 1 of them not above the threshold" in text and low.note in text


def test_average_precision_says_what_it_is_of() -> None:
    """Three rows each of boxes, masks and keypoints, which would look alike without a word."""
    figures = {"pictures": 3, "ap": 0.5, "ap50": 0.75, "difference": None, "low": 0.25, "high": 0.5, "missing": ""}
    rows = [{"side": "reference", **figures}, *({"side": "CPU", "of": of, **figures} for of in ("boxes", "masks", "keypoints"))]
    gate = GateResult("accuracy", Verdict.PASSED, "all 3 pictures", data={"average_precision": rows})
    text = " ".join(read_page(render_html(sample(gates=(*gates(), gate)))).text.split())
    assert [words in text for words in ("reference30.500", "CPU30.500", "CPU, masks30.500", "CPU, keypoints30.500")] == [
        True
    ] * 4


def test_gates_come_first_and_failures_are_visible() -> None:
    report = sample(gates=(LINT, ABSENT, failing_gate()), weights=Weights("random, seed 0", "ab" * 32, True), adapter="")
    text = read_page(render_html(report)).text
    assert "Random weights" in text and "Not proved: residency, rewrites, fp16, host, detections" in text
    assert text.index("Random weights") < text.index("Lint") < text.index("Stages")
    assert "not a number" in text and "∞" in text and "rewrite it in another form" in text
    assert "none: the GPU gates did not run" in text


def test_page_escapes_its_content() -> None:
    hostile = '<script>alert("x")</script>'
    report = sample(
        variant=hostile, stages=(Stage(hostile, 1.0, hostile),), files={hostile: 1}, versions={hostile: hostile},
        gates=(replace(failing_gate(), summary=hostile, advice=hostile),), weights=Weights(hostile, hostile),
    )  # fmt: skip
    assert "<script" not in render_html(report)


def test_page_of_an_empty_run() -> None:
    report = sample(stages=(), rewrites=(), op_counts={}, files={}, gates=(), scenes=(), versions={}, created="")
    text = read_page(render_html(report)).text
    assert "Not proved: rewrites, lint, residency, numerics, fp16, host, detections" in text


def test_terminal_table() -> None:
    console = Console(width=100, record=True, file=StringIO())
    console.print(gate_table((LINT, ABSENT, failing_gate())))
    shown = console.export_text()
    assert "not run" in shown and "failed" in shown and "run `[driver]`" in shown  # brackets are no markup
