"""The options that say which detector a command is about: weights, classes, settings, and the pictures to judge it on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from detr2litert.convert.cli.base import FiniteRange

if TYPE_CHECKING:
    from detr2litert.convert.models.settings import Size


def _resolution(_context: click.Context, _parameter: click.Parameter, text: str | None) -> Size | None:
    """Parses the option; only a size is checked here, since what fits depends on the detector."""
    from detr2litert.convert.models.settings.setting import parse_size

    try:
        return None if text is None else parse_size(text)
    except ValueError as error:
        raise click.BadParameter(f"{text} is not {error}.") from error


VARIANT = click.option("--variant", help="Detector [default: detected from the checkpoint]. See `convert variants`.")
WEIGHTS = click.option("--weights", metavar="PATH|HUB_ID|random", help="Checkpoint [default: the variant's published weights].")
CLASSES = click.option("--classes", type=click.Path(path_type=Path), help="Class names: one per line, or JSON.")
RESOLUTION = click.option(
    "--resolution",
    "--shape",
    "resolution",
    metavar="N|HEIGHTxWIDTH",
    callback=_resolution,
    help="Size of the input, in pixels.",
)
IMAGES = click.option(
    "--image", "images", type=click.Path(path_type=Path), multiple=True, help="Picture to judge on; repeatable."
)
RESIZE = click.option(
    "--resize",
    type=click.Choice(["bilinear", "bilinear_antialias", "bilinear_8bit"]),
    help="Interpolation of the pre-processing.",
)
SETTINGS = click.option(
    "--set", "settings", multiple=True, metavar="NAME=VALUE", help="A setting, see `convert variants VARIANT`."
)
THRESHOLD = click.option(
    "--threshold", default=0.5, show_default=True, type=FiniteRange(0, 1), help="Score that counts as a detection."
)
SEED = click.option("--seed", default=0, show_default=True, type=click.IntRange(0, 2**63 - 1), help="Of --weights random.")


def requested_settings(settings: tuple[str, ...], resolution: Size | None, resize: str | None) -> dict[str, Any]:
    """Returns the settings that the user chose, by name, from ``--set`` and from those that have an option of their own.

    Raises:
        UserError: see ``parse_requested``.
    """
    from detr2litert.convert.models.settings.resolve import parse_requested

    given = (("resolution", resolution), ("resize", resize))
    return parse_requested(settings, {name: value for name, value in given if value is not None})
