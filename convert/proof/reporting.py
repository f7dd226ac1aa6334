"""Writes the record of a run: report.json and report.html beside the bundle's files."""

from __future__ import annotations

import datetime
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from detr2litert.convert.compiler import CompiledDetector
from detr2litert.convert.progress import Progress
from detr2litert.convert.proof.prove import Evidence
from detr2litert.host_runtime.manifest import Manifest
from detr2litert.rewrites.driver import StepReport
from detr2litert.rewrites.pipeline import PROTECT
from detr2litert.verify.gates import GateResult
from detr2litert.verify.report.headroom import RangeRecord
from detr2litert.verify.report.html import write_html
from detr2litert.verify.report.report import Place, RewriteRecord, RunReport, Scene, Stage, write_report
from detr2litert.verify.report.static_int8 import Sweep

PROTECTING = tuple(step.name for step in PROTECT)
PICTURES = "pictures"
"""Folder beside the report with each test picture and the bundle's detections drawn on it."""


def report(
    manifest: Manifest,
    evidence: Evidence,
    progress: Progress,
    compiled: CompiledDetector,
    fix_ups: Mapping[str, Sequence[StepReport]] | None = None,
    weights_place: str = "",
    class_ids: Sequence[int | None] = (),
    static_int8: Sequence[Sweep] = (),
) -> RunReport:
    """Assembles the record of a run.

    Args:
        manifest: the bundle's manifest.
        evidence: the gates' results, of which the lint gate's has the operator counts and the numerics gate's the dispatches.
        progress: the stages so far.
        compiled: provides the reports of the rewrites and the measured ranges.
        fix_ups: the fix-ups of each converted file; None when verifying a finished bundle.
        weights_place: which weights of a training checkpoint were used.
        class_ids: ids of the classes in the file that names them; none when verifying a finished bundle.
        static_int8: what was measured of each graph in static int8; none without it, or when verifying a finished bundle.
    """
    return RunReport(
        variant=manifest.variant,
        target=manifest.target,
        weights=manifest.weights,
        versions=manifest.versions,
        adapter=next((str(gate.data["adapter"]) for gate in evidence.gates if gate.data.get("adapter")), ""),
        stages=tuple(Stage(stage.name, stage.seconds, stage.detail) for stage in progress.stages),
        rewrites=_rewrites({**compiled.reports, **(fix_ups or {})}),
        op_counts=next((gate.data["op_counts"] for gate in evidence.gates if "op_counts" in gate.data), {}),
        files={name: record.bytes for name, record in manifest.files.items()},
        gates=evidence.gates,
        expected_gates=evidence.expected,
        scenes=tuple(Scene(s.name, _png(s.reference), _png(s.bundle), s.rows) for s in evidence.scenes),
        ranges=_ranges(compiled),
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        settings=manifest.settings,
        weights_place=weights_place,
        class_names=manifest.classes,
        class_ids=tuple(class_ids),
        dispatches=_dispatches(evidence.gates),
        not_counted=next((str(gate.data["not_counted"]) for gate in evidence.gates if "not_counted" in gate.data), ""),
        static_int8=tuple(static_int8),
    )


def _dispatches(gates: Iterable[GateResult]) -> dict[str, int | None]:
    """Returns the GPU dispatches of each graph, which the numerics gate counted."""
    none: dict[str, Any] = {}
    runs = next((gate.data["gpu"] for gate in gates if "not_counted" in gate.data), none)
    return {graph: run["dispatches"] for graph, run in runs.items()}


def write_reports(record: RunReport, folder: Path) -> None:
    """Writes report.json, report.html and each picture with the bundle's detections into ``folder``."""
    write_report(record, folder / "report.json")
    write_html(record, folder / "report.html")
    if record.scenes:
        (folder / PICTURES).mkdir(exist_ok=True)
    for number, scene in enumerate(record.scenes, start=1):
        (folder / PICTURES / picture_name(number)).write_bytes(scene.bundle_png)


def picture_name(number: int) -> str:
    """Returns the file name of the overlay of the ``number``-th picture, counted from one."""
    return f"scene-{number}.png"


def _rewrites(passes: Mapping[str, Sequence[StepReport]]) -> tuple[RewriteRecord, ...]:
    return tuple(
        RewriteRecord(
            graph,
            step.name,
            step.reason,
            len(step.fired),
            step.ops_before,
            step.ops_after,
            tuple(Place(site.node, site.module, site.detail) for site in step.fired),
            tuple(Place(miss.node, miss.module, miss.reason) for miss in step.missed),
        )
        for graph, steps in passes.items()
        for step in steps
    )


def _ranges(compiled: CompiledDetector) -> tuple[RangeRecord, ...]:
    protected = {
        (graph, site.node): step.name
        for graph, steps in compiled.reports.items()
        for step in steps
        if step.name in PROTECTING
        for site in step.fired
    }
    return tuple(
        RangeRecord(
            graph,
            item.node,
            item.op,
            item.module,
            item.values.largest,
            item.values.sums.measured if item.values.sums else None,
            item.values.sums.bound if item.values.sums else None,
            item.values.headroom,
            item.values.blurred,
            protected.get((graph, item.node), ""),
        )
        for graph, ranges in compiled.ranges.items()
        for item in ranges
    )


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
