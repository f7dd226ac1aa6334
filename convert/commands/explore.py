"""``detr2litert explore``: what is known of each operator of a bundle or .tflite file, as node data of Model Explorer."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from detr2litert.convert.cli.base import reported
from detr2litert.host_runtime.errors import UserError

if TYPE_CHECKING:
    from detr2litert.verify.arrays import Arrays
    from detr2litert.verify.explore.operators import Measured

_PACKAGE = "model_explorer"


@click.command(short_help="Write what is known of each operator for Model Explorer.")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Folder to write to [default: PATH-explore beside it].")
@click.option("--gpu/--no-gpu", default=True, help="Run each operator on the GPU, which gives errors and dispatches.")
@click.option("--open", "opened", is_flag=True, help="Open Model Explorer with the files, where it is installed.")
@reported
def explore(path: Path, out: Path | None, gpu: bool, opened: bool) -> None:
    """Write node data for Model Explorer: of each operator its PyTorch module, the rewrites that made it, the largest
    value, the error on the GPU in fp32 and fp16, and GPU dispatches.
    """
    if opened:
        _require_explorer()
    folder = out or path.with_name(f"{path.stem if path.suffix else path.name}-explore")
    with ExitStack() as stack:
        files = _explore(path, folder, gpu, stack)
    for graph, names in files.items():
        click.echo(f"{graph}: {', '.join(name.name for name in names)}")
    click.echo(f"folder   {folder}")
    if opened:
        _open(folder, files)
    else:
        click.echo(
            f"open     detr2litert explore {path} --open, or load them in Model Explorer (pip install ai-edge-model-explorer)"
        )


@dataclass(frozen=True)
class _Graph:
    path: Path
    inputs: Arrays


def _explore(path: Path, folder: Path, gpu: bool, stack: ExitStack) -> Mapping[str, list[Path]]:
    from detr2litert.convert.console import console
    from detr2litert.convert.progress import waiting
    from detr2litert.verify.delegate.dispatches import Counter, find_counter
    from detr2litert.verify.delegate.driver import find_driver, find_fp16_driver
    from detr2litert.verify.explore.operators import measure_operators

    graphs = _graphs(path, stack)
    drivers = {"fp32": find_driver(), "fp16": find_fp16_driver()} if gpu else {}
    found = {precision: driver for precision, driver in drivers.items() if driver is not None}
    for precision in drivers.keys() - found.keys():
        click.echo(f"no errors in {precision}: there is no adapter for it; see `detr2litert doctor`", err=True)
    counter = find_counter(next(iter(found.values()))) if found else None
    if counter is not None and not isinstance(counter, Counter):
        click.echo(f"no dispatches: {counter.reason}", err=True)
        counter = None
    written = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror}); choose another folder with --out") from error
    for name, graph in graphs.items():
        with waiting(console(stderr=True), name) as doing:
            measured = measure_operators(graph.path, graph.inputs, found, counter, doing)
        if measured.missing:
            click.echo(f"{name}: no values and no errors: {measured.missing}", err=True)
        written[name] = _write(folder, name, graph.path, measured)
    return written


def _graphs(path: Path, stack: ExitStack) -> Mapping[str, _Graph]:
    """Returns the graphs of a bundle in every form, with its golden vectors as inputs; or a file, with random ones."""
    import zipfile

    from detr2litert.host_runtime.bundle import load_bundle
    from detr2litert.host_runtime.errors import readable
    from detr2litert.host_runtime.tflite.graph import read_graph
    from detr2litert.verify.cost.measure import random_inputs

    with readable(path):
        is_bundle = path.is_dir() or zipfile.is_zipfile(path)
        if not path.exists():
            raise UserError(f"no file at {path}; give a .tflite file, or a bundle's folder or .zip")
    if not is_bundle:
        return {path.stem: _Graph(path, random_inputs(read_graph(path)))}
    bundle = stack.enter_context(load_bundle(path))
    golden = bundle.golden_tensors()
    graphs = {}
    for name, spec in bundle.manifest.graphs_by_name.items():
        file = bundle.path(spec.file)
        random = random_inputs(read_graph(file))
        graphs[name] = _Graph(file, {entry: golden.get(entry, value) for entry, value in random.items()})
    return graphs


def _write(folder: Path, name: str, graph: Path, measured: Measured) -> list[Path]:
    """Writes a copy of the graph, so that it is called as in the bundle, and its node data beside it."""
    from detr2litert.verify.explore.node_data import node_data
    from detr2litert.verify.report.report import write_whole

    shutil.copyfile(graph, folder / f"{name}.tflite")
    return [write_whole(folder / f"{name}.{quantity}.json", text) for quantity, text in node_data(measured.operators).items()]


def _require_explorer() -> None:
    from importlib.util import find_spec

    if find_spec(_PACKAGE) is None:
        raise UserError("--open needs Model Explorer: pip install ai-edge-model-explorer (130 MB), or leave --open out")


def _open(folder: Path, files: Mapping[str, list[Path]]) -> None:
    """Opens every graph with its node data in the browser; returns when Model Explorer is closed."""
    import model_explorer  # type: ignore[import-not-found]

    config = model_explorer.config()
    for name, data in files.items():
        config.add_model_from_path(str(folder / f"{name}.tflite"))
        for path in data:
            config.add_node_data_from_path(str(path), model_name=f"{name}.tflite")
    model_explorer.visualize_from_config(config)
