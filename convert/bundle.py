"""Writes a bundle: the folder that a phone, ``host_runtime`` and ``convert verify`` read.

A bundle is built in a hidden folder beside its final place and moved there in one step, so that an interrupted or failed run
leaves nothing behind. Its contents do not depend on time or place: the same inputs give the same bytes.
"""

from __future__ import annotations

import errno
import importlib.metadata
import json
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import save

from detr2litert.convert.compiler import KEYPOINTS, CompiledDetector, native_name, tensor_specs
from detr2litert.convert.models.classes import Classes
from detr2litert.convert.models.reference import Reference
from detr2litert.convert.models.settings.picture import preprocess_of
from detr2litert.convert.models.settings.setting import plain
from detr2litert.convert.processing import postprocess_of
from detr2litert.convert.targets import Target
from detr2litert.graphs.pixel_input import PIXELS
from detr2litert.host_runtime.bundle import file_sha256
from detr2litert.host_runtime.decode import Detections
from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.foreign_json import escaped
from detr2litert.host_runtime.interrupt import uninterrupted
from detr2litert.host_runtime.manifest import (
    HOST_PARAMS_NAME,
    KEYPOINTS_VERSION,
    MANIFEST_NAME,
    MASKS_OF_BOXES_VERSION,
    MASKS_VERSION,
    ONE_GRAPH_VERSION,
    PIXELS_VERSION,
    TWO_GRAPHS_VERSION,
    FileRecord,
    Golden,
    Graphs,
    GraphSpec,
    Manifest,
    Masks,
    NativeFiles,
    SettingRecord,
    Weights,
)

_STACK = ("torch", "transformers", "litert-torch", "litert-converter", "ai-edge-litert", "ai-edge-quantizer", "detr2litert")
# The earliest date of a zip: the files' own times would make the same bundle differ from run to run.
_ZIP_DATE = (1980, 1, 1, 0, 0, 0)
# Errors of a write that the disk or its permissions can cause. Any other OSError is a bug and must not be reported as such.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_DISK_ERRORS = (
    *(*_FULL, errno.EACCES, errno.EEXIST, errno.EIO, errno.ENAMETOOLONG),
    *(errno.ENOTDIR, errno.ENOTEMPTY, errno.EPERM, errno.EROFS),
)


_LONGEST_TEXT = 1024  # the schema's


@dataclass(frozen=True)
class GoldenRun:
    """PyTorch's results for one picture, stage by stage.

    Attributes:
        image: the picture.
        tensors: every stage's tensors by name, the input included.
        detections: of the reference, above ``threshold``.
        threshold: score threshold.
    """

    image: Image.Image
    tensors: Mapping[str, NDArray[np.generic]]
    detections: Detections
    threshold: float


@contextmanager
def staged_folder(destination: Path, zipped: bool = False) -> Iterator[Path]:
    """Yields a folder to build in, moved to ``destination`` when the block completes; on an error nothing is left.

    The folder's parent is a hidden work folder on the same disk, which the block may use for temporary files.

    Args:
        destination: place of the bundle; its parents are created if necessary.
        zipped: also pack the bundle into ``zip_place(destination)``.

    Raises:
        UserError: ``destination`` is taken, or it cannot be written.
    """
    destination = destination.absolute()
    check_destination(destination, zipped)
    with _staging(destination) as staging:
        folder = staging.work / destination.name
        folder.mkdir()
        yield folder
        moves = {folder: destination}  # renaming onto an empty folder replaces it
        if zipped:
            packed = staging.work / "zip"
            zip_bundle(folder, packed)
            moves[packed] = zip_place(destination)
        staging.publish(moves)


@contextmanager
def staged_file(destination: Path) -> Iterator[Path]:
    """Yields the path of a file to write, moved to ``destination`` when the block completes; on an error nothing is left.

    Raises:
        UserError: ``destination`` is taken, or it cannot be written.
    """
    destination = destination.absolute()
    check_file_destination(destination)
    with _staging(destination) as staging:
        file = staging.work / destination.name
        yield file
        check_file_destination(destination)  # a file that appeared meanwhile would be replaced
        staging.publish({file: destination})


@dataclass
class _Staging:
    """A hidden work folder beside a destination, and whether what was built in it is published."""

    work: Path
    done: bool = False

    def publish(self, moves: Mapping[Path, Path]) -> None:
        """Moves files or folders to their places, uninterrupted."""
        with uninterrupted():
            for built, place in moves.items():
                built.replace(place)
            self.done = True


