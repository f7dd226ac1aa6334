"""Computes a demo detector's COCO metrics on held-out scenes: ``python -m tools.demo_training.evaluate BUNDLE_OR_FOLDER``.

The scenes are numbered from ``HELD_OUT_START`` on, which training never uses. The evaluator is pycocotools'.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np
from PIL import Image

from detr2litert.convert.demo.corners import COUNTS
from detr2litert.convert.demo.scenes import CLASSES, HELD_OUT_START, Scene, render
from detr2litert.convert.document import insert, read_document
from detr2litert.convert.models.keypoints.skeletons import SIGMA
from detr2litert.host_runtime.decode import Detections
from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.masks import Mask
from detr2litert.host_runtime.quiet import silence_native_log

_STATS = {"mAP": 0, "AP50": 1, "AP75": 2, "AR": 8}
"""Places of the metrics among ``COCOeval.stats``."""
_KEYPOINT_STATS = {"mAP": 0, "AP50": 1, "AP75": 2, "AR": 5}
"""The same of keypoints (at most 20 detections)."""
Entries = list[dict[str, Any]]

Detect = Callable[[Image.Image], Detections]


def evaluate(detect: Detect, scenes: Iterable[Scene]) -> dict[str, float]:
    """Computes the COCO detection metrics of ``detect``, which must return all its detections.

    Returns:
        ``"mAP"`` (IoU 0.50 to 0.95), ``"AP50"``, ``"AP75"`` and ``"AR"`` (at most 100 detections) of boxes, and of a detector
        of instances the same of masks, as ``"mask mAP"`` and so on, of one of keypoints theirs, as ``"keypoint mAP"``: the mean
        over the classes that have any.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    images: list[dict[str, Any]] = []
    truths: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    for number, scene in enumerate(scenes, start=1):
        images.append({"id": number, "width": scene.image.width, "height": scene.image.height})
        shapes = zip(scene.labels.tolist(), scene.boxes.tolist(), scene.masks, scene.keypoints, strict=True)
        for label, (x0, y0, x1, y1), pixels, corners in shapes:
            box = {"bbox": [x0, y0, x1 - x0, y1 - y0], "area": (x1 - x0) * (y1 - y0), "iscrowd": 0}
            mask = {"segmentation": Mask.of(pixels).to_dict()}
            own = {"keypoints": corners.flatten().tolist(), "num_keypoints": int((corners[:, 2:] > 0).sum())}
            truths.append({"id": len(truths) + 1, "image_id": number, "category_id": label + 1, **box, **mask, **own})
        for item in detect(scene.image):
            x0, y0, x1, y1 = item.box
            entry = {"image_id": number, "category_id": item.class_index + 1, "bbox": [x0, y0, x1 - x0, y1 - y0]}
            mask = {} if item.mask is None else {"segmentation": item.mask.to_dict()}
            points = [value for point in item.keypoints or () for value in (point.x, point.y, point.score)]
            found.append({**entry, **mask, **({"keypoints": points} if points else {}), "score": item.score})
    truth = COCO()
    truth.dataset = {
        "info": {},
        "images": images,
        "annotations": truths,
        "categories": [{"id": i + 1, "name": name} for i, name in enumerate(CLASSES)],
    }
    figures: dict[str, float] = {}
    instances = any("segmentation" in entry for entry in found)
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        results = truth.loadRes(found)
        for kind, prefix in (("bbox", ""), *([("segm", "mask ")] if instances else [])):
            evaluation = COCOeval(truth, results, kind)
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
            stats = [float(value) for value in evaluation.stats]
            figures |= {f"{prefix}{name}": stats[place] for name, place in _STATS.items()}
        figures |= _keypoint_figures(images, truths, found)
    return figures


def _keypoint_figures(images: Entries, truths: Entries, found: Entries) -> dict[str, float]:
    """Returns the metrics of keypoints: of each class apart, since pycocotools takes one list of sigmas, then their mean."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    if not any("keypoints" in entry for entry in found):
        return {}
    rows = []
    for category, name in enumerate(CLASSES, start=1):
        if not COUNTS[name]:
            continue
        truth = COCO()
        own = [entry for entry in truths if entry["category_id"] == category]
        truth.dataset = {"info": {}, "images": images, "annotations": own, "categories": [{"id": category, "name": name}]}
        truth.createIndex()
        # Of an entry with a box as well, pycocotools takes the box.
        names = ("image_id", "category_id", "score", "keypoints")
        given = [{key: entry[key] for key in names} for entry in found if entry["category_id"] == category]
        evaluation = COCOeval(truth, truth.loadRes(given), "keypoints")
        evaluation.params.kpt_oks_sigmas = np.full(COUNTS[name], SIGMA)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
        rows.append([float(evaluation.stats[place]) for place in _KEYPOINT_STATS.values()])
    means = np.mean(rows, axis=0)
    return {f"keypoint {name}": float(value) for name, value in zip(_KEYPOINT_STATS, means, strict=True)}


def reference_detector(folder: Path) -> tuple[str, Detect]:
    """Returns the variant and the detector of a transformers folder, computed by PyTorch."""
    from detr2litert.convert.models.checkpoints import choose_variant, load_checkpoint
    from detr2litert.convert.models.classes import resolve_classes
    from detr2litert.convert.models.reference import build_reference
    from detr2litert.convert.proof.reference_path import ReferencePath

    checkpoint = load_checkpoint(str(folder))
    variant = choose_variant(checkpoint)
    reference = build_reference(variant, checkpoint)
    classes = resolve_classes(variant, reference.logit_columns, checkpoint.classes)
    path = ReferencePath(reference, classes.names)
    return variant.name, lambda image: path.detect(image, threshold=0.0)


def bundle_detector(folder: Path) -> tuple[str, Detect]:
    """Returns the variant and the detector of a bundle, computed by LiteRT on the CPU."""
    from detr2litert.host_runtime.runner import Runner

    runner = Runner(folder)
    return runner.bundle.manifest.variant, lambda image: runner.detect(image, threshold=0.0)


@click.command()
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option("--scenes", default=200, show_default=True, help="Number of held-out scenes.")
@click.option("--write", "card", type=click.Path(path_type=Path), help="Model card whose figures to replace.")
def main(path: Path, scenes: int, card: Path | None) -> None:
    """Evaluate a transformers folder or a bundle of a demo detector; prints JSON."""
    silence_native_log()
    bundle = (path / "manifest.json").exists()
    try:
        variant, detect = bundle_detector(path) if bundle else reference_detector(path)
        section = f"{variant}-{'bundle' if bundle else 'weights'}"
        text = "" if card is None else read_document(card, section)
    except UserError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(2)
    figures = evaluate(detect, (render(HELD_OUT_START + i) for i in range(scenes)))
    click.echo(json.dumps({"scenes": scenes, **{name: round(value, 4) for name, value in figures.items()}}))
    if card is not None:
        card.write_text(insert(text, section, table(figures, scenes)), encoding="utf-8")


def table(figures: Mapping[str, float], scenes: int) -> str:
    """Renders the figures as a Markdown table."""
    return "\n".join(
        (
            f"| scenes | {' | '.join(figures)} |",
            "| --: | " + " | ".join("--:" for _ in figures) + " |",
            f"| {scenes} | " + " | ".join(f"{value:.3f}" for value in figures.values()) + " |",
        )
    )


if __name__ == "__main__":
    main()
