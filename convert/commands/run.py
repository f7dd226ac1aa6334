"""``convert run``: converts a checkpoint to a verified bundle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from detr2litert.convert.cli.base import STRICT_FLAG, exit_code, outside_options, reported
from detr2litert.convert.cli.detector_options import (
    CLASSES,
    IMAGES,
    RESIZE,
    RESOLUTION,
    SEED,
    SETTINGS,
    THRESHOLD,
    VARIANT,
    WEIGHTS,
    requested_settings,
)
from detr2litert.convert.cli.output import print_gates, print_outside

if TYPE_CHECKING:
    from detr2litert.convert.models.settings import Size


@click.command()
@VARIANT
@click.option("--target", required=True, help="Phone to convert for. See `convert targets`.")
@WEIGHTS
@CLASSES
@RESOLUTION
@IMAGES
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the bundle [default: bundles/VARIANT-TARGET].")
@RESIZE
@SETTINGS
@click.option(
    "--protect",
    type=click.Choice(["measured", "all", "none"]),
    help="Norms and sums to protect from overflowing fp16: where values require it, all, or none [default: the target's].",
)
@click.option(
    "--layout",
    type=click.Choice(["indices", "tokens", "tail", "single"]),
    help="What the CPU does between the graphs: the top-k, the gathers too, or also the selected tokens' first layers "
    "in float32; single: nothing, there is one graph [default: the target's].",
)
@click.option(
    "--native/--no-native", default=True, help="Also write the graphs in the GPU delegate's own operators, to be tried first."
)
@click.option(
    "--precision",
    type=click.Choice(["fp32", "fp16", "int8"]),
    default="fp16",
    show_default=True,
    help="Of the stored weights. int8 halves the files once more; a GPU unpacks it and computes as before.",
)
@click.option(
    "--calibration",
    metavar="DIR|FILE.npy",
    type=click.Path(path_type=Path),
    help="With --precision int8: pictures to calibrate activations on, for static int8 where that loses little.",
)
@click.option(
    "--max-images", metavar="N", type=click.IntRange(1), help="Pictures of --calibration to use, 20 to 100 [default: 100]."
)
@click.option("--notes", metavar="JSON|FILE", help="Any JSON value to store in the manifest and in the files' metadata.")
@outside_options
@THRESHOLD
@click.option("--gpu/--no-gpu", default=True, help="Run the GPU gates; without them a bundle is not verified.")
@click.option("--fp16/--no-fp16", default=True, help="Run the fp16 gate; on a software GPU it takes minutes for a large size.")
@click.option("--zip", "zipped", is_flag=True, help="Also write the bundle as one file.")
@SEED
@STRICT_FLAG
@click.option("--json", "as_json", is_flag=True, help="Print report.json instead of the table.")
@reported
def run(
    as_json: bool,
    strict: bool,
    settings: tuple[str, ...],
    resolution: Size | None,
    resize: str | None,
    outside: dict[str, Any],
    notes: str | None,
    **options: Any,
) -> int:
    """Convert a detector and verify the result."""
    from detr2litert.convert.conversion import Request, convert_detector
    from detr2litert.convert.notes import read_notes
    from detr2litert.convert.progress import Progress
    from detr2litert.convert.proof.outside_request import OutsideRequest

    options["notes"] = None if notes is None else read_notes(notes)
    requested = requested_settings(settings, resolution, resize)
    result = convert_detector(Request(**options, requested=requested, outside=OutsideRequest(**outside)), Progress())
    if as_json:
        click.echo((result.folder / "report.json").read_text(encoding="utf-8"))
    else:
        from detr2litert.convert.proof.reporting import PICTURES, picture_name

        print_gates(result.evidence.gates)
        print_outside(result.evidence.gates)
        click.echo(f"bundle   {result.folder}")
        click.echo(f"picture  {result.folder / PICTURES / picture_name(1)}")
        click.echo(f"report   {result.folder / 'report.html'}")
        if result.manifest.weights.random:
            click.echo("weights  RANDOM: this bundle detects nothing; it only shows that the detector converts")
    return exit_code(result.evidence.gates, strict)
