"""Renders a bundle's model card, in the form that LiteRT's community uses on model hubs.

Every figure is the manifest's or the report's; what neither holds is said to be not measured.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.manifest import GraphSpec, Manifest
from detr2litert.host_runtime.tensor_spec import TensorSpec
from detr2litert.verify.accuracy.accuracy import GATE as ACCURACY
from detr2litert.verify.gates import GateResult, Verdict
from detr2litert.verify.precision import describe_precision
from detr2litert.verify.report.report import RunReport, load_report, rejudge

REPORT = "report.json"
_WORDS = {Verdict.PASSED: "passed", Verdict.FAILED: "**failed**", Verdict.NOT_RUN: "not run"}
_ROLES = {"a": "first graph", "b": "second graph", "a.native": "the same, native", "b.native": "the same, native", "m": "masks"}


@dataclass(frozen=True)
class CardOptions:
    """What neither the bundle nor its report knows.

    Attributes:
        title: of the card; "" for the variant's name.
        licence: an SPDX identifier in lower case, as hubs write it; "" if it was not given.
        trained_on: a sentence about the training data; "" if it was not given.
    """

    title: str = ""
    licence: str = ""
    trained_on: str = ""


def report_of(folder: Path, manifest: Manifest) -> RunReport | None:
    """Returns the report beside a bundle; None if there is none.

    Raises:
        UserError: it cannot be read, or it is the report of other files.
    """
    path = folder / REPORT
    if not path.exists():
        return None
    report = load_report(path)
    sizes = {name: record.bytes for name, record in manifest.files.items()}
    if report.weights != manifest.weights or dict(report.files) != sizes:
        raise UserError(f"{path} is the report of another bundle; convert this one again, or remove the report")
    return report


def render_card(manifest: Manifest, report: RunReport | None, options: CardOptions) -> str:
    """Returns the card as Markdown with a YAML header."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=False,  # Markdown; every foreign text passes the filter below
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(md=escaped, code=code, quoted=quoted, tensors=_tensors, size=_size)
    return environment.get_template("card.md.jinja").render(
        title=options.title or f"{manifest.variant} for {manifest.target}",
        options=options,
        manifest=manifest,
        precision=describe_precision(manifest),
        report=report,
        graphs=_graphs(manifest, report),
        files={name: record.bytes for name, record in manifest.files.items() if not name.startswith("golden/")},
        golden=sum(record.bytes for name, record in manifest.files.items() if name.startswith("golden/")),
        host=[op.op for op in manifest.host_step.ops],
        names=[name for name in manifest.classes if name is not None],
        settings={name: record for name, record in manifest.settings.items() if record.requested},
        verdict=_WORDS[report.verdict].strip("*") if report is not None else "not run",
        gates=[_gate(gate) for gate in report.gates] if report is not None else [],
        absent=list(report.absent_gates) if report is not None else [],
        average_precision=_average_precision(report),
    )


def escaped(text: object) -> str:
    """Makes a foreign text stand for itself in a line or a table of Markdown, which may hold HTML."""
    line = " ".join(str(text).split())
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]|#~$])", r"\\\1", line)


def code(text: object) -> str:
    """Writes a foreign text as code, in a line or a table."""
    return f"`{' '.join(str(text).split()).replace('`', '').replace('|', '')}`"


def quoted(text: object) -> str:
    """Quotes a foreign text for the YAML header."""
    return '"' + " ".join(str(text).split()).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _tensors(spec: Sequence[TensorSpec]) -> str:
    """Describes tensors: ``image float32 [1, 3, 160, 160]``."""
    return ", ".join(f"{code(tensor.name)} {tensor.dtype} {list(tensor.shape)}" for tensor in spec)


def _size(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 50_000 else f"{size} bytes"


def _graphs(manifest: Manifest, report: RunReport | None) -> list[dict[str, Any]]:
    """Returns what the card's table shows of each graph."""
    native = manifest.native_graphs
    pairs: list[tuple[str, GraphSpec | None]] = [
        ("a", manifest.graphs.a),
        ("b", manifest.graphs.b),
        ("a.native", None if native is None else native.a),
        ("b.native", None if native is None else native.b),
        ("m", manifest.graphs.m),
    ]
    found: list[dict[str, Any]] = []
    for letter, spec in pairs:
        if spec is None or spec.file in [graph["file"] for graph in found]:
            continue
        name = f"graph_{letter}"
        counts: Mapping[str, int] = {} if report is None else report.op_counts.get(name, {})
        found.append(
            {
                "file": spec.file,
                "role": _ROLES[letter] if manifest.graphs.b is not None or letter != "a" else "the graph",
                "bytes": manifest.files[spec.file].bytes,
                "operators": sum(counts.values()) or None,
                "dispatches": None if report is None else report.dispatches.get(name),
                "inputs": spec.inputs,
                "outputs": spec.outputs,
            }
        )
    return found


def _gate(gate: GateResult) -> dict[str, str]:
    return {"name": gate.gate, "verdict": _WORDS[rejudge(gate)], "summary": gate.summary}


def _average_precision(report: RunReport | None) -> list[Mapping[str, Any]]:
    """Returns the accuracy gate's rows: side, pictures, AP and AP50."""
    gates = [gate for gate in (report.gates if report is not None else ()) if gate.gate == ACCURACY]
    return [row for gate in gates for row in gate.data.get("average_precision", ()) if not row["missing"]]
