"""The commands for phones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from detr2litert.convert.cli.base import BAD_INPUT, STRICT_FLAG, FiniteRange, exit_code, reported
from detr2litert.convert.cli.output import print_gates

_SERIAL = click.option("--serial", help="Device, as `adb devices` lists it; required if there are several.")
_PACKAGE = click.option("--package", default="org.detr2litert.sample", show_default=True, help="The app.")


@click.command(short_help="Put a bundle into the Android app over adb.")
@click.argument("bundle", type=click.Path(path_type=Path))
@_SERIAL
@_PACKAGE
@reported
def push(bundle: Path, serial: str | None, package: str) -> None:
    """Put a bundle into the Android app's storage over adb, with hashes checked on both sides.

    If it is interrupted, run it again to resume.
    """
    from detr2litert.convert.devices import push as push_bundle

    where, done = push_bundle(bundle, serial, package)
    sent = "was already there" if not done.bytes_sent else f"sent {done.bytes_sent} of {done.bytes_all} bytes"
    click.echo(f"{where}  files/{done.folder}  {sent}, every sha256 checked")


@click.command("app-assets", short_help="Put a bundle into the Android project, for a build that includes it.")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--sample", type=click.Path(path_type=Path), help="The Android project [default: android_sample].")
@reported
def app_assets(bundle: Path, sample: Path | None) -> None:
    """Put a bundle into the Android project's assets, for a build that includes it."""
    from detr2litert.convert.assets import app_assets as copy_assets

    click.echo(str(copy_assets(bundle, sample)))


@click.command(short_help="Run a bundle on a phone over adb and verify it there.")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--serial", "serials", multiple=True, help="Device, as `adb devices` lists it; repeatable.")
@click.option("--all", "every", is_flag=True, help="Every connected device.")
@_PACKAGE
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
    from detr2litert.convert.devices import device as run_on_devices
    from detr2litert.verify.device.parity import EMULATOR
    from detr2litert.verify.device.protocol import Request

    report, where = run_on_devices(bundle, serials, every, package, Request(**request), folder)
    if as_json:
        click.echo((where / "report.json").read_text(encoding="utf-8"))
    for row in report.rows:
        if row.error:
            click.echo(f"error: {row.error}", err=True)
        elif not as_json:
            model = row.facts["device"].get("model")
            click.echo(f"\n{row.serial}  {f'{EMULATOR}  ' if row.emulator else ''}{model}: {row.verdict}")
            print_gates(row.gates)
    if not as_json:
        click.echo(f"report   {where / 'report.html'}")
    codes = [BAD_INPUT if row.error else exit_code(row.gates, strict) for row in report.rows]
    return max(codes)
