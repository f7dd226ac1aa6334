"""``convert detect``: runs a bundle on pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from detr2litert.convert.cli.base import FiniteRange, reported
from detr2litert.convert.cli.output import print_json
from detr2litert.host_runtime.errors import UserError

if TYPE_CHECKING:
    from PIL import Image


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("images", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option("--threshold", default=0.5, show_default=True, type=FiniteRange(0, 1))
@click.option("--nms", "nms_iou", type=FiniteRange(0, 1), help="Suppress boxes of a class that overlap more than this.")
@click.option("--nms-across-classes", is_flag=True, help="With --nms: suppress boxes of other classes as well.")
@click.option("--save", type=click.Path(path_type=Path), help="Folder for overlay pictures.")
@click.option("--accelerator", type=click.Choice(["cpu", "gpu"]), default="cpu", show_default=True)
@reported
def detect(bundle: Path, images: tuple[Path, ...], **options: Any) -> None:
    """Detect objects in pictures with a bundle; prints JSON."""
    print_json(detect_images(bundle, images, **options))


def detect_images(
    bundle: Path,
    images: Sequence[Path],
    threshold: float,
    nms_iou: float | None,
    nms_across_classes: bool,
    save: Path | None,
    accelerator: str,
) -> list[dict[str, Any]]:
    """Detects objects in each picture and returns plain data; overlays are written to ``save``.

    Raises:
        UserError: the bundle or a picture cannot be read, or ``save`` cannot be written.
    """
    if nms_across_classes and nms_iou is None:
        raise UserError("--nms-across-classes needs --nms IOU")
    from detr2litert.host_runtime.draw import draw_detections
    from detr2litert.host_runtime.preprocess import load_image
    from detr2litert.host_runtime.runner import Runner
    from detr2litert.verify.delegate.driver import activate, find_driver

    # Read as they are fed to any detector: a fourth channel, if a picture has one, is dropped where none is needed.
    pictures = [(path, load_image(path, channels="RGBA")) for path in images]
    overlays = overlay_names(images)
    driver = find_driver() if accelerator == "gpu" else None
    if driver is not None:
        activate(driver)
    results = []
    with Runner(bundle, accelerator) as runner:  # type: ignore[arg-type]
        for (path, picture), overlay in zip(pictures, overlays, strict=True):
            try:
                found = runner.detect(picture, threshold=threshold, nms_iou=nms_iou, nms_across_classes=nms_across_classes)
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
