"""``convert push``: puts a bundle into the Android app over adb."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from detr2litert.convert.cli.base import PACKAGE_OPTION, reported

if TYPE_CHECKING:
    from detr2litert.verify.adb.install import Installed


@click.command(short_help="Put a bundle into the Android app over adb.")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--serial", help="Device, as `adb devices` lists it; required if there are several.")
@PACKAGE_OPTION
@reported
def push(bundle: Path, serial: str | None, package: str) -> None:
    """Put a bundle into the Android app's storage over adb, with hashes checked on both sides.

    If it is interrupted, run it again to resume.
    """
    where, done = push_bundle(bundle, serial, package)
    sent = "was already there" if not done.bytes_sent else f"sent {done.bytes_sent} of {done.bytes_all} bytes"
    click.echo(f"{where}  files/{done.folder}  {sent}, every sha256 checked")


def push_bundle(path: Path, serial: str | None, package: str) -> tuple[str, Installed]:
    """Installs a bundle into the app's storage; returns the device's serial number and what was installed.

    Raises:
        UserError: the bundle is not valid, or a ``DeviceError``.
    """
    from detr2litert.convert.cli.device_display import DeviceDisplay
    from detr2litert.host_runtime.bundle import load_bundle
    from detr2litert.verify.adb.app import App
    from detr2litert.verify.adb.client import Adb
    from detr2litert.verify.adb.install import install_bundle

    with load_bundle(path) as bundle:
        device = Adb().choose((serial,) if serial else ())[0]
        with DeviceDisplay() as display:
            display.of(device.serial)
            return device.serial, install_bundle(App(device, package), bundle, display.sending)
