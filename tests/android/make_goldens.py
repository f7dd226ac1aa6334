"""Golden vectors for the other runtimes, written by the Python one: `python tests/android/make_goldens.py OUT [BUNDLE ...]`.

OUT gets, for android_sample/core's JVM tests and web_demo's Node tests:

- host_ops.json: the table of host ops, to compare a runtime's table with.
- host_steps/NAME.json + .safetensors: a host program of one op with its inputs, constants and the result of `HostStep`: the
  cases of `tests/host_runtime/host_cases.py`.
- random_programs/NAME.json + .safetensors: of `tests/host_runtime/random_host_programs.py`; `refused`: empty, `made` or `run`.
- resizes/NAME.json + .safetensors: a picture (int32 0xAARRGGBB) and its input tensor, and its pixels where they are whole:
  every resize, up and down, every fit, colour and grey, inputs that are not square.
- decodes/NAME.json + .safetensors: boxes and logits and their detections: ties, saturated scores, ignored classes, NMS, boxes
  in a letterbox.
- masks/NAME.json + .safetensors: logits of graph M and the run lengths of each mask in COCO's form: enlarged and reduced,
  every fit, noise and shapes, logits of exactly 0, infinite and NaN.
- keypoints/NAME.json + .safetensors: boxes, logits and keypoints and their detections, of `keypoint_cases.py`: as JSON, and as
  `found.keypoints`, x, y, score, xx, xy, yy of all detections' keypoints in turn, `found.keypoint_count` of each detection.
- mask_layers/NAME.json + .safetensors: run lengths of the masks of detections, best first, and the translucent layer that is
  drawn of them, 0xAARRGGBB [height, width]: masks that overlap, of equal scores, empty, none.
- colours.json: class colours by index.
- manifests.json: texts of manifests with the verdict of `Manifest.from_json`: read or refused.
- keypoint_manifests.json: likewise, of manifests with keypoints.
- hostile_manifests.jsonl: name and text, one a line, of `tests/host_runtime/hostile_manifests.py`: every runtime refuses them.
- bundles/NAME: six bundles small enough to check by hand (`native` has a native form, and a host step that gives indices;
  `pixels` a native form that takes pixels; `one_graph` has graph A alone; `masks` has masks too, `keypoints` keypoints), and a
  copy of each BUNDLE, with NAME.json and NAME.safetensors beside: the detections that the Python runtime decodes from the
  bundle's own golden vectors; with masks, their run lengths, and what graph M gives for their queries; with keypoints, as in
  `keypoints`.

The same seed always gives the same files.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "host_runtime"))

import keypoints_bundle
import masks_bundle
import native_bundle
import one_graph_bundle
import tiny_bundle
from host_cases import all_cases
from keypoint_cases import arrays, keypoint_cases, keypoint_manifests
from manifest_cases import FITS, write_hostile, write_manifests, write_verdicts
from mask_layer_cases import mask_layer_cases
from random_host_programs import random_cases

from detr2litert.host_runtime.bundle import Bundle, load_bundle
from detr2litert.host_runtime.compiled_graph import CompiledGraph
from detr2litert.host_runtime.decode import Detections, decode, decode_outputs
from detr2litert.host_runtime.draw import class_colour
from detr2litert.host_runtime.host_table import load_table
from detr2litert.host_runtime.manifest import HostProgram, MaskActivation, NativeFiles, Postprocess, Preprocess, Resize
from detr2litert.host_runtime.masks import Mask, mask_of
from detr2litert.host_runtime.placement import place
from detr2litert.host_runtime.preprocess import load_image, preprocess, resized_pixels
from detr2litert.host_runtime.quiet import silence_native_log

Array = NDArray[Any]
SEED = 20260101
RESIZES: tuple[Resize, ...] = get_args(Resize)


def write_host_steps(folder: Path) -> None:
    folder.mkdir(parents=True)
    for case in all_cases():
        tensors = {f"in.{key}": value for key, value in case.tensors.items()}
        tensors |= {f"const.{key}": value for key, value in case.constants.items()}
        settings = {"host_step": _program(case.program), "tolerance": case.tolerance}
        _save(folder / case.name, {**tensors, "out.out": case.run()}, settings)


def write_random_programs(folder: Path) -> None:
    folder.mkdir(parents=True)
    for case in random_cases():
        tensors = {f"in.{key}": value for key, value in case.tensors.items()}
        tensors |= {f"const.{key}": value for key, value in case.constants.items()}
        tensors |= {f"out.{key}": value for key, value in case.outputs.items()}
        settings = {"host_step": case.program, "inputs": case.specs, "tolerance": case.tolerance, "refused": case.refused}
        _save(folder / case.name, tensors, settings)


def _program(program: HostProgram) -> dict[str, Any]:
    """The JSON layout of a manifest's host step."""
    return {
        "inputs": list(program.inputs),
        "constants": [{"name": c.name, "shape": list(c.shape), "dtype": c.dtype} for c in program.constants],
        "ops": [
            {"op": op.op, "inputs": list(op.inputs), "output": op.output, "attributes": dict(op.attributes)}
            for op in program.ops
        ],
        "outputs": list(program.outputs),
    }


