"""The report of a bundle on devices, as one typed record, as JSON, and as an HTML page in the style of a conversion's.

A device that reports to be an emulator is labelled as one everywhere: in the page's title, a banner, its row, each of its
gates, and the JSON.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from detr2litert.host_runtime.errors import UserError
from detr2litert.verify.device.parity import EMULATOR, DeviceRow
from detr2litert.verify.device.protocol import Request
from detr2litert.verify.gates import Verdict
from detr2litert.verify.report.page import MARKS, page_environment
from detr2litert.verify.report.report import plain, write_whole

SCHEMA_VERSION = 1
_TEMPLATE = "device/report.html.jinja"


@dataclass(frozen=True)
class DeviceReport:
    """One command's outcome.

    Attributes:
        variant, target: of the bundle.
        manifest_sha256: of its manifest.
        request: what was run.
        rows: one per device.
        created: ISO 8601 time.
    """

    variant: str
    target: str
    manifest_sha256: str
    request: Request
    rows: tuple[DeviceRow, ...]
    created: str = ""

    @property
    def emulated(self) -> bool:
        """True if any of the devices is an emulator."""
        return any(row.emulator for row in self.rows)

    @property
    def ran_on(self) -> str:
        """Describes in one phrase what the gates ran on: devices, emulators or both."""
        ran = [row.emulator for row in self.rows if not row.error]
        if any(ran):
            return EMULATOR if all(ran) else f"{len(ran) - sum(ran)} devices and {sum(ran)} {EMULATOR}"
        return "devices" if ran else "nothing"

    @property
    def verdict(self) -> Verdict:
        """Failed if a device's verdict is; else not run if a device's verdict is; else passed."""
        verdicts = [row.verdict for row in self.rows]
        return next((v for v in (Verdict.FAILED, Verdict.NOT_RUN) if v in verdicts), Verdict.PASSED)

    def to_json(self) -> dict[str, Any]:
        """Returns a JSON-ready record; a non-finite figure is a string."""
        record = {
            "schema_version": SCHEMA_VERSION,
            "kind": "device",
            "verdict": str(self.verdict),
            "ran_on": self.ran_on,
            "created": self.created,
            "variant": self.variant,
            "target": self.target,
            "manifest_sha256": self.manifest_sha256,
            "request": asdict(self.request),
            "devices": [_row(row) for row in self.rows],
        }
        ready: dict[str, Any] = plain(record, escape=True)
        return ready


def check_folder(folder: Path) -> None:
    """Checks that a report could be written to a folder, which need not exist yet; changes nothing.

    Raises:
        UserError: the path is not a folder, or this user may not write there.
    """
    try:
        near = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
        good = near.is_dir() and os.access(near, os.W_OK | os.X_OK)
    except OSError as error:
        raise UserError(f"{folder} cannot be accessed ({error.strerror}); give another --report") from error
    if not good:
        raise UserError(f"no report can be written to {folder}: {near} is not a writable folder; give another --report")


def write_reports(report: DeviceReport, folder: Path) -> None:
    """Writes report.json and report.html into a folder, which is created if necessary.

    Raises:
        UserError: they cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder} cannot be made ({error.strerror}); give another --report") from error
    write_whole(folder / "report.json", json.dumps(report.to_json(), indent=1, allow_nan=False) + "\n")
    write_whole(folder / "report.html", render_html(report))


def render_html(report: DeviceReport) -> str:
    """Renders the page, which is self-contained and may fetch nothing."""
    environment = page_environment(
        figure=_figure,
        clock=lambda created: created.replace("T", " ").replace("+00:00", " UTC"),
        identity=_identity,
        milliseconds=lambda value: f"{value:.2f}" if math.isfinite(value) else "not a number",
        fact=_fact,
    )
    return environment.get_template(_TEMPLATE).render(report=report, marks=MARKS, emulator=EMULATOR)


def _row(row: DeviceRow) -> dict[str, Any]:
    return {
        "serial": row.serial,
        "emulator": row.emulator,
        "verdict": str(row.verdict),
        "error": row.error,
        "facts": dict(row.facts),
        "gates": [gate.to_json() for gate in row.gates],
    }


def _identity(row: DeviceRow) -> str:
    """Describes device, SoC, Android, runtime and the form of the graphs in one line, as far as they are known."""
    device, android, app, graphs = (row.facts.get(part, {}) for part in ("device", "android", "app", "graphs"))
    makers = [str(device.get(key) or "") for key in ("manufacturer", "model")]
    named = [
        makers[1] if makers[1].lower().startswith(makers[0].lower()) else " ".join(makers),
        " ".join(str(device.get(key) or "") for key in ("soc_manufacturer", "soc_model")),
        f"Android {android['release']} (SDK {android.get('sdk')})" if android.get("release") else "",
        f"LiteRT {app['litert']}" if app.get("litert") else "",
        f"{graphs['form']} form of the graphs" if graphs.get("form") else "",
    ]
    return ", ".join(filter(None, (" ".join(part.split()) for part in named)))


def _fact(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _figure(value: float) -> str:
    return f"{value:.6g}" if math.isfinite(value) else "not a number"
