"""``python -m tools.benchmark``: measures, and writes the tables of docs/measurements.md."""

from __future__ import annotations

import itertools
import json
import os
import sys
import tempfile
from pathlib import Path

import click

from detr2litert.convert.document import insert, read_document
from detr2litert.convert.models.variants import Variant, find_variant
from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.quiet import silence_native_log
from detr2litert.verify.bench.machine import describe_machine
from tools.benchmark.conversion import Conversion, convert
from tools.benchmark.frames import time_frames
from tools.benchmark.graphs import measure_graphs
from tools.benchmark.record import Cost, Record, VariantRecord
from tools.benchmark.tables import render

_BAD_INPUT = 2
_SECTION = "benchmark"


@click.command()
@click.option("--variants", default="tiny,nano", show_default=True, help="Names, separated by commas.")
@click.option("--target", default="pixel", show_default=True, help="Phone to convert for.")
@click.option("--runs", default=50, show_default=True, type=click.IntRange(min=1), help="Timed frames for each variant.")
@click.option("--conversions", default=3, show_default=True, type=click.IntRange(min=1), help="Of each variant.")
@click.option("--threads", type=click.IntRange(min=1), help="Of the CPU runs [default: all cores, at most 4].")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="File for the record.")
@click.option("--write", "document", type=click.Path(path_type=Path), help="Document whose tables to replace.")
def main(
    variants: str,
    target: str,
    runs: int,
    conversions: int,
    threads: int | None,
    json_path: Path | None,
    document: Path | None,
) -> None:
    """Measure conversions and bundles on this machine, which should be idle; prints the tables."""
    silence_native_log()
    try:
        _benchmark(variants, target, runs, conversions, threads or min(4, os.cpu_count() or 1), json_path, document)
    except UserError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(_BAD_INPUT)


def _benchmark(
    names: str, target: str, runs: int, repeats: int, threads: int, json_path: Path | None, document: Path | None
) -> None:
    chosen = {row.name: row for row in (find_variant(name.strip()) for name in names.split(","))}
    text = "" if document is None else read_document(document, _SECTION)
    machine = describe_machine()
    with tempfile.TemporaryDirectory(prefix="benchmark-") as scratch:
        conversions: dict[str, list[Conversion]] = {name: [] for name in chosen}
        # In turns, so that a temporary slowdown of the machine does not affect one variant alone.
        for repeat, (name, variant) in itertools.product(range(repeats), chosen.items()):
            click.echo(f"{name}: converting, {repeat + 1} of {repeats}", err=True)
            conversions[name].append(convert(variant, target, Path(scratch) / f"{name}-{repeat}"))
        frames, graphs = {}, {}
        for name, variant in chosen.items():
            click.echo(f"{name}: frames of the bundle, ONNX Runtime and PyTorch", err=True)
            frames[name] = time_frames(variant, Path(scratch) / f"{name}-0", runs, threads)
            click.echo(f"{name}: each graph on the GPU", err=True)
            graphs[name] = measure_graphs(Path(scratch) / f"{name}-0", runs, threads)
    costs = _costs(chosen, target)
    entries = {name: VariantRecord(tuple(conversions[name]), frames[name], graphs[name], costs[name]) for name in chosen}
    record = Record(machine, target, threads, entries)
    tables = render(record)
    if json_path is not None:
        json_path.parent.mkdir(parents=True, exist_ok=True)
        json_path.write_text(json.dumps(record.to_json(), indent=1) + "\n", encoding="utf-8")
    if document is not None:
        document.write_text(insert(text, _SECTION, tables), encoding="utf-8")
    click.echo(tables)


def _costs(chosen: dict[str, Variant], target: str) -> dict[str, dict[str, Cost]]:
    # Imported last: torch's memory in this process would be counted as the conversions' (see tools.benchmark.conversion).
    from detr2litert.convert.models.reference import RANDOM, load_reference
    from detr2litert.convert.targets import find_target
    from tools.benchmark.cost import compare_sampling

    costs = {}
    for name, variant in chosen.items():
        click.echo(f"{name}: counting", err=True)
        reference, _ = load_reference(variant, RANDOM if variant.bundled is None else None, None)
        costs[name] = compare_sampling(reference, find_target(target).profile)
    return costs


if __name__ == "__main__":
    main()
