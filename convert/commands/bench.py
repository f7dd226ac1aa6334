"""``detr2litert bench``: how long a frame takes, from a file to detections, and against what else it could be."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from detr2litert.convert.cli.base import GATE_FAILED, JSON_FLAG, PACKAGE_OPTION, reported
from detr2litert.convert.cli.output import print_json
from detr2litert.host_runtime.errors import UserError

if TYPE_CHECKING:
    from detr2litert.host_runtime.bundle import Bundle
    from detr2litert.host_runtime.runner import Form
    from detr2litert.verify.bench.contender import Contender
    from detr2litert.verify.bench.record import BenchRecord
    from detr2litert.verify.bench.session import Entry, Plan
    from detr2litert.verify.delegate.adapters import Driver

_RUNS, _SOFTWARE_RUNS = 50, 5
_PYTORCH, _COMPILED = "pytorch", "torch-compile"
_BOTH = "both"


@click.command(short_help="Time a frame end to end, and compare.")
@click.argument("bundles", metavar="BUNDLE...", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option("--images", type=click.Path(path_type=Path), help="Folder of pictures [default: the bundle's golden one].")
@click.option("--runs", type=click.IntRange(1, 1_000_000), help="Timed frames [default: 50; 5 on a software GPU].")
@click.option("--warm-up", default=3, show_default=True, type=click.IntRange(0, 10_000), help="Untimed frames before them.")
@click.option("--accelerator", type=click.Choice(["cpu", "gpu"]), default="cpu", show_default=True)
@click.option(
    "--form",
    type=click.Choice(["native", "portable", _BOTH]),
    help="Of the graphs; both compares them [default: on a GPU the native one, if the bundle has it].",
)
@click.option("--threads", type=click.IntRange(1, 1024), help="Of the CPU's kernels [default: all cores, at most 4].")
@click.option(
    "--against",
    metavar="BUNDLE|FILE.onnx|pytorch|torch-compile|FILE.json",
    multiple=True,
    help="Compare with it, in turns, or with saved results; repeatable.",
)
@click.option("--weights", metavar="PATH|HUB_ID", help="Checkpoint for PyTorch [default: the bundle's].")
@click.option("--despite-differences", is_flag=True, help="Compare although the set-ups differ.")
@click.option("--batch", metavar="1,2,4,8", help="Also batches of an ONNX file, or threads of a bundle.")
@click.option("--preload", is_flag=True, help="Also a pipeline: a thread prepares the next picture.")
@click.option("--budget", metavar="33ms", help="Exit with 1 if the p95 of a frame is above.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0, 2**31 - 1), help="Of the order of the turns.")
@click.option("--out", type=click.Path(path_type=Path), help="File for an HTML page.")
@click.option("--phone", is_flag=True, help="On a phone over adb, through the Android app.")
@click.option("--serial", "serials", multiple=True, help="Of --phone: device, as `adb devices` lists it; repeatable.")
@PACKAGE_OPTION
@JSON_FLAG
@click.pass_context
@reported
def bench(
    context: click.Context,
    bundles: tuple[Path, ...],
    out: Path | None,
    phone: bool,
    serials: tuple[str, ...],
    package: str,
    as_json: bool,
    **options: Any,
) -> int:
    """Time a frame from the file of a picture to detections, stage by stage, of bundles and ONNX files.

    Several are run in turns and compared with the first.
    """
    if phone:
        return _on_phones(context, bundles, serials, package)
    _refuse_given(context, ("serials", "package"), "is of --phone; add it, or leave the option out")
    record = run(Request(bundles, **options), out)
    if as_json:
        print_json(record.to_json())
    else:
        from detr2litert.convert.cli.bench_display import print_record

        print_record(record)
    return GATE_FAILED if record.budget is not None and not record.budget.kept else 0


def _on_phones(context: click.Context, bundles: tuple[Path, ...], serials: tuple[str, ...], package: str) -> int:
    from detr2litert.convert.cli.bench_phone import NOT_ON_A_PHONE, bench_on_phones
    from detr2litert.verify.device.protocol import Request as PhoneRequest

    _refuse_given(context, (*NOT_ON_A_PHONE, "as_json"), "does not apply to --phone; leave it out")
    chosen = context.params
    request = PhoneRequest(
        chosen["accelerator"] if _given(context, "accelerator") else "gpu",
        runs=chosen["runs"] or _RUNS,
        warmup=chosen["warm_up"],
    )
    code, folder = bench_on_phones(bundles, serials, package, request, chosen["budget"])
    click.echo(f"report   {folder / 'report.html'}")
    return code


def _refuse_given(context: click.Context, names: Sequence[str], why: str) -> None:
    """Refuses the first of these options that is on the command line."""
    options = {parameter.name: parameter.opts[0] for parameter in context.command.params}
    for name in names:
        if _given(context, name):
            raise UserError(f"{options[name]} {why}")


def _given(context: click.Context, name: str) -> bool:
    return context.get_parameter_source(name) is ParameterSource.COMMANDLINE


@dataclass(frozen=True)
class Request:
    """The command line, see its options."""

    bundles: tuple[Path, ...]
    images: Path | None
    runs: int | None
    warm_up: int
    accelerator: str
    form: str | None
    threads: int | None
    against: tuple[str, ...]
    weights: str | None
    despite_differences: bool
    batch: str | None
    preload: bool
    budget: str | None
    seed: int


def run(request: Request, out: Path | None) -> BenchRecord:
    """Measures what is asked for, and writes the page, if one is.

    Raises:
        UserError: an option, a bundle, a file or a picture cannot be used, or the set-ups to compare differ.
    """
    from detr2litert.convert.console import console
    from detr2litert.convert.progress import waiting
    from detr2litert.verify.bench.budget import parse_budget
    from detr2litert.verify.bench.compare import compare_with_saved
    from detr2litert.verify.bench.page import write_page
    from detr2litert.verify.bench.record import read_record
    from detr2litert.verify.bench.scaling import parse_sizes
    from detr2litert.verify.bench.session import Plan, run_bench

    budget = None if request.budget is None else parse_budget(request.budget)
    sizes = () if request.batch is None else parse_sizes(request.batch)
    if request.weights is not None and not {_PYTORCH, _COMPILED} & set(request.against):
        raise UserError("--weights is for --against pytorch or torch-compile; give one of them, or leave it out")
    _require_folder(out)
    saved = [(Path(name), read_record(Path(name))) for name in request.against if name.endswith(".json")]
    live = [name for name in request.against if not name.endswith(".json")]
    driver = _gpu() if request.accelerator == "gpu" else None
    software = driver is not None and not driver.adapter.hardware
    plan = Plan(
        runs=request.runs or (_SOFTWARE_RUNS if software else _RUNS),
        threads=request.threads or min(4, os.cpu_count() or 1),
        warm_up=request.warm_up,
        seed=request.seed,
        sizes=sizes,
        preload=request.preload,
        budget=budget,
        # Both forms of a bundle, or one form by name, are the user's choice.
        chosen=frozenset({"form"} if request.form is not None else ()),
        despite=request.despite_differences,
    )
    with ExitStack() as opened, waiting(console(stderr=True), "bench") as doing:
        entries, pictures = _prepare(request, live, driver, plan, opened)
        record = run_bench(entries, pictures, plan, doing)
    for path, other in saved:
        found = compare_with_saved(record, other, path, request.despite_differences)
        record = replace(record, comparisons=(*record.comparisons, *found))
    if out is not None:
        write_page(record, out)
    return record


def _prepare(
    request: Request, live: Sequence[str], driver: Driver | None, plan: Plan, opened: ExitStack
) -> tuple[list[Entry], tuple[Path, ...]]:
    """Opens the bundles, and returns what is to be loaded, the first one first, and the pictures."""
    from detr2litert.host_runtime.bundle import load_bundle
    from detr2litert.verify.bench.pictures import find_pictures

    paths = [*request.bundles, *(Path(name) for name in live if name not in (_PYTORCH, _COMPILED))]
    names = dict(zip(paths, unique_names(paths), strict=True))
    bundles = {path: opened.enter_context(load_bundle(path)) for path in names if path.suffix != ".onnx"}
    first = next(iter(bundles.items()), None)
    entries: list[Entry] = []
    targets: list[Path | str] = [*request.bundles, *live]
    for target in targets:
        path = Path(target)
        if target in (_PYTORCH, _COMPILED):  # a text of --against; an argument of that name is a path
            entries.append(_torch_entry(target == _COMPILED, first, request.weights))
        elif path in bundles:
            entries += _bundle_entries(names[path], bundles[path], request.form, driver)
        else:
            entries.append(_onnx_entry(names[path], path, first, opened))
    pictures = request.images
    if pictures is None:
        golden = None if first is None else first[1].manifest.golden
        if first is None or golden is None:
            raise UserError("there is no golden picture to time; give a folder with --images")
        pictures = first[1].path(golden.image)
    return entries, find_pictures(pictures)


def unique_names(paths: Sequence[Path]) -> list[str]:
    """Returns the last part of each path, and as many parts before it as it takes to tell the paths apart.

    Raises:
        UserError: a path is given twice.
    """
    resolved = [path.absolute() for path in paths]
    for path in paths:
        if resolved.count(path.absolute()) > 1:
            raise UserError(f"{path} is given twice; give each bundle or file once")
    return [_shortest(path, resolved) for path in resolved]


def _shortest(path: Path, among: Sequence[Path]) -> str:
    for length in range(1, len(path.parts) + 1):
        end = path.parts[-length:]
        if sum(other.parts[-length:] == end for other in among) == 1:
            return "/".join(end)
    return str(path)


def _bundle_entries(name: str, bundle: Bundle, form: str | None, driver: Driver | None) -> list[Entry]:
    from detr2litert.verify.bench.bundle import BundleContender
    from detr2litert.verify.bench.session import Entry

    def entry(label: str, one: Form | None) -> Entry:
        def make(threads: int) -> Contender:
            return BundleContender(label, bundle, threads=threads, driver=driver, form=one)

        return Entry(label, make, workers=True)

    if form == _BOTH:
        return [entry(f"{name} native", "native"), entry(f"{name} portable", "portable")]
    return [entry(name, form)]  # type: ignore[arg-type]


def _onnx_entry(name: str, path: Path, first: tuple[Path, Bundle] | None, opened: ExitStack) -> Entry:
    """The bundle of a file without metadata is the one in its folder, or else the first one of the command line."""
    from detr2litert.host_runtime.bundle import load_bundle
    from detr2litert.host_runtime.manifest import MANIFEST_NAME
    from detr2litert.verify.bench.onnx_file import OnnxContender
    from detr2litert.verify.bench.session import Entry

    beside = None if first is None else (first[0].name, first[1].manifest)
    if (path.parent / MANIFEST_NAME).is_file():
        beside = (path.parent.absolute().name, opened.enter_context(load_bundle(path.parent)).manifest)
    return Entry(name, lambda threads: OnnxContender(name, path, threads=threads, beside=beside))


def _torch_entry(compiled: bool, first: tuple[Path, Bundle] | None, weights: str | None) -> Entry:
    from detr2litert.verify.bench.pytorch import TorchContender
    from detr2litert.verify.bench.session import Entry
    from detr2litert.verify.bench.setup import PYTORCH, TORCH_COMPILE

    if first is None:
        raise UserError(
            "--against pytorch and torch-compile need a bundle, whose manifest names the checkpoint; give one first"
        )
    manifest = first[1].manifest

    def make(threads: int) -> Contender:
        try:
            from detr2litert.convert.models.recorded import recorded_reference
        except ImportError as error:
            raise UserError(
                f"PyTorch cannot be loaded ({error}); install detr2litert[convert], or leave it out of --against"
            ) from error
        module: Callable[[Any], tuple[Any, Any]] = recorded_reference(manifest, weights).module
        return TorchContender(module, manifest, threads=threads, compiled=compiled)

    return Entry(TORCH_COMPILE if compiled else PYTORCH, make)


def _gpu() -> Driver:
    """Finds a GPU and makes this process use it."""
    from detr2litert.verify.delegate.driver import HOW_TO_GET, activate, find_driver

    driver = find_driver()
    if driver is None:
        raise UserError(f"no Vulkan adapter to run on; {HOW_TO_GET}, or give --accelerator cpu")
    activate(driver)
    return driver


def _require_folder(out: Path | None) -> None:
    """Refuses a page that could not be written, before anything is measured."""
    if out is not None and (out.is_dir() or not out.absolute().parent.is_dir()):
        raise UserError(f"--out {out}: not a file in an existing folder; give one, such as bench.html")
