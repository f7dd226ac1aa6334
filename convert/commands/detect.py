"""``detr2litert detect``: runs a bundle on pictures, films and cameras."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from detr2litert.convert.cli.base import BAD_INPUT, FiniteRange, refuse, reported
from detr2litert.host_runtime.errors import UserError

if TYPE_CHECKING:
    from detr2litert.host_runtime.predict.detector import Choice, Detector
    from detr2litert.host_runtime.predict.frames import One
    from detr2litert.host_runtime.predict.overlays import Overlays
    from detr2litert.host_runtime.predict.prediction import Prediction

FORMATS = ("json", "jsonl", "coco", "csv", "yolo")
"""As ``predict.formats.FORMATS``, which ``--help`` need not load."""


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("sources", metavar="PICTURES...", nargs=-1)
@click.option("--camera", type=click.IntRange(0), help="Number of a camera to read until interrupted.")
@click.option("--threshold", default=0.5, show_default=True, type=FiniteRange(0, 1))
@click.option("--classes", metavar="NAME,NAME", help="Report these classes only.")
@click.option("--max-detections", metavar="N", type=click.IntRange(1), help="Report the best N of each picture.")
@click.option("--nms", "nms_iou", type=FiniteRange(0, 1), help="Suppress boxes of a class that overlap more than this.")
@click.option("--nms-across-classes", is_flag=True, help="With --nms: suppress boxes of other classes as well.")
@click.option("--format", "form", type=click.Choice(FORMATS), default="json", show_default=True, help="Of the detections.")
@click.option("--out", type=click.Path(path_type=Path), help="File for them [default: standard output]; of yolo, a folder.")
@click.option("--save", type=click.Path(path_type=Path), help="Folder for pictures and films with the boxes drawn.")
@click.option("--accelerator", type=click.Choice(["cpu", "gpu"]), default="cpu", show_default=True)
@reported
def detect(
    bundle: Path,
    sources: tuple[str, ...],
    camera: int | None,
    form: str,
    out: Path | None,
    save: Path | None,
    accelerator: str,
    **choice: Any,
) -> int:
    """Detect objects in pictures and films with a bundle.

    PICTURES are files, folders, patterns such as 'shelf/**/*.jpg', and films. One that cannot be read is reported, the others
    are done, and the exit code is 2.
    """
    if not sources and camera is None:
        raise click.UsageError("There is nothing to detect objects in: give pictures, folders or films, or --camera 0.")
    if form == "yolo" and out is None:  # said before the bundle is loaded
        raise UserError("--format yolo writes a file for each picture: give a folder for them with --out")
    if choice["nms_across_classes"] and choice["nms_iou"] is None:
        raise UserError("--nms-across-classes needs --nms IOU")
    classes = choice.pop("classes")
    wanted: Choice = {**choice, "classes": _names(classes) if classes is not None else ()}  # type: ignore[typeddict-item]
    given: list[str | int] = [*sources, *([camera] if camera is not None else [])]
    with ExitStack() as stack:
        return _detect_all(_opened(stack, bundle, accelerator), given, wanted, form, out, save)


def _opened(stack: ExitStack, bundle: Path, accelerator: str) -> Detector:
    from detr2litert.host_runtime.predict.detector import Detector
    from detr2litert.verify.delegate.driver import activate, find_driver

    driver = find_driver() if accelerator == "gpu" else None
    if driver is not None:
        activate(driver)
    return stack.enter_context(Detector(bundle, accelerator))  # type: ignore[arg-type]


def _detect_all(
    detector: Detector, given: list[str | int], wanted: Choice, form: str, out: Path | None, save: Path | None
) -> int:
    """Writes every prediction as soon as it is there; returns the exit code."""
    from detr2litert.convert.console import console
    from detr2litert.convert.progress import counted
    from detr2litert.host_runtime.predict.formats import writing
    from detr2litert.host_runtime.predict.frames import count

    broken = _Broken()
    items = _listed(given, broken)
    total = len(items) + broken.number
    with ExitStack() as stack:
        overlays = stack.enter_context(_overlays(save)) if save is not None else None
        done = stack.enter_context(counted(console(stderr=True), "detecting", count(items)))
        writer = None
        for prediction in _predictions(detector, items, wanted, broken):
            if writer is None:  # so that a run in which nothing can be read writes nothing
                writer = stack.enter_context(writing(form, out, detector.names, sys.stdout))
            extra = {"overlay": str(overlays.add(prediction))} if overlays is not None else {}
            writer.add(prediction, extra)
            done()
    if broken.number and total > 1:
        click.echo(f"{broken.number} of {total} could not be read, the others are done", err=True)
    return BAD_INPUT if broken.number else 0


class _Broken:
    """Reports what cannot be read, and counts it."""

    def __init__(self) -> None:
        self.number = 0

    def __call__(self, name: str, error: UserError) -> None:
        self.number += 1
        refuse(str(error))


def _listed(given: list[str | int], broken: _Broken) -> list[One]:
    """Lists the single sources; a folder without pictures, or a pattern without files, is as one that cannot be read."""
    from detr2litert.host_runtime.predict.frames import listed

    items: list[One] = []
    for one in given:
        try:
            items += listed(one)
        except UserError as error:
            broken(str(one), error)
    return items


def _predictions(detector: Detector, items: list[One], wanted: Choice, broken: _Broken) -> Iterator[Prediction]:
    try:
        yield from detector.predict_each(items, broken=broken, **wanted)
    except ValueError as error:
        where = detector.runner.bundle.root
        raise UserError(f"{error}; try the other --accelerator, and `detr2litert verify {where}`") from error


@contextmanager
def _overlays(folder: Path) -> Iterator[Overlays]:
    """Overlays whose last film is kept if all went well."""
    from detr2litert.host_runtime.predict.overlays import Overlays

    overlays = Overlays(folder)
    try:
        yield overlays
    except BaseException:
        overlays.close(keep=False)
        raise
    overlays.close()


def _names(text: str) -> list[str]:
    """Parses ``bolt,nut``: names of classes, by commas."""
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise UserError(f"--classes {text} has an empty name; give names by commas, as in --classes bolt,nut")
    return names