@contextmanager
def _staging(destination: Path) -> Iterator[_Staging]:
    """Yields a work folder on the disk of an absolute ``destination``, removed after the block, with unused new parents."""
    made = _make_parents(destination.parent)
    staging: _Staging | None = None
    try:
        staging = _Staging(Path(tempfile.mkdtemp(prefix=f".{destination.name[:100]}.", dir=destination.parent)))
        yield staging
    except OSError as error:
        if error.errno not in _DISK_ERRORS:
            raise
        raise _cannot_write(destination, error) from error
    finally:
        with uninterrupted():
            if staging is not None:
                shutil.rmtree(staging.work, ignore_errors=True)
            if staging is None or not staging.done:
                _remove_empty(made)


def _make_parents(folder: Path) -> list[Path]:
    """Creates a folder and its parents; returns those that did not exist, innermost first."""
    missing: list[Path] = []
    try:
        missing = [place for place in (folder, *folder.parents) if not place.exists()]
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        _remove_empty(missing)
        raise _cannot_write(folder, error) from error
    return missing


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


def _cannot_write(place: Path, error: OSError) -> UserError:
    reason = "a file is in its way" if error.errno == errno.EEXIST else (error.strerror or str(error)).lower()
    cure = "free some space, or choose another --out" if error.errno in _FULL else "choose another --out"
    return UserError(f"cannot write {place}: {reason}; {cure}")


def check_destination(destination: Path, zipped: bool = False) -> None:
    """Refuses an occupied destination, before any work is done.

    Raises:
        UserError: it is a file, a non-empty folder, the current folder or not accessible; or the zip file exists.
    """
    advice = "choose another --out, or remove it first"
    try:
        if destination.is_dir():
            if any(destination.iterdir()):
                raise UserError(f"{destination} is not empty; {advice}")
            if destination.samefile(Path.cwd()):
                raise UserError(f"{destination} is the current folder, which cannot be replaced; choose another --out")
        elif destination.exists() or destination.is_symlink():
            raise UserError(f"{destination} is not a folder; {advice}")
        if zipped and (zip_place(destination).exists() or zip_place(destination).is_symlink()):
            raise UserError(f"{zip_place(destination)} exists; {advice}")
    except OSError as error:
        raise UserError(
            f"cannot write {destination}: {(error.strerror or str(error)).lower()}; choose another --out"
        ) from error


def check_file_destination(destination: Path) -> None:
    """Refuses a file's occupied destination, before any work is done.

    Raises:
        UserError: it is a folder, exists already, or is not accessible.
    """
    try:
        if destination.is_dir():
            raise UserError(f"{destination} is a folder; give the name of a file with --out")
        if destination.exists() or destination.is_symlink():
            raise UserError(f"{destination} exists; choose another --out, or remove it first")
    except OSError as error:
        raise _cannot_write(destination, error) from error


def zip_place(destination: Path) -> Path:
    """Returns the path of the bundle's zip file, beside ``destination``."""
    destination = destination.absolute()
    return destination.with_name(f"{destination.name}.zip")


def write_bundle(
    folder: Path,
    reference: Reference,
    target: Target,
    compiled: CompiledDetector,
    classes: Classes,
    golden: GoldenRun,
    recorded: Mapping[str, SettingRecord] | None = None,
    notes: Any = None,
) -> Manifest:
    """Completes a folder that holds the graphs: writes host parameters, labels, golden vectors and the manifest.

    ``recorded`` is added to the manifest's settings, and ``notes`` is any JSON value.
    """
    constants = compiled.host_constants()
    if constants:
        _save_tensors(constants, folder / HOST_PARAMS_NAME)
    labels = "".join(f"{name or ''}\n" for name in classes.names)
    (folder / "labels.txt").write_text(labels, encoding="utf-8")
    _write_golden(folder / "golden", golden)
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    postprocess = postprocess_of(reference, classes)
    manifest = Manifest(
        variant=reference.variant.name,
        target=target.name,
        weights=Weights(source_name(reference.source), reference.sha256, reference.random),
        versions={package: installed_version(package) for package in _STACK},
        preprocess=preprocess_of(reference.settings),
        graphs=Graphs(**{_letter(graph): _graph_spec(compiled, golden, graph) for graph in compiled.parts.graphs}),
        host_step=compiled.host_program(),
        postprocess=postprocess,
        classes=classes.names,
        files={name: FileRecord(file_sha256(folder / name), (folder / name).stat().st_size) for name in names},
        golden=Golden("golden/image.png", "golden/golden.safetensors", "golden/detections.json", golden.threshold),
        protection=str(compiled.profile.protection),
        settings={**_settings(reference, classes), **(recorded or {})},
        native=_native_files(compiled),
        notes=notes,
        schema_version=_schema_version(compiled, postprocess.masks),
    )
    # By the schema too: what this program writes, it can read.
    Manifest.from_dict(manifest.to_dict())
    (folder / MANIFEST_NAME).write_text(manifest.to_json(), encoding="utf-8")
    return manifest


