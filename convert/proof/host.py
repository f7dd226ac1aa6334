"""The host gate: compares the CPU's part (pre-processing, host step, post-processing) with PyTorch's own operators.

It runs the bundle's definition (manifest, constants) through ``host_runtime``, and the checkpoint's row through PyTorch. The
inputs cover cases that are rare in pictures: noise of odd sizes for the resize; mostly tied scores for the selection; mostly
tied logits, in every column, for the post-processing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn import functional

from detr2litert.convert.proof.host_reference import run_host_step, with_ties
from detr2litert.convert.proof.reference_path import ReferencePath
from detr2litert.graphs.host_step import HostPart
from detr2litert.graphs.pixel_input import PixelScale
from detr2litert.host_runtime.bundle import Bundle
from detr2litert.host_runtime.decode import Detections, decode_outputs
from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.host_step import HostStep
from detr2litert.host_runtime.keypoints import Keypoint
from detr2litert.host_runtime.manifest import Manifest
from detr2litert.host_runtime.manifest_keypoints import CHANNELS
from detr2litert.host_runtime.masks import Mask, mask_of
from detr2litert.host_runtime.placement import place
from detr2litert.host_runtime.preprocess import preprocess, resized_pixels
from detr2litert.verify.gates import Finding, GateResult, Measurement, Verdict
from detr2litert.verify.parity.figures import figures
from detr2litert.verify.parity.metrics import difference, residual

GATE = "host"
LIMIT = 0.999999
"""Lowest correlation of tensors: both sides compute in float32, in different orders of summation."""
PIXELS, SCORE = 1e-3, 1e-6
"""Largest differences of a box's side and of a score."""
COVARIANCE = 1e-4
"""Largest relative difference of a keypoint's covariances, which are exponentials of float32 numbers."""
OTHER_PIXELS = 1e-3
"""Largest share of a mask's pixels that differ: those whose logit is 0 but for rounding. Half a pixel is ten times that."""
RUN_LENGTHS = (((1, 0, 0), (1, 1, 0)), "021O1")
"""The pixels of a mask, by rows, and what pycocotools makes of them; a test compares the two."""
_NOISE_SIZES = ((97, 61), (701, 523))
_COLOURS = {"black": (0, 0, 0), "grey": (127, 127, 127), "white": (255, 255, 255), "one colour": (255, 127, 0)}
_PICTURE = (640, 480)
_LOGITS = np.linspace(-4, 4, 17, dtype=np.float32)
_THRESHOLD = 0.3
_ADVICE = {
    "pre-processing": "the manifest's size, resize, fit, fill, mean, std or channels differ from the detector's: make the "
    "bundle again",
    "host step": "program or constants differ from this checkpoint's: make the bundle again, and run the tests of host_runtime",
    "post-processing": "the manifest's num_select, ignored or class names differ from the detector's: make the bundle again",
}


@dataclass(frozen=True)
class _Comparison:
    """One comparison: its stage, subject, figures, and what is wrong, "" if nothing is."""

    stage: str
    subject: str
    measurements: tuple[Measurement, ...]
    wrong: str = ""


def check_host(bundle: Bundle, path: ReferencePath, program: HostPart, values: Mapping[str, NDArray[Any]]) -> GateResult:
    """Judges the bundle's host side.

    Args:
        bundle: the shipped bundle.
        path: the official processing around the detector.
        program: the compiler's host step.
        values: graph A's outputs for the first picture, by name.
    """
    start = time.perf_counter()
    compared = [*_preprocessing(bundle, path), *_host_step(bundle, program, values), _postprocessing(bundle, path)]
    compared += compare_masks(bundle.manifest, path)
    wrong = [item for item in compared if item.wrong]
    errors = [m.value for item in compared for m in item.measurements if m.metric == "max_abs_error"]
    one = bundle.manifest.graphs.b is None
    what = "pre- and post-processing equal" if one else "pre-, post-processing and host step equal"
    good = f"{what} PyTorch's to {max(errors, default=0):.1e}, equal scores included"
    good += "; host step not run: the bundle has one graph" if one else ""
    return GateResult(
        GATE,
        Verdict.FAILED if wrong else Verdict.PASSED,
        f"{wrong[0].subject}: {wrong[0].wrong}" if wrong else good,
        _ADVICE[wrong[0].stage] if wrong else "",
        tuple(measurement for item in compared for measurement in item.measurements),
        tuple(Finding(item.stage.replace(" ", "-"), "wrong", item.subject, item.wrong, _ADVICE[item.stage]) for item in wrong),
        seconds=time.perf_counter() - start,
    )