def write_resizes(folder: Path) -> None:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(SEED + 1)
    sizes = [
        (480, 640, 384, 384),
        (120, 90, 160, 160),
        (57, 601, 64, 600),
        (160, 160, 160, 160),
        (1, 1, 8, 4),
        (900, 30, 20, 30),
        (301, 811, 61, 83),
        (1, 7, 3, 7),
        # In 8 bits, rows first by one pixel; and columns first.
        (90, 50, 69, 40),
        (90, 50, 70, 40),
    ]
    grey: dict[str, Any] = {"channels": "L", "mean": (0.4,), "std": (0.2,)}
    padded: dict[str, Any] = {"fill": (114.0, 0.0, 255.0)}
    cases: list[tuple[int, int, Preprocess]] = [
        (old_height, old_width, Preprocess(height, width, resize))
        for old_height, old_width, height, width in sizes
        for resize in RESIZES
    ]
    for fit in FITS:
        for index, (old_height, old_width) in enumerate(((427, 640), (640, 427), (97, 61), (1, 500), (100, 97))):
            resize = RESIZES[index % len(RESIZES)]
            cases.append((old_height, old_width, Preprocess(160, 224, resize, fit=fit, **padded)))
        cases += [
            (90, 50, Preprocess(64, 96, resize, fit=fit, fill=(114.0,), **grey)) for resize in ("bilinear", "bilinear_8bit")
        ]
    for resize in ("bilinear_antialias", "bilinear_8bit"):
        cases += [(90, 50, Preprocess(64, 96, resize, **grey)), (1, 1, Preprocess(5, 3, resize, **grey))]
    for old_height, old_width, spec in cases:
        pixels = rng.integers(0, 256, (old_height, old_width, 3), dtype=np.uint8)
        wide = pixels.astype(np.int64)
        packed = (255 << 24 | wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]).astype(np.uint32).view(np.int32)
        tensors: dict[str, Array] = {"picture": packed, "input": preprocess(Image.fromarray(pixels), spec)}
        if spec.in_whole_pixels:
            tensors["pixels"] = resized_pixels(Image.fromarray(pixels), spec)
        kind = f"{spec.resize}_{spec.fit}_{spec.channels}"
        name = f"{old_height}x{old_width}_to_{spec.height}x{spec.width}_{kind}"
        _save(folder / name, tensors, {"preprocess": _preprocess(spec)})


def _preprocess(spec: Preprocess) -> dict[str, Any]:
    """The JSON layout of a manifest's pre-processing."""
    data: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(spec)))
    return {name: value for name, value in data.items() if name not in ("fit", "fill") or spec.fit != "stretch"}