def _settings(reference: Reference, classes: Classes) -> dict[str, SettingRecord]:
    """Returns every setting with its origin, and where the names of the classes are from."""
    named = sum(name is not None for name in classes.names)
    return {
        **{
            name: SettingRecord(plain(value.value), _origin(value.origin), value.requested)
            for name, value in reference.settings
        },
        "classes": SettingRecord(f"{named} of {len(classes.names)} columns", _origin(classes.source)),
    }


def _origin(text: str) -> str:
    """An origin as a manifest may have it: it may quote a path, or a version from a checkpoint."""
    return escaped(text)[:_LONGEST_TEXT]


def zip_bundle(folder: Path, destination: Path) -> None:
    """Packs a bundle's own files (not its report) into one zip file, with fixed dates and order."""
    manifest = Manifest.from_json((folder / MANIFEST_NAME).read_text(encoding="utf-8"))
    with zipfile.ZipFile(destination, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in (MANIFEST_NAME, *sorted(manifest.files)):
            entry = zipfile.ZipInfo(name, _ZIP_DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, (folder / name).read_bytes())


def _write_golden(folder: Path, golden: GoldenRun) -> None:
    folder.mkdir()
    # The pixels alone: a photo's metadata (location, camera, thumbnail) is not published.
    Image.fromarray(np.asarray(golden.image)).save(folder / "image.png")
    _save_tensors(golden.tensors, folder / "golden.safetensors")
    text = json.dumps(golden.detections.to_dict(), indent=1, sort_keys=True)
    (folder / "detections.json").write_text(text + "\n", encoding="utf-8")


def _save_tensors(tensors: Mapping[str, NDArray[np.generic]], path: Path) -> None:
    # Not by safetensors' save_file, which makes the file unreadable for other users and raises errors of its own type.
    path.write_bytes(save({name: np.asarray(value, order="C") for name, value in tensors.items()}))


def graph_file(graph: str) -> str:
    """Returns the name of a graph's file in a bundle."""
    return f"{graph}.tflite"


def _native_files(compiled: CompiledDetector) -> NativeFiles | None:
    """Returns the files of the native form; a graph without native operators has the portable one's."""
    if compiled.native is None:
        return None
    written = compiled.graphs
    own = {name: native_name(name) for name in compiled.parts.graphs}
    files = {_letter(name): graph_file(native if native in written else name) for name, native in own.items()}
    return NativeFiles(**files, pixels=None if compiled.native.pixels is None else PIXELS)


def _letter(graph: str) -> str:
    """Returns a graph's name in the manifest."""
    return graph.removeprefix("graph_")


def _schema_version(compiled: CompiledDetector, masks: Masks | None) -> int:
    """Returns the lowest version that has what the bundle has."""
    if compiled.native is not None and compiled.native.pixels is not None:
        return PIXELS_VERSION
    if KEYPOINTS in compiled.parts.last.output_names:
        return KEYPOINTS_VERSION
    if masks is not None:
        return MASKS_VERSION if masks.is_plain else MASKS_OF_BOXES_VERSION
    return ONE_GRAPH_VERSION if compiled.parts.b is None else TWO_GRAPHS_VERSION


def _graph_spec(compiled: CompiledDetector, golden: GoldenRun, graph: str) -> GraphSpec:
    part = compiled.parts.graphs[graph]
    tensors = dict(golden.tensors)
    return GraphSpec(graph_file(graph), tensor_specs(part.input_names, tensors), tensor_specs(part.output_names, tensors))


def source_name(source: str) -> str:
    """Returns a hub id, or a file's or folder's name: the local path is left out so that a bundle does not reveal it."""
    return escaped(Path(source).name if Path(source).exists() else source)[:_LONGEST_TEXT]


def installed_version(package: str) -> str:
    """Returns the version of a package, for a record of what made a file."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed as a package"
