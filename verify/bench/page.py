"""Renders a run as one self-contained HTML page, in the style of a conversion's report."""

from __future__ import annotations

from pathlib import Path

from detr2litert.verify.bench import words
from detr2litert.verify.bench.charts import HEIGHT, WIDTH, bars, histograms
from detr2litert.verify.bench.record import BenchRecord
from detr2litert.verify.bench.scaling import WORKERS
from detr2litert.verify.bench.stages import STAGES
from detr2litert.verify.report.page import page_environment
from detr2litert.verify.report.report import write_whole

_TEMPLATE = "bench/bench.html.jinja"


def render_page(record: BenchRecord) -> str:
    """Renders the page, which fetches nothing."""
    environment = page_environment(ms=lambda value: f"{value:.2f}")
    shown = {stage for contender in record.contenders for stage in contender.frames.stages}
    return environment.get_template(_TEMPLATE).render(
        record=record,
        words=words,
        stages=[(index, stage) for index, stage in enumerate(STAGES) if stage in shown],
        bars=bars(record.contenders),
        histograms=histograms(record.contenders),
        chart={"width": WIDTH, "height": HEIGHT},
        workers=WORKERS,
    )


def write_page(record: BenchRecord, path: Path) -> Path:
    """Writes the page in one step.

    Raises:
        UserError: the file cannot be written.
    """
    return write_whole(path, render_page(record))