def write_decodes(folder: Path) -> None:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(SEED + 2)

    def case(
        name: str,
        logits: Array,
        threshold: float,
        select: int,
        ignored: tuple[int, ...] = (),
        nms_iou: float | None = None,
        across: bool = False,
        into: Preprocess | None = None,
    ) -> None:
        logits = logits.astype(np.float32)
        boxes = rng.uniform(0, 1, (1, logits.shape[1], 4)).astype(np.float32)
        if nms_iou is not None:
            boxes[..., 2:] = 0.6
        spec = Postprocess(num_select=select, ignored_classes=ignored)
        classes = [f"c{index}" for index in range(logits.shape[2])]
        placement = None if into is None else place((640, 427), into)
        found = decode(
            boxes, logits, (640, 427), spec, classes, threshold=threshold, nms_iou=nms_iou, nms_across_classes=across,
            placement=placement,
        )  # fmt: skip
        settings = {
            "num_select": select, "ignored_classes": list(ignored), "threshold": threshold, "nms_iou": nms_iou,
            "nms_across_classes": across, **({} if into is None else {"preprocess": _preprocess(into)}),
        }  # fmt: skip
        _save(folder / name, {"boxes": boxes, "logits": logits, **_arrays(found)}, {**settings, "width": 640, "height": 427})

    case("random", rng.standard_normal((1, 300, 91)), 0.5, 300)
    case("everything", rng.standard_normal((1, 30, 5)), 0.0, 300)
    case("ties", rng.integers(-3, 3, (1, 100, 20)), 0.5, 100)
    case("saturated", rng.uniform(15, 40, (1, 50, 9)), 0.9, 60)
    case("far", rng.standard_normal((1, 40, 6)) * 60, 0.05, 40)
    case("ignored", rng.standard_normal((1, 60, 7)), 0.6, 80, ignored=(0, 6))
    case("nms", rng.standard_normal((1, 80, 3)), 0.4, 120, nms_iou=0.5)
    case("nms_across_classes", rng.standard_normal((1, 80, 3)), 0.4, 120, nms_iou=0.5, across=True)
    case("not_square", rng.standard_normal((1, 40, 3)), 0.4, 60, into=Preprocess(160, 224, "bilinear"))
    for fit in FITS:
        for height, width in ((160, 224), (224, 160), (416, 416)):
            padded = Preprocess(height, width, "bilinear", fit=fit, fill=(114.0,) * 3)
            case(f"{fit}_{height}x{width}", rng.standard_normal((1, 40, 3)), 0.4, 60, into=padded)
    case("nothing", rng.standard_normal((1, 20, 4)), 1.0, 10)


def _box(index: int, size: tuple[int, int]) -> tuple[float, float, float, float]:
    """Returns a box of float32: an edge at a pixel, one between two, one at the picture's edge; the third is empty."""
    width, height = size
    left, top = width // 4, height * 0.3
    right = left + 0.5 if index == 2 else width * 0.7
    box = np.array([left + 0.25 * (index == 2), top, right, height], np.float32).tolist()
    return box[0], box[1], box[2], box[3]


