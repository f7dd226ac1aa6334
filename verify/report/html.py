"""Renders the report as one self-contained HTML page: styles and pictures are inline, and its own policy forbids any fetch."""

from __future__ import annotations

import math
from base64 import b64encode
from pathlib import Path
from typing import Any

from detr2litert.verify.accuracy.outside import outside_note
from detr2litert.verify.gates import GateResult, Verdict
from detr2litert.verify.report.headroom import charts
from detr2litert.verify.report.page import MARKS, page_environment
from detr2litert.verify.report.report import RunReport, rejudge, write_whole

_TEMPLATE = "report/report.html.jinja"
_UNFOLDED = 12
"""Rows of the table of classes that are shown without being asked for."""


def render_html(report: RunReport) -> str:
    """Renders the page."""
    environment = page_environment(png=_png, figure=_figure, size=_size, duration=_duration, setting=_setting)
    graphs = list(dict.fromkeys((*report.op_counts, *(r.graph for r in report.rewrites))))
    operators = sorted(
        {name for counts in report.op_counts.values() for name in counts},
        key=lambda name: (-sum(counts.get(name, 0) for counts in report.op_counts.values()), name),
    )
    return environment.get_template(_TEMPLATE).render(
        report=report,
        verdict=report.verdict,
        marks=MARKS,
        gates=[_gate(gate) for gate in report.gates],
        not_run=[gate.gate for gate in report.gates if rejudge(gate) is Verdict.NOT_RUN],
        absent=list(report.absent_gates),
        outside=outside_note(report.gates),
        graphs=graphs,
        rewrites={graph: _rewrites(report, graph) for graph in graphs},
        operators=operators,
        columns=_columns(report),
        unfolded=_UNFOLDED,
        charts=charts(report.ranges),
        slowest=max((stage.seconds for stage in report.stages), default=0.0) or 1.0,
        total_seconds=sum(stage.seconds for stage in report.stages),
        total_bytes=sum(report.files.values()),
    )


def write_html(report: RunReport, path: Path) -> Path:
    """Writes the page in one step.

    Raises:
        UserError: the file cannot be written.
    """
    return write_whole(path, render_html(report))


def _gate(gate: GateResult) -> dict[str, Any]:
    """Returns what the page shows of a gate; figures that missed their limit come first."""
    verdict = rejudge(gate)
    return {
        "name": gate.gate,
        "title": gate.title or gate.gate,
        "proves": gate.proves,
        "verdict": verdict,
        "summary": gate.summary,
        "advice": gate.advice if verdict is not Verdict.PASSED else "",
        "seconds": gate.seconds,
        "table": gate.data.get("average_precision", ()),
        "findings": gate.findings,
        "measurements": sorted(gate.measurements, key=lambda m: m.passed),
    }


def _rewrites(report: RunReport, graph: str) -> list[dict[str, Any]]:
    """Returns a graph's rewrites with the widths of their bars, in per cent of its largest node count."""
    records = [record for record in report.rewrites if record.graph == graph]
    most = max((max(r.nodes_before, r.nodes_after) for r in records), default=1) or 1
    return [{"record": r, "width": 100 * r.nodes_after / most, "before": 100 * r.nodes_before / most} for r in records]


def _columns(report: RunReport) -> list[dict[str, Any]]:
    """Returns a row for each logit column: its number, the id in the file that names it, the name, and the rule or source."""
    rule = report.settings["classes"].origin if "classes" in report.settings else ""
    ids = report.class_ids or (None,) * len(report.class_names)
    return [
        {"column": column, "id": number, "name": name, "rule": "no class has it; never reported" if name is None else rule}
        for column, (name, number) in enumerate(zip(report.class_names, ids, strict=True))
    ]


def _png(data: bytes) -> str:
    return f"data:image/png;base64,{b64encode(data).decode()}"


def _setting(value: Any) -> str:
    """Returns a setting's value in words."""
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_setting, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _figure(value: float) -> str:
    """Formats a figure: counts as integers, figures near 1 with the digits that differ from 1, tiny ones in powers of ten."""
    if not math.isfinite(value):
        return {math.inf: "∞", -math.inf: "−∞"}.get(value, "not a number")
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value)}"
    if 0.9 < value < 1:
        return f"{value:.7f}".rstrip("0") if 1 - value > 5e-8 else f"1 − {1 - value:.0e}"
    return f"{value:.3g}" if 1e-3 <= abs(value) < 1e4 else f"{value:.1e}"


def _size(count: int) -> str:
    value, unit = float(count), "B"
    for unit in ("B", "KB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"


def _duration(seconds: float) -> str:
    if seconds >= 60:
        return f"{int(seconds // 60)} min {int(seconds % 60)} s"
    return f"{seconds:.1f} s" if seconds >= 0.1 else f"{1000 * seconds:.0f} ms"
