"""Write a bundle: the folder that a phone, ``host_runtime`` and ``convert verify`` read.

A bundle is made in a folder beside its final place and moved there in one step, so that an interrupted or failed run leaves
nothing that looks like a bundle. Nothing in it depends on when or where it was made: the same inputs give the same bytes.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import save_file

from convert.classes import Classes
from convert.compiler import CompiledDetector, tensor_specs
from convert.reference import Reference
from convert.targets import Target
from host_runtime.bundle import file_sha256
from host_runtime.decode import Detections
from host_runtime.errors import UserError
from host_runtime.manifest import (
    HOST_PARAMS_NAME,
    MANIFEST_NAME,
    FileRecord,
    Golden,
    Graphs,
    GraphSpec,
    Manifest,
    Postprocess,
    Preprocess,
    Weights,
)

GRAPH_FILES = {"graph_a": "graph_a.tflite", "graph_b": "graph_b.tflite"}
REPORT_FILES = ("report.json", "report.html")
_STACK = ("torch", "transformers", "litert-torch", "litert-converter", "ai-edge-litert", "ai-edge-quantizer", "detr2litert")
# A zip's smallest date: a file's own time would make the same bundle differ from run to run.
_ZIP_DATE = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class GoldenRun:
    """What PyTorch computes for one picture, stage by stage.

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
def staged_folder(destination: Path) -> Iterator[Path]:
    """A folder to build in, moved to ``destination`` when the block ends well and removed when it does not.

    Raises:
        UserError: ``destination`` exists and is not an empty folder, or cannot be written.
    """
    check_destination(destination)
    parent = destination.absolute().parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
        stage = Path(tempfile.mkdtemp(prefix=f".{destination.name}.", dir=parent))
    except OSError as error:
        raise UserError(f"cannot write to {parent}: {error.strerror}; choose another folder with --out") from error
    try:
        yield stage
        stage.chmod(0o755)
        if destination.exists():
            destination.rmdir()
        os.replace(stage, destination)
    except OSError as error:
        raise UserError(f"could not write {destination}: {error.strerror}; free some space or choose another --out") from error
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def check_destination(destination: Path) -> None:
    """Refuse a place that already holds something.

    Raises:
        UserError: it is a file, or a folder that is not empty.
    """
    if destination.is_dir() and not any(destination.iterdir()):
        return
    if destination.exists():
        kind = "is not empty" if destination.is_dir() else "is a file"
        raise UserError(f"{destination} {kind}; choose another --out, or remove it first")


def preprocess_of(reference: Reference, resize: str | None = None) -> Preprocess:
    """The pre-processing of a reference, as the manifest writes it."""
    variant = reference.variant
    return Preprocess(
        height=reference.resolution,
        width=reference.resolution,
        resize=resize or variant.resize,  # type: ignore[arg-type]
        mean=variant.mean,
        std=variant.std,
    )


def postprocess_of(reference: Reference, classes: Classes) -> Postprocess:
    """The post-processing of a reference, as the manifest writes it."""
    return Postprocess(num_select=reference.variant.num_select, ignored_classes=classes.ignored)


def write_bundle(
    folder: Path,
    reference: Reference,
    target: Target,
    compiled: CompiledDetector,
    classes: Classes,
    preprocess: Preprocess,
    golden: GoldenRun,
) -> Manifest:
    """Complete a folder that already holds the two graphs: host parameters, labels, golden vectors and the manifest."""
    constants = compiled.host_constants()
    if constants:
        save_file({name: np.ascontiguousarray(value) for name, value in constants.items()}, folder / HOST_PARAMS_NAME)
    labels = "".join(f"{name or ''}\n" for name in classes.names)
    (folder / "labels.txt").write_text(labels, encoding="utf-8")
    _write_golden(folder / "golden", golden)
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    manifest = Manifest(
        variant=reference.variant.name,
        target=target.name,
        weights=Weights(_source_name(reference.source), reference.sha256, reference.random),
        versions={package: _version(package) for package in _STACK},
        preprocess=preprocess,
        graphs=Graphs(_graph_spec(compiled, golden, "graph_a"), _graph_spec(compiled, golden, "graph_b")),
        host_step=compiled.host_program(),
        postprocess=postprocess_of(reference, classes),
        classes=classes.names,
        files={name: FileRecord(file_sha256(folder / name), (folder / name).stat().st_size) for name in names},
        golden=Golden("golden/image.png", "golden/golden.safetensors", "golden/detections.json", golden.threshold),
    )
    manifest.check()
    (folder / MANIFEST_NAME).write_text(manifest.to_json(), encoding="utf-8")
    return manifest


def zip_bundle(folder: Path, destination: Path) -> None:
    """Pack a bundle's own files (not its report) into one file, with fixed dates and order."""
    manifest = Manifest.from_json((folder / MANIFEST_NAME).read_text(encoding="utf-8"))
    partial = destination.with_name(f".{destination.name}.partial")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in (MANIFEST_NAME, *sorted(manifest.files)):
            entry = zipfile.ZipInfo(name, _ZIP_DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, (folder / name).read_bytes())
    os.replace(partial, destination)


def _write_golden(folder: Path, golden: GoldenRun) -> None:
    folder.mkdir()
    golden.image.save(folder / "image.png")
    save_file({name: np.ascontiguousarray(value) for name, value in golden.tensors.items()}, folder / "golden.safetensors")
    text = json.dumps(golden.detections.to_dict(), indent=1, sort_keys=True)
    (folder / "detections.json").write_text(text + "\n", encoding="utf-8")


def _graph_spec(compiled: CompiledDetector, golden: GoldenRun, graph: str) -> GraphSpec:
    part = compiled.parts.a if graph == "graph_a" else compiled.parts.b
    tensors = dict(golden.tensors)
    return GraphSpec(GRAPH_FILES[graph], tensor_specs(part.input_names, tensors), tensor_specs(part.output_names, tensors))


def _source_name(source: str) -> str:
    """A hub id as it is, a file or folder by its own name: where it lay on this machine is nobody's business."""
    return Path(source).name if Path(source).exists() else source


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed as a package"
