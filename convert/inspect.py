"""The smaller commands: run a bundle on pictures, explain the rewrites."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from detr2litert.convert.names import suggestion
from detr2litert.host_runtime.draw import draw_detections
from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.preprocess import load_image
from detr2litert.host_runtime.runner import Runner
from detr2litert.verify.delegate.driver import activate, find_driver


def detect_images(
    bundle: Path, images: Sequence[Path], threshold: float, nms_iou: float | None, save: Path | None, accelerator: str
) -> list[dict[str, Any]]:
    """Detects objects in each picture and returns plain data; overlays are written to ``save``.

    Raises:
        UserError: the bundle or a picture cannot be read, or ``save`` cannot be written.
    """
    pictures = [(path, load_image(path).convert("RGB")) for path in images]
    overlays = overlay_names(images)
    driver = find_driver() if accelerator == "gpu" else None
    if driver is not None:
        activate(driver)
    results = []
    with Runner(bundle, accelerator) as runner:  # type: ignore[arg-type]
        for (path, picture), overlay in zip(pictures, overlays, strict=True):
            try:
                found = runner.detect(picture, threshold=threshold, nms_iou=nms_iou)
            except ValueError as error:
                raise UserError(f"{path}: {error}; try the other --accelerator, and `convert verify {bundle}`") from error
            entry: dict[str, Any] = {"image": str(path), **found.to_dict()}
            if save is not None:
                entry["overlay"] = str(_save_overlay(save / overlay, draw_detections(picture, found)))
            results.append(entry)
    return results


def overlay_names(images: Sequence[Path]) -> list[str]:
    """Returns a file name for each picture's overlay, numbered where pictures have the same name."""
    names: list[str] = []
    for path in images:
        name, number = f"{path.stem}.detections.png", 2
        while name in names:
            name, number = f"{path.stem}-{number}.detections.png", number + 1
        names.append(name)
    return names


def _save_overlay(target: Path, overlay: Image.Image) -> Path:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        overlay.save(target)
    except OSError as error:
        # Pillow removes an incomplete picture.
        raise UserError(
            f"cannot write {target}: {(error.strerror or str(error)).lower()}; choose another folder with --save"
        ) from error
    return target


def describe_rewrites(names: Sequence[str]) -> list[dict[str, str]]:
    """Returns every rewrite in order, or the named ones, with its docstring.

    Raises:
        UserError: there is no rewrite of that name.
    """
    from detr2litert.rewrites import pipeline
    from detr2litert.rewrites.flatbuffer.pipeline import FIX_UPS

    stages: tuple[tuple[str, Sequence[Any]], ...] = (
        ("before the cut", pipeline.NORMALISE),
        ("in each graph", pipeline.IN_EACH_GRAPH),
        ("in the converted file", FIX_UPS),
    )
    entries = [
        {"name": step.name, "stage": stage, "reason": step.reason, "document": step.document}
        for stage, steps in stages
        for step in steps
    ]
    known = [entry["name"] for entry in entries]
    for name in names:
        if name not in known:
            raise UserError(f"no rewrite is called {name!r}: {suggestion(name, known)}")
    return [entry for entry in entries if not names or entry["name"] in names]