def write_masks(folder: Path) -> None:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(SEED + 3)

    def case(name: str, logits: Array, size: tuple[int, int], into: Preprocess, activation: MaskActivation = "none") -> None:
        logits = logits.astype(np.float32)
        placement = place(size, into)
        with np.errstate(invalid="ignore"):
            masks = [mask_of(logits[0, ..., index], placement, activation) for index in range(logits.shape[3])]
        boxes = [_box(index, size) for index in range(len(masks))]
        settings = {
            "width": size[0],
            "height": size[1],
            "preprocess": _preprocess(into),
            "activation": activation,
            "counts": [mask.counts for mask in masks],
            "counts_within": [mask.within(box).counts for mask, box in zip(masks, boxes, strict=True)],
        }
        _save(folder / name, {"logits": logits, "boxes": np.array(boxes, np.float32)}, settings)

    sizes = ((640, 480), (97, 61), (20, 15), (1, 300), (300, 1), (1, 1))
    for width, height in sizes:
        case(f"noise_{width}x{height}", rng.standard_normal((1, 26, 20, 2)), (width, height), Preprocess(104, 80, "bilinear"))
        for fit in FITS:
            into = Preprocess(64, 96, "bilinear", fit=fit, fill=(114.0,) * 3)
            case(f"{fit}_{width}x{height}", rng.standard_normal((1, 16, 24, 1)), (width, height), into)
    into = Preprocess(104, 80, "bilinear")
    for width, height in sizes:
        case(f"sigmoid_{width}x{height}", 4 * rng.standard_normal((1, 26, 20, 3)), (width, height), into, "sigmoid")
    y, x = np.mgrid[-1:1:48j, -1:1:48j]
    discs = np.stack(
        [r * r - (x - cx) ** 2 - (y - cy) ** 2 for cx, cy, r in ((0, 0, 0.5), (0.8, -0.9, 0.4), (0, 0, 3))], axis=-1
    )
    case("shapes", 20 * discs[None], (640, 427), Preprocess(192, 192, "bilinear"))
    odd = rng.choice([0.0, -0.0, 1.0, -1.0, 1e-45, 1e38, -1e38, np.inf, -np.inf, np.nan], (1, 12, 12, 3))
    case("odd", odd, (50, 40), Preprocess(48, 48, "bilinear"))
    case("empty", np.full((1, 4, 4, 1), -1.0), (9, 6), Preprocess(16, 16, "bilinear"))


def write_mask_layers(folder: Path) -> None:
    folder.mkdir(parents=True)
    for case in mask_layer_cases():
        _save(folder / case.name, {"layer": case.layer}, {"width": case.size[0], "height": case.size[1], "masks": case.masks})


def write_keypoints(folder: Path) -> None:
    folder.mkdir(parents=True)
    for case in keypoint_cases():
        settings = {**case.settings, "detections": case.found.to_dict()["detections"]}
        _save(folder / case.name, {**case.outputs, **_arrays(case.found), **arrays(case.found)}, settings)


def _arrays(found: Detections) -> dict[str, Array]:
    return {
        "found.class_index": np.asarray([item.class_index for item in found], np.int32),
        "found.score": np.asarray([item.score for item in found], np.float32),
        "found.boxes": np.asarray([item.box for item in found], np.float32).reshape(-1, 4),
    }


def write_bundle(source: Path, folder: Path) -> None:
    """Copies a bundle's files and adds expected.json: the picture, and the detections of the recorded graph B outputs."""
    with load_bundle(source) as bundle:
        manifest = bundle.manifest
        for name in ("manifest.json", *manifest.files):
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(bundle.root / name, target)
        assert manifest.golden is not None
        tensors = bundle.golden_tensors()
        picture = load_image(bundle.path(manifest.golden.image))
        found = decode_outputs(manifest, tensors, picture.size, threshold=manifest.golden.threshold)
        settings: dict[str, Any] = {"threshold": manifest.golden.threshold}
        masks = _expected_masks(bundle, tensors, picture.size)
        pixels = np.asarray(picture).astype(np.int64)
        packed = (255 << 24 | pixels[..., 0] << 16 | pixels[..., 1] << 8 | pixels[..., 2]).astype(np.uint32).view(np.int32)
        own = preprocess(picture, manifest.preprocess)
        if masks is not None:
            found, settings["masks"] = masks.found, [item.mask.counts for item in masks.found if item.mask is not None]
        keypoints = {} if manifest.postprocess.keypoints is None else arrays(found)
        expected = {
            **_arrays(found),
            **keypoints,
            "picture": packed,
            "input": own,
            **({} if masks is None else masks.of_graph_m),
        }
        safetensors.numpy.save_file(expected, folder.parent / f"{folder.name}.safetensors")
        (folder.parent / f"{folder.name}.json").write_text(json.dumps(settings))


@dataclasses.dataclass(frozen=True)
class _Expected:
    """The detections with masks, and graph M's indices and logits, of one call for all of them."""

    found: Detections
    of_graph_m: dict[str, Array]


