"""``convert device``: runs a bundle on phones over adb and verifies it there."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from detr2litert.convert.cli.base import BAD_INPUT, PACKAGE_OPTION, STRICT_FLAG, FiniteRange, exit_code, refuse, reported
from detr2litert.convert.cli.output import print_gates

if TYPE_CHECKING:
    from detr2litert.host_runtime.bundle import Bundle
    from detr2litert.verify.device.parity import DeviceRow
    from detr2litert.verify.device.protocol import Request
    from detr2litert.verify.device.report import DeviceReport


@click.command(short_help="Run a bundle on a phone over adb and verify it there.")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--serial", "serials", multiple=True, help="Device, as `adb devices` lists it; repeatable.")
@click.option("--all", "every", is_flag=True, help="Every connected device.")
@PACKAGE_OPTION
@click.option("--accelerator", type=click.Choice(["gpu", "cpu"]), default="gpu", show_default=True)
@click.option("--precision", type=click.Choice(["default", "fp16", "fp32"]), default="default", show_default=True)
@click.option("--runs", default=50, show_default=True, type=click.IntRange(1, 10000), help="Timed runs.")
@click.option("--timeout", "seconds", default=600.0, show_default=True, type=FiniteRange(1), help="Seconds for a run.")
@click.option("--report", "folder", type=click.Path(path_type=Path), help="Folder of the report [default: BUNDLE/device].")
@STRICT_FLAG
@click.option("--json", "as_json", is_flag=True, help="Print report.json instead of the table.")
@reported
def device(
    bundle: Path,
    serials: tuple[str, ...],
    every: bool,
    package: str,
    folder: Path | None,
    strict: bool,
    as_json: bool,
    **request: Any,
) -> int:
    """Run a bundle on a phone's GPU through the Android app, and judge every stage here by the golden vectors."""
    from detr2litert.verify.device.parity import EMULATOR
    from detr2litert.verify.device.protocol import Request

    report, where = run_on_devices(bundle, serials, every, package, Request(**request), folder)
    if as_json:
        click.echo((where / "report.json").read_text(encoding="utf-8"))
    for row in report.rows:
        if row.error:
            refuse(row.error)
        elif not as_json:
            model = row.facts["device"].get("model")
            click.echo(f"\n{row.serial}  {f'{EMULATOR}  ' if row.emulator else ''}{model}: {row.verdict}")
            print_gates(row.gates)
    if not as_json:
        click.echo(f"report   {where / 'report.html'}")
    codes = [BAD_INPUT if row.error else exit_code(row.gates, strict) for row in report.rows]
    return max(codes)


def run_on_devices(
    path: Path, serials: tuple[str, ...], every: bool, package: str, request: Request, folder: Path | None
) -> tuple[DeviceReport, Path]:
    """Runs a bundle on devices, judges it, and writes the report; returns the record and its folder.

    With one device its ``DeviceError`` is raised. With several, each error is recorded in its row, and the others continue.

    Raises:
        UserError: the bundle is not valid, no report can be written to the folder, or no device can be chosen.
    """
    from detr2litert.convert.cli.device_display import DeviceDisplay
    from detr2litert.host_runtime.bundle import load_bundle
    from detr2litert.verify.adb.client import Adb
    from detr2litert.verify.adb.errors import DeviceError
    from detr2litert.verify.device.parity import DeviceRow, check_device
    from detr2litert.verify.device.report import check_folder, write_reports

    with load_bundle(path) as bundle:
        folder = folder or (path / "device" if path.is_dir() else path.with_name(f"{path.stem}-device"))
        check_folder(folder)  # now, not after minutes on the device
        chosen = Adb().choose(serials, every)
        rows: list[DeviceRow] = []
        with DeviceDisplay() as display:
            for one in chosen:
                display.of(one.serial)
                try:
                    rows.append(check_device(one, package, bundle, request, display.tell, display.sending))
                except DeviceError as error:
                    if len(chosen) == 1:
                        raise
                    rows.append(DeviceRow(one.serial, error=" ".join(str(error).split())))
        report = _report(bundle, request, tuple(rows))
    write_reports(report, folder)
    return report, folder


def _report(bundle: Bundle, request: Request, rows: tuple[DeviceRow, ...]) -> DeviceReport:
    from detr2litert.host_runtime.bundle import file_sha256
    from detr2litert.host_runtime.manifest import MANIFEST_NAME
    from detr2litert.verify.device.report import DeviceReport

    manifest = bundle.manifest
    created = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return DeviceReport(manifest.variant, manifest.target, file_sha256(bundle.root / MANIFEST_NAME), request, rows, created)