def _preprocessing(bundle: Bundle, path: ReferencePath) -> Iterator[_Comparison]:
    for name, picture in _pictures():
        spec, native = bundle.manifest.preprocess, bundle.manifest.native
        wanted = path.tensor(picture).numpy()
        width, height = picture.size
        subject = f"pre-processing of {width} x {height} {name}"
        yield _tensors("pre-processing", subject, preprocess(picture, spec), wanted)
        if native is not None and native.pixels is not None:
            pixels = torch.from_numpy(resized_pixels(picture, spec).copy())  # Pillow's own memory is read-only
            image = PixelScale.of(spec.scale, spec.mean, spec.std).image_of(pixels).numpy()
            yield _tensors("pre-processing", f"{subject}, as pixels", image, wanted)


def _pictures() -> Iterator[tuple[str, Image.Image]]:
    """Yields noise in colour and in grey, and pictures of one colour without and with equal channels."""
    generator = np.random.default_rng(0)
    for width, height in _NOISE_SIZES:
        yield "noise", Image.fromarray(generator.integers(0, 256, (height, width, 3), dtype=np.uint8))
    width, height = _NOISE_SIZES[0]
    grey = generator.integers(0, 256, (height, width), dtype=np.uint8)
    yield "grey noise", Image.fromarray(np.stack((grey,) * 3, axis=-1))
    yield "noise of one channel", Image.fromarray(grey)
    for name, colour in _COLOURS.items():
        yield name, Image.new("RGB", (width, height), colour)


def _host_step(bundle: Bundle, program: HostPart, values: Mapping[str, NDArray[Any]]) -> Iterator[_Comparison]:
    manifest = bundle.manifest
    if manifest.graphs.b is None:
        return
    try:
        step = HostStep(manifest.host_step, bundle.host_constants(), manifest.graphs.a.outputs)
    except UserError as error:
        yield _Comparison("host step", "host step", (Measurement("host step", "made", 0.0, limit=1.0),), str(error))
        return
    for case, inputs in (("first picture", dict(values)), ("tied scores", with_ties(program, values))):
        wanted = run_host_step(program, inputs)
        try:
            found = step(inputs)
        except ValueError as error:
            yield _Comparison("host step", f"host step ({case})", (Measurement(case, "ran", 0.0, limit=1.0),), str(error))
            continue
        for name, expected in wanted.items():
            yield _tensors("host step", f"host step / {name} ({case})", found.get(name), expected)


def _tensors(stage: str, subject: str, found: NDArray[Any] | None, wanted: NDArray[Any]) -> _Comparison:
    if found is None or found.shape != wanted.shape:
        message = f"it is {'missing' if found is None else list(found.shape)}, not {list(wanted.shape)}"
        return _Comparison(stage, subject, (Measurement(subject, "shape", 0.0, limit=1.0),), message)
    if wanted.dtype.kind == "i":
        return _indices(stage, subject, found, wanted)
    apart = difference(found, wanted, tolerance=residual(LIMIT))
    measurements = figures(subject, apart, LIMIT)
    message = f"correlation {apart.correlation:.6f}, relative error {apart.relative_error:.2g}"
    return _Comparison(stage, subject, measurements, "" if apart.within(LIMIT) else message)


def _indices(stage: str, subject: str, found: NDArray[Any], wanted: NDArray[Any]) -> _Comparison:
    """Compares indices, of which each must be the same: next to the wrong one, a correlation of thousands is close to one."""
    other = np.flatnonzero(found != wanted)
    message = (
        f"{len(other)} of {wanted.size} differ, the first is {found.flat[other[0]]}, not {wanted.flat[other[0]]}"
        if len(other)
        else ""
    )
    return _Comparison(stage, subject, (Measurement(subject, "same indices", float(not message), limit=1.0),), message)


def _postprocessing(bundle: Bundle, path: ReferencePath) -> _Comparison:
    manifest, generator = bundle.manifest, np.random.default_rng(0)
    queries, columns = path.reference.num_queries, path.reference.logit_columns
    boxes = generator.uniform(-0.1, 1.1, (1, queries, 4)).astype(np.float32)
    logits = generator.choice(_LOGITS, (1, queries, columns))
    subject = f"post-processing of {queries} x {columns} tied logits"
    outputs = {manifest.postprocess.boxes: boxes, manifest.postprocess.logits: logits}
    keypoints = None
    if manifest.postprocess.keypoints is not None:
        subject += " and their keypoints"
        total = sum(path.reference.keypoints_per_class)
        values = generator.normal(0, 1, (1, queries, total, CHANNELS)).astype(np.float32)
        outputs[manifest.postprocess.keypoints.output] = values
        keypoints = torch.from_numpy(values)
    wanted = path.decode(torch.from_numpy(boxes), torch.from_numpy(logits), _PICTURE, _THRESHOLD, keypoints=keypoints)
    try:
        found = decode_outputs(manifest, outputs, _PICTURE, threshold=_THRESHOLD)
    except ValueError as error:
        return _Comparison("post-processing", subject, (Measurement(subject, "ran", 0.0, limit=1.0),), str(error))
    wrong = _first_other(found, wanted)
    return _Comparison(
        "post-processing", subject, (Measurement(subject, "same detections", float(not wrong), limit=1.0),), wrong
    )


