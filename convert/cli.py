"""The command ``convert`` (also installed as ``detr2litert``)."""

from __future__ import annotations

import functools
import io
import json
import os
import shutil
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from host_runtime.errors import UserError

BAD_INPUT = 2
GATE_FAILED = 1
_FINDINGS_SHOWN = 3

Command = Callable[..., int | None]

_SERIAL = click.option("--serial", help="Device, as `adb devices` lists it; needed where there are several.")
_PACKAGE = click.option("--package", default="org.detr2litert.sample", show_default=True, help="The app.")
_JSON_FLAG = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")


def main() -> None:
    """Run the command and end the process with its exit code."""
    from host_runtime import interrupt
    from host_runtime.quiet import silence_exit

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    interrupt.install()
    silence_exit()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that has no ✓ must not end a run
    name = Path(sys.argv[0]).stem
    cli.main(prog_name=name if name in ("convert", "detr2litert") else "python -m convert")


def reported(command: Command) -> Command:
    """Turn a user's error into one line and exit code 2, and a return value into the exit code."""

    from host_runtime.interrupt import arrived, leave, was_interrupted

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        try:
            code = command(*args, **kwargs)
        except (Exception, KeyboardInterrupt) as error:
            # Native code may have turned an interrupt into an error of its own.
            if isinstance(error, KeyboardInterrupt) or was_interrupted():
                arrived()
                told = "interrupted before it was done; run the same command again"
            elif isinstance(error, UserError):
                told = " ".join(str(error).split())
            else:
                raise
            click.echo(f"error: {told}", err=True)
            code = BAD_INPUT
        leave(code or 0)

    return wrapped


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="detr2litert")
def cli() -> None:
    """Compile a trained DETR detector into a bundle of LiteRT graphs that run entirely on a phone's GPU, and prove it.

    Exit codes: 0 all gates passed, 1 a gate failed, 2 bad use or bad input.
    """


