"""The commands that reach a phone: ``push`` and ``device``."""

from __future__ import annotations

import datetime
from pathlib import Path

from detr2litert.convert.device_display import DeviceDisplay
from detr2litert.host_runtime.bundle import Bundle, file_sha256, load_bundle
from detr2litert.host_runtime.manifest import MANIFEST_NAME
from detr2litert.verify.adb.app import App
from detr2litert.verify.adb.client import Adb
from detr2litert.verify.adb.errors import DeviceError
from detr2litert.verify.adb.install import Installed, install_bundle
from detr2litert.verify.device.parity import DeviceRow, check_device
from detr2litert.verify.device.protocol import Request
from detr2litert.verify.device.report import DeviceReport, check_folder, write_reports


def push(path: Path, serial: str | None, package: str) -> tuple[str, Installed]:
    """Installs a bundle into the app's storage; returns the device's serial number and what was installed.

    Raises:
        UserError: the bundle is not valid, or a ``DeviceError``.
    """
    with load_bundle(path) as bundle:
        device = Adb().choose((serial,) if serial else ())[0]
        with DeviceDisplay() as display:
            display.of(device.serial)
            return device.serial, install_bundle(App(device, package), bundle, display.sending)


def device(
    path: Path, serials: tuple[str, ...], every: bool, package: str, request: Request, folder: Path | None
) -> tuple[DeviceReport, Path]:
    """Runs a bundle on devices, judges it, and writes the report; returns the record and its folder.

    With one device its ``DeviceError`` is raised. With several, each error is recorded in its row, and the others continue.

    Raises:
        UserError: the bundle is not valid, no report can be written to the folder, or no device can be chosen.
    """
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
    manifest = bundle.manifest
    created = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return DeviceReport(manifest.variant, manifest.target, file_sha256(bundle.root / MANIFEST_NAME), request, rows, created)
