"""``convert verify``: runs all gates again, from a finished bundle and its checkpoint."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from detr2litert.convert.cli.base import STRICT_FLAG, exit_code, outside_options, reported
from detr2litert.convert.cli.output import print_outside, print_result
from detr2litert.convert.proof.outside_request import OutsideRequest
from detr2litert.convert.pytorch_start import start_pytorch
from detr2litert.host_runtime.errors import UserError, reason

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from detr2litert.convert.models.reference import Reference
    from detr2litert.convert.progress import Progress
    from detr2litert.convert.proof.scenes import Picture
    from detr2litert.convert.proof.subject import Golden
    from detr2litert.graphs.partition import Part
    from detr2litert.host_runtime.bundle import Bundle
    from detr2litert.host_runtime.manifest import Graphs, Manifest
    from detr2litert.verify.gates import GateResult
    from detr2litert.verify.report.report import RunReport


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--weights", metavar="PATH|HUB_ID", help="Checkpoint to verify against [default: the bundle's].")
@click.option("--image", "images", type=click.Path(path_type=Path), multiple=True, help="Picture to judge on; repeatable.")
@outside_options
@click.option("--gpu/--no-gpu", default=True, help="Run the GPU gates.")
@click.option("--fp16/--no-fp16", default=True, help="Run the fp16 gate.")
@click.option(
    "--report", "report_folder", type=click.Path(path_type=Path), help="Folder to write report.json and report.html to."
)
@STRICT_FLAG
@click.option("--json", "as_json", is_flag=True, help="Print the gates as JSON.")
@reported
def verify(bundle: Path, as_json: bool, strict: bool, outside: dict[str, Any], **options: Any) -> int:
    """Run all gates again, from the bundle and its checkpoint."""
    from detr2litert.convert.progress import Progress

    progress = Progress()
    start_pytorch(progress)
    gates = verify_bundle(bundle, progress, **options, outside=OutsideRequest(**outside))
    print_result(gates, as_json)
    if not as_json:
        print_outside(gates)
    return exit_code(gates, strict)


def verify_bundle(
    path: Path,
    progress: Progress,
    weights: str | None = None,
    images: tuple[Path, ...] = (),
    gpu: bool = True,
    fp16: bool = True,
    report_folder: Path | None = None,
    outside: OutsideRequest | None = None,
) -> tuple[GateResult, ...]:
    """Rebuilds the reference, recomputes every stage, and judges the shipped files by it.

    Args:
        path: of the bundle, a folder or a .zip file.
        progress: shows each stage.
        weights: checkpoint [default: the one that the manifest names].
        images: pictures to judge on beside the golden one [default: the demo scenes].
        gpu: False skips the GPU gates.
        fp16: False skips the fp16 gate.
        report_folder: folder for a report, if one is requested.
        outside: the user's detections and annotations to compare with.

    Raises:
        UserError: the bundle is damaged or of another version, or its checkpoint is not available or is another one.
    """
    from detr2litert.convert.bundle import source_name
    from detr2litert.convert.proof.outside import complete, read_outside
    from detr2litert.convert.proof.prepare import gpus, prepare
    from detr2litert.convert.proof.prove import prove
    from detr2litert.convert.proof.reporting import report
    from detr2litert.convert.proof.subject import Subject
    from detr2litert.convert.targets import find_target
    from detr2litert.graphs.partition import layout_of
    from detr2litert.host_runtime.bundle import load_bundle
    from detr2litert.rewrites.profile import Protection
    from detr2litert.verify.parity.detections import DetectionLimits

    with load_bundle(path) as bundle:
        manifest = bundle.manifest
        # Before anything that takes minutes.
        if report_folder is not None:
            _require_writable(report_folder)
        golden = _golden(bundle)
        given = read_outside(outside or OutsideRequest(), images)
        with progress.stage("load weights") as stage:
            reference = _reference(manifest, weights)
            stage.detail = source_name(reference.source)
        target = find_target(manifest.target)
        native, layout = manifest.native, layout_of(manifest.host_step)
        pixels = native is not None and native.pixels is not None
        profile = replace(target.profile, native_form=native is not None, layout=layout, pixels=pixels)
        if manifest.protection is not None:
            profile = replace(profile, protection=Protection(manifest.protection))
        threshold = manifest.golden.threshold if manifest.golden is not None else DetectionLimits().threshold
        limits = DetectionLimits(threshold=threshold)
        judged = _pictures(bundle, images)
        compared = complete(
            *(given, reference, manifest.classes, judged, threshold),
            demo_default=False,
            keypoints=manifest.postprocess.keypoints,
        )
        prepared = prepare(reference, manifest.classes, profile, judged, limits, progress)
        check_interfaces(manifest.graphs, prepared.compiled.parts.graphs, prepared.values)
        subject = Subject(bundle.root, manifest, target, limits, *gpus(gpu, fp16), prepared, golden=golden, outside=compared)
        evidence = prove(subject, progress)
        if report_folder is not None:
            _write(report(manifest, evidence, progress, prepared.compiled, weights_place=reference.place), report_folder)
        return evidence.gates


def check_interfaces(graphs: Graphs, parts: Mapping[str, Part], values: Mapping[str, NDArray[np.generic]]) -> None:
    """That the bundle's graphs take and give what this version's take and give, without which no gate could compare them.

    Args:
        graphs: from the manifest.
        parts: the same graphs, recompiled.
        values: the tensors of every stage, from the compiled graphs.

    Raises:
        UserError: a name or a shape differs.
    """
    from detr2litert.convert.compiler import tensor_specs
    from detr2litert.host_runtime.manifest import REMAKE

    for name, spec in graphs.by_name.items():
        part = parts[name]
        interfaces = (("input", spec.inputs, part.input_names), ("output", spec.outputs, part.output_names))
        for side, listed, names in interfaces:
            found = {item.name: item.shape for item in listed}
            made = {item.name: item.shape for item in tensor_specs(names, values)}
            if found != made:
                odd = next(key for key in (*found, *made) if found.get(key) != made.get(key))
                shapes = [f"{list(shapes[odd])}" if odd in shapes else "absent" for shapes in (found, made)]
                raise UserError(
                    f"the bundle was made by another version of this program: {name}'s {side} {odd!r} is {shapes[0]} in the "
                    f"bundle and {shapes[1]} here; {REMAKE}"
                )


def _write(record: RunReport, folder: Path) -> None:
    from detr2litert.convert.proof.reporting import write_reports

    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_reports(record, folder)
    except OSError as error:
        raise _unwritable(folder, reason(error)) from error


def _require_writable(folder: Path) -> None:
    """Raises UserError where ``folder`` cannot be made or written; makes nothing."""
    try:
        nearest = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    except OSError as error:
        raise _unwritable(folder, reason(error)) from error
    if not nearest.is_dir():
        raise _unwritable(folder, f"{nearest} is a file")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise _unwritable(folder, "permission denied")


def _unwritable(folder: Path, why: str) -> UserError:
    return UserError(f"cannot write the report to {folder} ({why}); choose another --report")


def _reference(manifest: Manifest, weights: str | None) -> Reference:
    from detr2litert.convert.models.recorded import recorded_reference

    return recorded_reference(manifest, weights)


def _pictures(bundle: Bundle, images: tuple[Path, ...]) -> tuple[Picture, ...]:
    """Returns the golden picture, then the others, without a second copy of it."""
    import numpy as np

    from detr2litert.convert.proof.scenes import Picture, pictures
    from detr2litert.host_runtime.preprocess import load_image

    golden, others = bundle.manifest.golden, pictures(images)
    if golden is None:
        return others
    first = Picture("golden picture", load_image(bundle.path(golden.image)).convert("RGB"))
    return first, *(other for other in others if not np.array_equal(np.asarray(other.image), np.asarray(first.image)))


def _golden(bundle: Bundle) -> Golden | None:
    from detr2litert.convert.proof.subject import Golden
    from detr2litert.host_runtime.decode import Detections
    from detr2litert.host_runtime.manifest import REMAKE

    golden = bundle.manifest.golden
    if golden is None:
        return None
    path = bundle.path(golden.detections)
    try:
        return Golden(bundle.golden_tensors(), Detections.from_json(path.read_bytes()))
    except ValueError as error:
        raise UserError(f"{path} does not hold detections ({error}); {REMAKE}") from error
