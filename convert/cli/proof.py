"""The commands that judge and run files on this machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from detr2litert.convert.cli.base import JSON_FLAG, STRICT_FLAG, FiniteRange, exit_code, reported
from detr2litert.convert.cli.output import print_gates, print_json, print_result


@click.command(short_help="Lint a .tflite or bundle; try it on the GPU.")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--target", default="pixel", show_default=True, help="Whose lint rules apply, for a single .tflite file.")
@click.option("--gpu/--no-gpu", default=True, help="Try the file on the GPU delegate.")
@click.option("--timeout", default=900.0, show_default=True, type=FiniteRange(min=1), help="Seconds for the delegate.")
@click.option(
    "--fail-on",
    default="wrong",
    show_default=True,
    type=click.Choice(["refused", "wrong", "risk"]),
    help="Least severe finding to exit with 1 for: what is refused; also what is computed wrong; also risks.",
)
@STRICT_FLAG
@click.option("--json", "as_json", is_flag=True, help="Print the gates as JSON, each finding with its op index and tensors.")
@reported
def check(path: Path, strict: bool, as_json: bool, fail_on: str, **options: Any) -> int:
    """Lint any .tflite file or bundle and try it on the real GPU delegate."""
    from detr2litert.convert.check import check_path, failing
    from detr2litert.convert.cli.findings import print_findings
    from detr2litert.verify.gates import Verdict

    gates = check_path(path, fail_on=fail_on, **options)
    if as_json:
        print_result(gates, as_json)
    else:
        print_findings(gates)
        # A gate's advice is printed with its findings.
        print_gates([replace(gate, advice="" if gate.findings else gate.advice) for gate in gates])
    milder = [g.gate for g in gates if g.verdict is Verdict.FAILED and g.gate not in failing(gates, fail_on)]
    if milder:
        click.echo(f"less severe than --fail-on {fail_on}, so not counted: {', '.join(milder)}", err=True)
    return exit_code([gate for gate in gates if gate.gate not in milder], strict)


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--weights", metavar="PATH|HUB_ID", help="Checkpoint to verify against [default: the bundle's].")
@click.option("--image", "images", type=click.Path(path_type=Path), multiple=True, help="Picture to judge on; repeatable.")
@click.option("--gpu/--no-gpu", default=True, help="Run the GPU gates.")
@click.option("--fp16/--no-fp16", default=True, help="Run the fp16 gate.")
@click.option(
    "--report", "report_folder", type=click.Path(path_type=Path), help="Folder to write report.json and report.html to."
)
@STRICT_FLAG
@click.option("--json", "as_json", is_flag=True, help="Print the gates as JSON.")
@reported
def verify(bundle: Path, as_json: bool, strict: bool, **options: Any) -> int:
    """Run all gates again, from the bundle and its checkpoint."""
    from detr2litert.convert.progress import Progress

    progress = Progress()
    with progress.stage("start PyTorch"):
        from detr2litert.convert.reverify import verify_bundle

    gates = verify_bundle(bundle, progress, **options)
    print_result(gates, as_json)
    return exit_code(gates, strict)


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("images", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option("--threshold", default=0.5, show_default=True, type=FiniteRange(0, 1))
@click.option("--nms", "nms_iou", type=FiniteRange(0, 1), help="Suppress boxes of a class that overlap more than this.")
@click.option("--save", type=click.Path(path_type=Path), help="Folder for overlay pictures.")
@click.option("--accelerator", type=click.Choice(["cpu", "gpu"]), default="cpu", show_default=True)
@reported
def detect(bundle: Path, images: tuple[Path, ...], **options: Any) -> None:
    """Detect objects in pictures with a bundle; prints JSON."""
    from detr2litert.convert.inspect import detect_images

    print_json(detect_images(bundle, images, **options))


@click.command(short_help="Show what this machine has and lacks.")
@JSON_FLAG
@reported
def doctor(as_json: bool) -> None:
    """Show what this machine has, which adapter was found, what is missing and how to get it."""
    from detr2litert.verify.doctor import diagnose

    diagnosis = diagnose()
    if as_json:
        print_json(diagnosis.to_json())
    else:
        click.echo("\n".join(diagnosis.lines()))
