"""Installs a bundle into the app's storage, ``files/bundles/NAME``, completely or not at all.

It is assembled in a folder beside, which the app does not list (its name begins with ``.staging-``), and moved into place once
every file there has the manifest's sha256. An interrupted command leaves that folder, and the next one resumes from it.
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
_COMMAND = 20_000
"""Characters of file names that fit into one command, quoted and with their folder; Linux takes 128 KiB in one argument."""
Progress = Callable[[str, int, int], None]
"""Called with the file being sent, the bytes sent and the total bytes of the whole bundle."""


@dataclass(frozen=True)
class Installed:
    """A bundle on a device.

    Attributes:
        name: its folder's name under ``files/bundles``.
        manifest_sha256: of its manifest, in hex.
        bytes_all: its size.
        bytes_sent: the bytes that were sent; the rest was already on the device.
    """

    name: str
    manifest_sha256: str
    bytes_all: int
    bytes_sent: int

    @property
    def folder(self) -> PurePosixPath:
        """Path relative to the app's files folder, as the instrumentation expects it."""
        return BUNDLES / self.name


def bundle_name(bundle: Bundle) -> str:
    """Returns the folder's name: variant and target, as the app names the bundles it imports."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", f"{bundle.manifest.variant}-{bundle.manifest.target}")


def install_bundle(app: App, bundle: Bundle, progress: Progress = lambda name, done, total: None) -> Installed:
    """Sends the missing files of a bundle and moves the bundle into place.

    Args:
        app: where to install it.
        bundle: already checked, so that the hashes on this side are the manifest's.
        progress: called after every file or piece of one.

    Raises:
        DeviceError: of any kind; after ``DeviceFullError`` nothing of this bundle is left except an older one in its place.
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
        raise CommandFailedError(f"{app.device.serial}: {wrong} differs from what was sent; run the same command again")
    app.run(f"rm -rf {quoted(place)} && mv {quoted(staging)} {quoted(place)}")
    return Installed(name, wanted[MANIFEST_NAME], total, sent)


def _fill(
    app: App, bundle: Bundle, staging: PurePosixPath, place: PurePosixPath, wanted: dict[str, str], progress: Progress
) -> int:
    """Makes the staging folder hold exactly the bundle's files; returns the number of bytes sent."""
    app.run(f"mkdir -p {quoted(staging)}")
    staged, installed = app.hashes(staging), app.hashes(place)
    # Of the files there that do not belong to the bundle, only partial copies of its files are of use.
    stale = [file for file in staged if file not in wanted and file.removesuffix(".part") not in wanted]
    if sum(map(len, stale)) > _COMMAND:
        app.run(f"rm -rf {quoted(staging)} && mkdir -p {quoted(staging)}")
        staged = {}
    elif stale:
        app.remove(*(staging / file for file in stale))
    done, sent = 0, 0
    total = sum(bundle.path(file).stat().st_size for file in wanted)
    # The manifest last: a folder without one is not a bundle.
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