def compare_masks(manifest: Manifest, path: ReferencePath) -> Iterator[_Comparison]:
    """Compares the resize, the threshold and the end at a box of masks with PyTorch's, for pictures of other shapes.

    On smooth noise of a few units, of which probabilities have other edges than logits.

    And run lengths with pycocotools': all else that compares masks has them on both sides.
    """
    masks = manifest.postprocess.masks
    if manifest.graphs.m is None or masks is None:
        return
    cells = next(spec.shape[1:3] for spec in manifest.graphs.m.outputs)
    noise = torch.randn(1, 1, *(max(side // 4, 1) for side in cells), generator=torch.Generator().manual_seed(0))
    logits = 4 * functional.interpolate(noise, cells, mode="bicubic")
    for size in (_PICTURE, _NOISE_SIZES[0]):
        box = (0.25 * size[0], 0.2 * size[1] + 0.5, 0.8 * size[0] + 0.25, 0.9 * size[1])
        mask = mask_of(logits[0, 0].numpy(), place(size, manifest.preprocess), masks.activation)
        found = (mask.within(box) if masks.within_box else mask).pixels
        wanted = path.mask_pixels(logits, size, box).numpy()
        apart = float((found != wanted).mean()) if found.shape == wanted.shape else 1.0
        subject = f"masks of {size[0]} x {size[1]} pixels"
        measurement = Measurement(subject, "share of other pixels", apart, limit=OTHER_PIXELS, at_least=False)
        wrong = "" if measurement.passed else f"{apart:.2%} of the pixels differ"
        yield _Comparison("post-processing", subject, (measurement,), wrong)
    pixels, coded = RUN_LENGTHS
    found_code = Mask.of(np.array(pixels, bool)).counts
    measurement = Measurement("run lengths of a mask", "same characters", float(found_code == coded), limit=1.0)
    wrong = "" if measurement.passed else f"'{found_code}', where pycocotools has '{coded}'"
    yield _Comparison("post-processing", "run lengths of a mask", (measurement,), wrong)


def _other_keypoints(found: Sequence[Keypoint], wanted: Sequence[Keypoint]) -> str:
    """Describes the first keypoint of a detection that differs, "" if there is none."""
    if len(found) != len(wanted):
        return f"{len(found)} keypoints, not {len(wanted)}"
    for number, (ours, theirs) in enumerate(zip(found, wanted, strict=True), start=1):
        if max(abs(ours.x - theirs.x), abs(ours.y - theirs.y)) > PIXELS:
            return f"keypoint {number} at {ours.x:.2f}, {ours.y:.2f}, not {theirs.x:.2f}, {theirs.y:.2f}"
        if abs(ours.score - theirs.score) > SCORE:
            return f"keypoint {number} of score {ours.score:.6f}, not {theirs.score:.6f}"
        if not np.allclose(ours.covariance or (), theirs.covariance or (), rtol=COVARIANCE, atol=0):
            return f"keypoint {number} of covariance {ours.covariance}, not {theirs.covariance}"
    return ""


def _first_other(found: Detections, wanted: Detections) -> str:
    """Describes the first detection that differs, "" if there is none."""
    for rank, (ours, theirs) in enumerate(zip(found, wanted, strict=False), start=1):
        if (ours.class_index, ours.name) != (theirs.class_index, theirs.name):
            message = f"class {ours.class_index} '{ours.name}', not {theirs.class_index} '{theirs.name}'"
        elif abs(ours.score - theirs.score) > SCORE:
            message = f"score {ours.score:.6f}, not {theirs.score:.6f}"
        elif max(abs(a - b) for a, b in zip(ours.box, theirs.box, strict=True)) > PIXELS:
            sides = ([round(side, 2) for side in item.box] for item in (ours, theirs))
            message = "box {}, not {}".format(*sides)
        elif not (message := _other_keypoints(ours.keypoints or (), theirs.keypoints or ())):
            continue
        return f"detection {rank} has {message}"
    return "" if len(found) == len(wanted) else f"{len(found)} detections, not {len(wanted)}"
