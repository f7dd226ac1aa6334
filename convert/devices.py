"""The commands that reach a phone: ``push``, ``app-assets`` and ``device``."""

from __future__ import annotations

import datetime
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn
from rich.progress import Progress as Bar
from rich.status import Status

from host_runtime.bundle import Bundle, file_sha256, load_bundle
from host_runtime.errors import UserError
from host_runtime.manifest import MANIFEST_NAME
from verify.adb.app import App
from verify.adb.client import Adb
from verify.adb.errors import DeviceError
from verify.adb.install import Installed, Progress, bundle_name, install_bundle
from verify.device.parity import DeviceRow, check_device
from verify.device.protocol import Request
from verify.device.report import DeviceReport, write_reports

_ASSETS = Path("app/src/main/assets/bundles")
_SAMPLE = Path("android_sample")


def push(path: Path, serial: str | None, package: str) -> tuple[str, Installed]:
    """Puts a bundle into the app's storage; the device's serial number and what was done.

    Raises:
        UserError: the bundle is not sound, or a ``DeviceError``.
    """
    with load_bundle(path) as bundle:
        device = Adb().choose((serial,) if serial else ())[0]
        with _bar() as sending:
            return device.serial, install_bundle(App(device, package), bundle, sending)


def app_assets(path: Path, sample: Path | None) -> Path:
    """Copies a bundle's own files into the sample's assets, for a build that carries it; the folder.

    Args:
        path: of the bundle.
        sample: the Android project [default: android_sample, in this folder or in the repository].

    Raises:
        UserError: the bundle is not sound, there is no such project, or it cannot be written.
    """
    sample = sample or next((p for p in (_SAMPLE, Path(__file__).parents[1] / _SAMPLE) if p.is_dir()), _SAMPLE)
    if not (sample / "app/src/main").is_dir():
        raise UserError(f"{sample} is not the Android sample's project; name it with --sample")
    with load_bundle(path) as bundle:
        target = sample / _ASSETS / bundle_name(bundle)
        draft = target.with_name(f".{target.name}.part")
        try:
            shutil.rmtree(draft, ignore_errors=True)
            for name in (*bundle.manifest.files, MANIFEST_NAME):
                place = draft / name
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(bundle.path(name), place)
            load_bundle(draft)
            shutil.rmtree(target, ignore_errors=True)
            draft.replace(target)
        except OSError as error:
            raise UserError(
                f"{target} cannot be written ({error.strerror}); free some space or give another --sample"
            ) from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return target


def device(
    path: Path, serials: tuple[str, ...], every: bool, package: str, request: Request, folder: Path | None
) -> tuple[DeviceReport, Path]:
    """Runs a bundle on devices, judges it, and writes the report; the record and its folder.

    With one device its ``DeviceError`` is raised. With several, each error is its own row's, and the others go on.

    Raises:
        UserError: the bundle is not sound, or no device can be chosen.
    """
    with load_bundle(path) as bundle:
        chosen = Adb().choose(serials, every)
        folder = folder or (path / "device" if path.is_dir() else path.with_name(f"{path.stem}-device"))
        console = Console(stderr=True, highlight=False)
        rows: list[DeviceRow] = []
        for one in chosen:
            try:
                with console.status(one.serial) as status, _bar() as sending:

                    def tell(text: str, serial: str = one.serial) -> None:
                        status.update(f"{serial}: {text}")

                    rows.append(check_device(one, package, bundle, request, tell, sending))
            except DeviceError as error:
                if len(chosen) == 1:
                    raise
                rows.append(DeviceRow(one.serial, error=" ".join(str(error).split())))
        report = _report(bundle, request, tuple(rows))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder} cannot be made ({error.strerror}); give another --report") from error
    write_reports(report, folder)
    return report, folder


def _tellers(status: Status, serial: str) -> tuple[Callable[[str], None], Progress]:
    """What says on the terminal's one status line what is being done, and how far sending is."""

    def tell(text: str) -> None:
        status.update(f"{serial}: {text}")

    def sending(name: str, done: int, total: int) -> None:
        status.update(f"{serial}: install the bundle, {done / 1e6:.1f} of {total / 1e6:.1f} MB {name}")

    return tell, sending


def _report(bundle: Bundle, request: Request, rows: tuple[DeviceRow, ...]) -> DeviceReport:
    manifest = bundle.manifest
    created = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return DeviceReport(manifest.variant, manifest.target, file_sha256(bundle.root / MANIFEST_NAME), request, rows, created)


@contextmanager
def _bar() -> Iterator[Progress]:
    """A bar of the bundle's bytes on standard error, from the first file that has to be sent; only on a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    console = Console(stderr=True, highlight=False)
    bar = Bar(*columns, console=console, disable=not console.is_terminal)
    task = bar.add_task("")

    def sending(name: str, done: int, total: int) -> None:
        if name:
            bar.start()
        bar.update(task, description=name, completed=done, total=total)

    try:
        yield sending
    finally:
        bar.stop()
