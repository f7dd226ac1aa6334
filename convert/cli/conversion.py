"""The commands that make bundles, and the listings of variants, targets and rewrites."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from detr2litert.convert.cli.base import JSON_FLAG, STRICT_FLAG, FiniteRange, exit_code, reported
from detr2litert.convert.cli.output import filled, print_gates, print_json, print_table


@click.command()
@click.option("--variant", help="Detector [default: detected from the checkpoint]. See `convert variants`.")
@click.option("--target", required=True, help="Phone to convert for. See `convert targets`.")
@click.option("--weights", metavar="PATH|HUB_ID|random", help="Checkpoint [default: the variant's published weights].")
@click.option("--classes", type=click.Path(path_type=Path), help="Class names: one per line, or JSON.")
@click.option("--resolution", type=int, metavar="N", help="Side of the square input, in pixels.")
@click.option("--image", "images", type=click.Path(path_type=Path), multiple=True, help="Picture to judge on; repeatable.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the bundle [default: bundles/VARIANT-TARGET].")
@click.option("--resize", type=click.Choice(["bilinear", "bilinear_antialias"]), help="Interpolation of the pre-processing.")
@click.option(
    "--protect",
    type=click.Choice(["measured", "all", "none"]),
    help="Norms and sums to protect from overflowing fp16: where values require it, all, or none [default: the target's].",
)
@click.option("--threshold", default=0.5, show_default=True, type=FiniteRange(0, 1), help="Score that counts as a detection.")
@click.option("--gpu/--no-gpu", default=True, help="Run the GPU gates; without them a bundle is not verified.")
@click.option("--fp16/--no-fp16", default=True, help="Run the fp16 gate; on a software GPU it takes minutes for a large size.")
@click.option("--zip", "zipped", is_flag=True, help="Also write the bundle as one file.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0, 2**63 - 1), help="Of --weights random.")
@STRICT_FLAG
@click.option("--json", "as_json", is_flag=True, help="Print report.json instead of the table.")
@reported
def run(as_json: bool, strict: bool, **options: Any) -> int:
    """Convert a detector and verify the result."""
    from detr2litert.convert.models.variants import find_variant
    from detr2litert.convert.progress import Progress
    from detr2litert.convert.targets import find_target

    # Checked here as well, before the seconds that loading PyTorch takes.
    find_target(options["target"])
    if options["variant"] is not None:
        find_variant(options["variant"])
    progress = Progress()
    with progress.stage("start PyTorch"):
        from detr2litert.convert.proof.reporting import PICTURES, picture_name
        from detr2litert.convert.run import Request
        from detr2litert.convert.run import run as convert_detector

    result = convert_detector(Request(**options), progress)
    if as_json:
        click.echo((result.folder / "report.json").read_text(encoding="utf-8"))
    else:
        print_gates(result.evidence.gates)
        click.echo(f"bundle   {result.folder}")
        click.echo(f"picture  {result.folder / PICTURES / picture_name(1)}")
        click.echo(f"report   {result.folder / 'report.html'}")
        if result.manifest.weights.random:
            click.echo("weights  RANDOM: this bundle detects nothing; it only shows that the detector converts")
    return exit_code(result.evidence.gates, strict)


@click.command()
@JSON_FLAG
@reported
def variants(as_json: bool) -> None:
    """List the detectors that can be converted."""
    from detr2litert.convert.models.variants import VARIANTS

    columns = ("name", "family", "resolution", "queries", "weights")
    own = "give --weights"
    rows = [
        (v.name, v.family.name, v.resolution, v.num_queries, "embedded" if v.bundled else v.hub_id or own)
        for v in VARIANTS.values()
    ]
    print_table(columns, rows, as_json)


@click.command()
@JSON_FLAG
@reported
def targets(as_json: bool) -> None:
    """List the phones a bundle can be made for."""
    from detr2litert.convert.targets import TARGETS

    print_table(("name", "devices", "reason"), [(t.name, t.devices, t.reason) for t in TARGETS.values()], as_json)


@click.command(short_help="Explain the rewrites, or what they did to a bundle.")
@click.argument("names", nargs=-1)
@click.option("--explain", "bundle", type=click.Path(path_type=Path), help="Bundle whose conversion to explain.")
@JSON_FLAG
@reported
def rewrites(names: tuple[str, ...], bundle: Path | None, as_json: bool) -> None:
    """Explain what each rewrite does, why, and the reason for its place in the order.

    With --explain: where each fired in the conversion of a bundle, and where it nearly did and why it did not.
    """
    from detr2litert.convert.explain import explain_rewrites
    from detr2litert.convert.inspect import describe_rewrites

    if bundle is not None:
        explained = explain_rewrites(bundle, names)
        if as_json:
            print_json([entry.to_json() for entry in explained])
        for explanation in () if as_json else explained:
            click.secho(explanation.title, bold=True)
            for line in explanation.lines():
                click.echo(line)
        return
    described = describe_rewrites(names)
    if as_json:
        print_json(described)
        return
    for entry in described:
        click.secho(f"{entry['name']}", bold=True)
        for paragraph in (f"Order: {entry['stage']}, {entry['reason']}.", *entry["document"].split("\n\n")):
            click.echo(filled(paragraph) + "\n")