def _expected_masks(bundle: Bundle, tensors: dict[str, Array], size: tuple[int, int]) -> _Expected | None:
    """Computes the masks of the detections of golden vectors, of which there may be no more than graph M takes."""
    manifest = bundle.manifest
    spec, masks, golden = manifest.graphs.m, manifest.postprocess.masks, manifest.golden
    if spec is None or masks is None or golden is None:
        return None
    kept = np.zeros(next(tensor.shape for tensor in spec.inputs if tensor.name == masks.kept), np.int32)
    graph = CompiledGraph(bundle.path(spec.file), spec)
    of_graph_m: dict[str, Array] = {}

    def masks_of(queries: Sequence[int]) -> list[Mask]:
        if not queries:
            return []  # graph M does not run, as in the other runtimes
        distinct = sorted(set(queries))
        assert len(distinct) <= kept.size, "one call is recorded"
        kept[: len(distinct)] = distinct
        embeddings = {tensor.name: tensors[tensor.name] for tensor in spec.inputs if tensor.name != masks.kept}
        logits = graph({**embeddings, masks.kept: kept})[masks.output]
        of_graph_m.update({"m.kept": kept.copy(), "m.masks": logits})
        placement = place(size, manifest.preprocess)
        return [mask_of(logits[0, ..., distinct.index(query)], placement, masks.activation) for query in queries]

    try:
        found = decode_outputs(manifest, tensors, size, threshold=golden.threshold, masks_of=masks_of)
    finally:
        graph.close()
    return _Expected(found, of_graph_m)


def _save(stem: Path, tensors: dict[str, Array], settings: dict[str, Any]) -> None:
    contiguous = {name: np.asarray(value, order="C") for name, value in tensors.items()}
    safetensors.numpy.save_file(contiguous, stem.with_name(stem.name + ".safetensors"))
    stem.with_name(stem.name + ".json").write_text(json.dumps(settings))


def make(out: Path, bundles: list[Path]) -> None:
    """Writes everything into the folder `out`, which is emptied first."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    (out / "host_ops.json").write_text(json.dumps(load_table()))
    write_host_steps(out / "host_steps")
    write_random_programs(out / "random_programs")
    write_resizes(out / "resizes")
    write_decodes(out / "decodes")
    write_masks(out / "masks")
    write_mask_layers(out / "mask_layers")
    write_keypoints(out / "keypoints")
    (out / "colours.json").write_text(json.dumps([list(class_colour(index)) for index in range(200)]))
    hand_made = out / "hand_made"
    tiny_bundle.write_recorded_bundle(hand_made)
    write_bundle(hand_made, out / "bundles" / "hand_made")
    one_graph_bundle.write_bundle(out / "one_graph")
    write_bundle(out / "one_graph", out / "bundles" / "one_graph")
    native_bundle.write_bundle(out / "native")
    write_bundle(out / "native", out / "bundles" / "native")
    pixels = {"graph_a.native.tflite": tiny_bundle.graph_a_of_pixels(), "graph_b.native.tflite": tiny_bundle.graph_b()}
    tiny_bundle.write_recorded_bundle(out / "pixels", pixels, **tiny_bundle.in_pixels(NativeFiles(*pixels)))
    write_bundle(out / "pixels", out / "bundles" / "pixels")
    masks_bundle.write_bundle(out / "masks_bundle", recorded=True)
    write_bundle(out / "masks_bundle", out / "bundles" / "masks")
    keypoints = keypoints_bundle.write_bundle(out / "keypoints_source", recorded=True)
    write_bundle(out / "keypoints_source", out / "bundles" / "keypoints")
    write_verdicts(out / "keypoint_manifests.json", keypoint_manifests(keypoints.to_dict()))
    folders = (hand_made, out / "one_graph", out / "masks_bundle")
    two, one, masks = (json.loads((place / "manifest.json").read_text(encoding="utf-8")) for place in folders)
    write_manifests(out / "manifests.json", two, one, masks)
    write_hostile(out / "hostile_manifests.jsonl", two)
    for source in bundles:
        write_bundle(source, out / "bundles" / source.name)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: python tests/android/make_goldens.py OUT [BUNDLE ...]")
    silence_native_log()
    make(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
