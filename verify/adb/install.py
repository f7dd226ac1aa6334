"""Puts a bundle into the app's storage, ``files/bundles/NAME``, whole or not at all.

It is made in a folder beside, which the app's list leaves out (its name begins with ``.staging-``), and moved into place when
every file has the manifest's sha256 there. A command that is cut off leaves that folder, and the next one goes on from it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath

from detr2litert.host_runtime.bundle import Bundle, file_sha256
from detr2litert.host_runtime.manifest import MANIFEST_NAME
from detr2litert.verify.adb.app import FILES, App, clear_temporary, quoted
from detr2litert.verify.adb.errors import CommandFailedError, DeviceFullError

BUNDLES = PurePosixPath("bundles")
Progress = Callable[[str, int, int], None]
"""Told the file being sent, and the bytes done and to do of the whole bundle."""


@dataclass(frozen=True)
class Installed:
    """A bundle on a device.

    Attributes:
        name: its folder's name under ``files/bundles``.
        manifest_sha256: of its manifest, in hex.
        bytes_all: its size.
        bytes_sent: what had to be sent; the rest was there already.
    """

    name: str
    manifest_sha256: str
    bytes_all: int
    bytes_sent: int

    @property
    def folder(self) -> PurePosixPath:
        """Relative to the app's files folder, as the instrumentation wants it."""
        return BUNDLES / self.name


def bundle_name(bundle: Bundle) -> str:
    """The folder's name: variant and target, as the app names what it imports."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", f"{bundle.manifest.variant}-{bundle.manifest.target}")


def install_bundle(app: App, bundle: Bundle, progress: Progress = lambda name, done, total: None) -> Installed:
    """Sends what the app lacks of a bundle and puts it in place.

    Args:
        app: where to.
        bundle: checked already, so that the hashes on this side are the manifest's.
        progress: told after every file or piece of one.

    Raises:
        DeviceError: of any kind; after ``DeviceFullError`` nothing of this bundle is left but an older one in its place.
    """
    app.check()
    clear_temporary(app.device)
    name = bundle_name(bundle)
    place, staging = FILES / BUNDLES / name, FILES / BUNDLES / f".staging-push-{name}"
    wanted = {file: record.sha256 for file, record in bundle.manifest.files.items()}
    wanted[MANIFEST_NAME] = file_sha256(bundle.root / MANIFEST_NAME)
    sizes = {file: bundle.path(file).stat().st_size for file in wanted}
    total = sum(sizes.values())
    if app.hashes(place) == wanted:
        app.remove(staging)
        progress("", total, total)
        return Installed(name, wanted[MANIFEST_NAME], total, 0)
    try:
        sent = _fill(app, bundle, staging, place, wanted, progress)
    except DeviceFullError:
        app.remove(staging)
        raise
    found = app.hashes(staging)
    if found != wanted:
        wrong = next(file for file in sorted({*wanted, *found}) if found.get(file) != wanted.get(file))
        app.remove(staging)
        raise CommandFailedError(f"{app.device.serial}: {wrong} is not what was sent; run the same command again")
    app.run(f"rm -rf {quoted(place)} && mv {quoted(staging)} {quoted(place)}")
    return Installed(name, wanted[MANIFEST_NAME], total, sent)


def _fill(
    app: App, bundle: Bundle, staging: PurePosixPath, place: PurePosixPath, wanted: dict[str, str], progress: Progress
) -> int:
    """Brings the staging folder to hold exactly the bundle's files; returns the bytes that had to be sent."""
    app.run(f"mkdir -p {quoted(staging)}")
    staged, installed = app.hashes(staging), app.hashes(place)
    # Of what is there but not wanted, only the beginnings of wanted files are of use.
    stale = [file for file in staged if file not in wanted and file.removesuffix(".part") not in wanted]
    if stale:
        app.remove(*(staging / file for file in stale))
    done, sent = 0, 0
    total = sum(bundle.path(file).stat().st_size for file in wanted)
    # The manifest last: a folder without one is no bundle.
    for file in sorted(wanted, key=lambda name: (name == MANIFEST_NAME, name)):
        source, target = bundle.path(file), staging / file
        size = source.stat().st_size
        if staged.get(file) == wanted[file]:
            pass
        elif installed.get(file) == wanted[file]:
            app.run(f"mkdir -p {quoted(target.parent)} && cp {quoted(place / file)} {quoted(target)}", timeout=120.0)
        else:
            arrived = 0

            def moved(count: int, file: str = file, start: int = done) -> None:
                nonlocal arrived
                arrived += count
                progress(file, start + arrived, total)

            sent += app.put(source, target, moved, resume=f"{file}.part" in staged)
        done += size
        progress(file, done, total)
    return sent