@cli.command()
@click.option("--variant", help="Detector; told from the checkpoint if left out. See `convert variants`.")
@click.option("--target", required=True, help="Phone to convert for. See `convert targets`.")
@click.option("--weights", metavar="PATH|HUB_ID|random", help="Checkpoint; the variant's published weights if left out.")
@click.option("--classes", type=click.Path(path_type=Path), help="Class names: one a line, or JSON.")
@click.option("--resolution", type=int, metavar="N", help="Side of the square input, in pixels.")
@click.option("--image", "images", type=click.Path(path_type=Path), multiple=True, help="Picture to judge on; repeatable.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the bundle [default: bundles/VARIANT-TARGET].")
@click.option("--resize", type=click.Choice(["bilinear", "bilinear_antialias"]), help="Interpolation of the pre-processing.")
@click.option(
    "--threshold", default=0.5, show_default=True, type=click.FloatRange(0, 1), help="Score that counts as a detection."
)
@click.option("--gpu/--no-gpu", default=True, help="Run the GPU gates; without them a bundle is not proven.")
@click.option("--fp16/--no-fp16", default=True, help="Run the fp16 gate; on a software GPU it takes minutes for a large size.")
@click.option("--zip", "zipped", is_flag=True, help="Also write the bundle as one file.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0, 2**63 - 1), help="Of --weights random.")
@click.option("--strict", is_flag=True, help="Exit with 1 if a gate could not run.")
@click.option("--json", "as_json", is_flag=True, help="Print report.json instead of the table.")
@reported
def run(as_json: bool, strict: bool, **options: Any) -> int:
    """Convert a detector and prove the result."""
    from convert.progress import Progress
    from convert.targets import find_target
    from convert.variants import find_variant

    # Asked here as well, before the seconds that loading PyTorch takes.
    find_target(options["target"])
    if options["variant"] is not None:
        find_variant(options["variant"])
    progress = Progress()
    with progress.stage("start PyTorch"):
        from convert.reporting import PICTURES, picture_name
        from convert.run import Request
        from convert.run import run as convert_detector

    result = convert_detector(Request(**options), progress)
    if as_json:
        click.echo((result.folder / "report.json").read_text(encoding="utf-8"))
    else:
        _print_gates(result.evidence.gates)
        click.echo(f"bundle   {result.folder}")
        click.echo(f"picture  {result.folder / PICTURES / picture_name(1)}")
        click.echo(f"report   {result.folder / 'report.html'}")
        if result.manifest.weights.random:
            click.echo("weights  RANDOM: this bundle detects nothing; it shows only that the detector converts")
    return _exit_code(result.evidence.gates, strict)


@cli.command(short_help="Lint a .tflite or bundle; try it on the GPU.")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--target", default="pixel", show_default=True, help="Whose lint rules apply, for a single .tflite file.")
@click.option("--gpu/--no-gpu", default=True, help="Try the file on the GPU delegate.")
@click.option("--strict", is_flag=True, help="Exit with 1 if a gate could not run.")
@click.option("--json", "as_json", is_flag=True, help="Print the gates as JSON.")
@reported
def check(path: Path, target: str, gpu: bool, strict: bool, as_json: bool) -> int:
    """Lint any .tflite file or bundle and try it on the real GPU delegate."""
    from convert.inspect import check_path

    gates = check_path(path, target, gpu)
    _print_result(gates, as_json, findings=True)
    return _exit_code(gates, strict)


@cli.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--weights", metavar="PATH|HUB_ID", help="Checkpoint to verify against [default: the variant's own].")
@click.option("--image", "images", type=click.Path(path_type=Path), multiple=True, help="Picture to judge on; repeatable.")
@click.option("--gpu/--no-gpu", default=True, help="Run the GPU gates.")
@click.option("--fp16/--no-fp16", default=True, help="Run the fp16 gate.")
@click.option(
    "--report", "report_folder", type=click.Path(path_type=Path), help="Folder to write report.json and report.html to."
)
@click.option("--strict", is_flag=True, help="Exit with 1 if a gate could not run.")
@click.option("--json", "as_json", is_flag=True, help="Print the gates as JSON.")
@reported
def verify(bundle: Path, as_json: bool, strict: bool, **options: Any) -> int:
    """Run all gates again, from the bundle and its checkpoint."""
    from convert.progress import Progress

    progress = Progress()
    with progress.stage("start PyTorch"):
        from convert.reverify import verify_bundle

    gates = verify_bundle(bundle, progress, **options)
    _print_result(gates, as_json)
    return _exit_code(gates, strict)


@cli.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("images", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option("--threshold", default=0.5, show_default=True, type=click.FloatRange(0, 1))
@click.option("--nms", "nms_iou", type=click.FloatRange(0, 1), help="Suppress boxes of a class that overlap more than this.")
@click.option("--save", type=click.Path(path_type=Path), help="Folder for overlay pictures.")
@click.option("--accelerator", type=click.Choice(["cpu", "gpu"]), default="cpu", show_default=True)
@reported
def detect(bundle: Path, images: tuple[Path, ...], **options: Any) -> None:
    """Detect objects in pictures with a bundle; prints JSON."""
    from convert.inspect import detect_images

    click.echo(json.dumps(detect_images(bundle, images, **options), indent=1))


@cli.command()
@_JSON_FLAG
@reported
def variants(as_json: bool) -> None:
    """List the detectors that can be converted."""
    from convert.variants import VARIANTS

    columns = ("name", "family", "resolution", "queries", "weights")
    own = "give --weights"
    rows = [
        (v.name, v.family.name, v.resolution, v.num_queries, "embedded" if v.bundled else v.hub_id or own)
        for v in VARIANTS.values()
    ]
    _print_table(columns, rows, as_json)


@cli.command()
@_JSON_FLAG
@reported
def targets(as_json: bool) -> None:
    """List the phones a bundle can be made for."""
    from convert.targets import TARGETS

    _print_table(("name", "devices", "reason"), [(t.name, t.devices, t.reason) for t in TARGETS.values()], as_json)


@cli.command(short_help="Say what each rewrite does and why.")
@click.argument("names", nargs=-1)
@_JSON_FLAG
@reported
def rewrites(names: tuple[str, ...], as_json: bool) -> None:
    """Say what each rewrite does, why, and why it stands where it does in the order."""
    from convert.inspect import describe_rewrites

    described = describe_rewrites(names)
    if as_json:
        click.echo(json.dumps(described, indent=1))
        return
    for entry in described:
        click.secho(f"{entry['name']}", bold=True)
        for paragraph in (f"Order: {entry['stage']}, {entry['reason']}.", *entry["document"].split("\n\n")):
            click.echo(_filled(paragraph) + "\n")


@cli.command(short_help="Say what this machine has and lacks.")
@_JSON_FLAG
@reported
def doctor(as_json: bool) -> None:
    """Say what this machine has, which adapter was found, what cannot be run and how to get it."""
    from verify.doctor import diagnose

    diagnosis = diagnose()
    click.echo(json.dumps(diagnosis.to_json(), indent=1) if as_json else "\n".join(diagnosis.lines()))


@cli.command(short_help="Put a bundle into the Android app over adb.")
@click.argument("bundle", type=click.Path(path_type=Path))
@_SERIAL
@_PACKAGE
@reported
def push(bundle: Path, serial: str | None, package: str) -> None:
    """Put a bundle into the Android app's storage over adb, hashes checked on both sides.

    Cut off, it goes on where it was when run again.
    """
    from convert.devices import push as push_bundle

    where, done = push_bundle(bundle, serial, package)
    told = "was there already" if not done.bytes_sent else f"sent {done.bytes_sent} of {done.bytes_all} bytes"
    click.echo(f"{where}  files/{done.folder}  {told}, every sha256 checked")


@cli.command("app-assets", short_help="Put a bundle into the Android project, for a build that carries it.")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--sample", type=click.Path(path_type=Path), help="The Android project [default: android_sample].")
@reported
def app_assets(bundle: Path, sample: Path | None) -> None:
    """Put a bundle into the Android project's assets, for a build that carries it."""
    from convert.assets import app_assets as copy_assets

    click.echo(str(copy_assets(bundle, sample)))


@cli.command(short_help="Run a bundle on a phone over adb and prove it there.")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--serial", "serials", multiple=True, help="Device, as `adb devices` lists it; repeatable.")
@click.option("--all", "every", is_flag=True, help="Every device that is connected.")
@_PACKAGE
@click.option("--accelerator", type=click.Choice(["gpu", "cpu"]), default="gpu", show_default=True)
@click.option("--precision", type=click.Choice(["default", "fp16", "fp32"]), default="default", show_default=True)
@click.option("--runs", default=50, show_default=True, type=click.IntRange(1, 10000), help="Timed runs.")
@click.option("--timeout", "seconds", default=600.0, show_default=True, type=click.FloatRange(1), help="Seconds for a run.")
@click.option("--report", "folder", type=click.Path(path_type=Path), help="Folder of the report [default: BUNDLE/device].")
@click.option("--strict", is_flag=True, help="Exit with 1 if a gate could not run.")
@click.option("--json", "as_json", is_flag=True, help="Print report.json instead of the table.")
@reported
def device(
    bundle: Path,
    serials: tuple[str, ...],
    every: bool,
    package: str,
    folder: Path | None,
    strict: bool,
    as_json: bool,
    **request: Any,
) -> int:
    """Run a bundle on a phone's GPU through the Android app, and judge every stage here by the golden vectors."""
    from convert.devices import device as run_on_devices
    from verify.device.parity import EMULATOR
    from verify.device.protocol import Request

    report, where = run_on_devices(bundle, serials, every, package, Request(**request), folder)
    if as_json:
        click.echo((where / "report.json").read_text(encoding="utf-8"))
    for row in report.rows:
        if row.error:
            click.echo(f"error: {row.error}", err=True)
        elif not as_json:
            model = row.facts["device"].get("model")
            click.echo(f"\n{row.serial}  {f'{EMULATOR}  ' if row.emulator else ''}{model}: {row.verdict}")
            _print_gates(row.gates)
    if not as_json:
        click.echo(f"report   {where / 'report.html'}")
    codes = [BAD_INPUT if row.error else _exit_code(row.gates, strict) for row in report.rows]
    return max(codes)


def _filled(paragraph: str) -> str:
    """A paragraph of a docstring as wide as the terminal, indented; lists and sketches keep their lines."""
    lines = paragraph.strip("\n").splitlines()
    if any(line.startswith((" ", "- ", "|")) for line in lines):
        return "\n".join(f"  {line}".rstrip() for line in lines)
    indent = "  "
    return textwrap.fill(" ".join(lines), _width(), initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)


def _width() -> int:
    return max(40, min(shutil.get_terminal_size().columns, 100))


def _print_table(columns: tuple[str, ...], rows: list[tuple[Any, ...]], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps([dict(zip(columns, row, strict=True)) for row in rows], indent=1))
        return
    table = Table(*columns, box=None, header_style="bold", pad_edge=False)
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    Console(highlight=False).print(table)


def _print_result(gates: Any, as_json: bool, findings: bool = False) -> None:
    if as_json:
        click.echo(json.dumps([gate.to_json() for gate in gates], indent=1, default=str))
        return
    if findings:
        for gate in gates:
            _print_findings(gate.findings)
    _print_gates(gates)


def _print_findings(findings: Any) -> None:
    """Every finding in full, but of a rule that found many only the first few."""
    for key in dict.fromkeys((found.severity, found.rule) for found in findings):
        alike = [found for found in findings if (found.severity, found.rule) == key]
        for found in alike[:_FINDINGS_SHOWN]:
            click.echo(f"{found.severity}  {found.rule}  {found.place}")
            for line in textwrap.wrap(f"{found.message}; {found.advice}", _width() - 4, break_on_hyphens=False):
                click.echo(f"    {line}")
        if len(alike) > _FINDINGS_SHOWN:
            click.echo(f"    … and {len(alike) - _FINDINGS_SHOWN} more of {key[1]}; --json lists them all")


def _print_gates(gates: Any) -> None:
    from verify.report.summary import gate_table

    Console(highlight=False).print(gate_table(gates))


def _exit_code(gates: Any, strict: bool) -> int:
    from verify.gates import Verdict, overall

    verdict = overall(gates)
    if verdict is Verdict.NOT_RUN:
        missing = ", ".join(gate.gate for gate in gates if gate.verdict is Verdict.NOT_RUN)
        click.echo(f"not run, so not proven: {missing}", err=True)
    return GATE_FAILED if verdict is Verdict.FAILED or (strict and verdict is Verdict.NOT_RUN) else 0


if __name__ == "__main__":
    main()
