"""``detr2litert explore``: what is known of each operator of a bundle or .tflite file, as node data of Model Explorer."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from detr2litert.convert.cli.base import reported
from detr2litert.convert.cli.graph_files import graph_files
from detr2litert.host_runtime.errors import UserError

if TYPE_CHECKING:
    from detr2litert.verify.arrays import Arrays
    from detr2litert.verify.delegate.adapters import Driver
    from detr2litert.verify.delegate.dispatches import Counter
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
    files = _explore(path, folder, gpu)
    for graph, names in files.items():
        click.echo(f"{graph}: {', '.join(name.name for name in names)}")
    click.echo(f"folder   {folder}")
    if opened:
        _open(folder, files)
    else:
        click.echo(
            f"open     detr2litert explore {path} --open, or load them in Model Explorer (pip install ai-edge-model-explorer)"
        )


def _explore(path: Path, folder: Path, gpu: bool) -> Mapping[str, list[Path]]:
    from detr2litert.convert.console import console
    from detr2litert.convert.progress import waiting
    from detr2litert.verify.explore.operators import measure_operators

    written = {}
    with graph_files(path) as (graphs, bundle):
        golden = {} if bundle is None else bundle.golden_tensors()
        random = {name: _random(name, file) for name, file in graphs.items()}
        drivers, counter = _gpus() if gpu else ({}, None)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{folder}: cannot be written ({error.strerror}); choose another folder with --out") from error
        for name, file in graphs.items():
            inputs = {entry: golden.get(entry, value) for entry, value in random[name].items()}
            with waiting(console(stderr=True), name) as doing:
                measured = measure_operators(file, inputs, drivers, counter, doing)
            if measured.missing:
                click.echo(f"{name}: no values and no errors: {measured.missing}", err=True)
            written[name] = _write(folder, name, file, measured)
    return written


def _random(name: str, file: Path) -> Arrays:
    from detr2litert.host_runtime.tflite.graph import read_graph
    from detr2litert.verify.cost.measure import random_inputs

    try:
        return random_inputs(read_graph(file))
    except TypeError as error:
        raise UserError(
            f"{name}: no values can be made for an input ({error}); convert it with inputs of float32 or integers"
        ) from error


def _gpus() -> tuple[Mapping[str, Driver], Counter | None]:
    """Returns the drivers by precision and the counter of dispatches; says which of them there are not."""
    from detr2litert.verify.delegate.dispatches import NotCounted, find_counter
    from detr2litert.verify.delegate.driver import find_driver, find_fp16_driver

    drivers = {"fp32": find_driver(), "fp16": find_fp16_driver()}
    found = {precision: driver for precision, driver in drivers.items() if driver is not None}
    for precision in drivers.keys() - found.keys():
        click.echo(f"no errors in {precision}: there is no adapter for it; see `detr2litert doctor`", err=True)
    if not found:
        return found, None
    counter = find_counter(next(iter(found.values())))
    if isinstance(counter, NotCounted):
        click.echo(f"no dispatches: {counter.reason}", err=True)
        return found, None
    return found, counter


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
