"""``python -m tools.benchmark.catalogue``: every variant through ``convert run``, gates included, as one table.

A variant takes minutes to half an hour, mostly on a software GPU. So each one's figures are written to a file as soon as they
are available, and a later call continues with the variants that the file lacks.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

import click

from detr2litert.convert.document import insert, read_document
from detr2litert.convert.models.variants import VARIANTS, Variant, find_variant
from detr2litert.convert.targets import find_target
from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.manifest import NATIVE_SUFFIX
from detr2litert.host_runtime.quiet import silence_native_log
from detr2litert.verify.bench.stages import HOST_STEP
from detr2litert.verify.report.report import load_report, write_whole
from tools.benchmark.conversion import Conversion, convert
from tools.benchmark.frames import bench

_BAD_INPUT = 2
_SECTION = "catalogue"
_RUNS = 10
Figure = TypeVar("Figure")
_COLUMNS = ("variant", "input", "M params", "ops A + B", "dispatches A + B", "MB A + B", "host step", "seconds", "GB", "gates")


@dataclass(frozen=True)
class Entry:
    """The figures of one variant.

    Attributes:
        resolution: side of its input in pixels.
        parameters: of the PyTorch model.
        host_step_ms: median time of the host step in NumPy, milliseconds.
        conversion: figures of the run.
        target: of the conversion.
        versions: of the libraries that made and judged the bundle.
    """

    resolution: int
    parameters: int
    host_step_ms: float
    conversion: Conversion
    target: str
    versions: dict[str, str]


@click.command()
@click.option("--variants", default="all", show_default=True, help="Names, separated by commas.")
@click.option("--target", default="pixel", show_default=True, help="Phone to convert for.")
@click.option("--again", is_flag=True, help="Measure variants again that the record already has.")
@click.option("--fp16/--no-fp16", default=True, help="Run the fp16 gate; on a software GPU it takes long for a large size.")
@click.option("--record", "record_path", type=click.Path(path_type=Path), required=True, help="File for the figures.")
@click.option("--write", "document", type=click.Path(path_type=Path), help="Document whose table to replace.")
def main(variants: str, target: str, again: bool, fp16: bool, record_path: Path, document: Path | None) -> None:
    """Convert and judge every variant on this machine; prints the table."""
    silence_native_log()
    try:
        find_target(target)
        chosen = list(VARIANTS.values()) if variants == "all" else [find_variant(name.strip()) for name in variants.split(",")]
        text = "" if document is None else read_document(document, _SECTION)
        entries = read_record(record_path)
        write_record(record_path, entries)
        for variant in chosen:
            if again or variant.name not in entries or entries[variant.name].target != target:
                click.echo(f"{variant.name}: converting and judging", err=True)
                entries[variant.name] = _measure(variant, target, fp16)
                write_record(record_path, entries)
    except UserError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(_BAD_INPUT)
    table = render(entries)
    if document is not None:
        document.write_text(insert(text, _SECTION, table), encoding="utf-8")
    click.echo(table)


def read_record(path: Path) -> dict[str, Entry]:
    """Reads the entries by variant; empty if there is no such file yet.

    Raises:
        UserError: the file cannot be read, or is not a record.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return {name: Entry(**{**value, "conversion": Conversion(**value["conversion"])}) for name, value in values.items()}
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{path} is not a record of a catalogue; name another file or remove it") from error


def write_record(path: Path, entries: Mapping[str, Entry]) -> None:
    """Replaces the file in one step, so that an interrupted run leaves the old one.

    Raises:
        UserError: it cannot be written.
    """
    write_whole(path, json.dumps({name: asdict(entry) for name, entry in entries.items()}, indent=1) + "\n")


def render(entries: Mapping[str, Entry]) -> str:
    """Renders the table, in the order of ``convert variants``."""
    rows = [_row(name, entries[name]) for name in VARIANTS if name in entries]
    rule = ["---", *["--:"] * (len(_COLUMNS) - 2), "---"]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (_COLUMNS, rule, *rows))


def _row(name: str, entry: Entry) -> list[str]:
    made = entry.conversion
    return [
        name + ("" if made.random_weights else " (trained)"),
        str(entry.resolution),
        f"{entry.parameters / 1e6:.1f}",
        _by_form(made.ops, str),
        _by_form(made.dispatches, _count),
        _by_form(made.file_bytes, lambda size: f"{size / 1e6:.1f}"),
        f"{entry.host_step_ms:.1f} ms",
        f"{made.seconds:.0f}",
        f"{made.peak_bytes / 1e9:.1f}",
        _gates(made.gates),
    ]


def _by_form(figures: Mapping[str, Figure], form: Callable[[Figure], str]) -> str:
    """Formats the graphs' figures, and in parentheses the native form's, where a graph may have none of its own."""
    if not figures:
        return ""
    portable = {graph: figures[graph] for graph in ("graph_a", "graph_b") if graph in figures}
    native = {graph: figures.get(graph + NATIVE_SUFFIX, figure) for graph, figure in portable.items()}
    both = [" + ".join(map(form, chosen.values())) for chosen in (portable, native)]
    return f"{both[0]} (native {both[1]})" if len(figures) > len(portable) else both[0]


def _count(figure: int | None) -> str:
    return "?" if figure is None else str(figure)


def _gates(verdicts: Mapping[str, str]) -> str:
    """Summarises the gates: those that passed together, any other by name."""
    others = [f"{gate} {verdict}" for gate, verdict in verdicts.items() if verdict != "passed"]
    passed = [gate for gate, verdict in verdicts.items() if verdict == "passed"]
    return "; ".join([", ".join(passed), *others])


def _measure(variant: Variant, target: str, fp16: bool) -> Entry:
    with tempfile.TemporaryDirectory(prefix="catalogue-") as scratch:
        bundle = Path(scratch) / variant.name
        conversion = convert(variant, target, bundle, gpu=True, fp16=fp16)
        host_step = bench(bundle, "--runs", _RUNS).contenders[0].summary[HOST_STEP].median
        versions = load_report(bundle / "report.json").versions
    return Entry(variant.resolution, _parameters(variant), host_step, conversion, target, dict(versions))


def _parameters(variant: Variant) -> int:
    """Counts parameters in a separate process: Linux would count this one's memory as the next run's (see ``convert``)."""
    code = (
        "from detr2litert.convert.models.reference import count_parameters; "
        "from detr2litert.convert.models.variants import find_variant; "
        f"print(count_parameters(find_variant({variant.name!r})))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return int(done.stdout.split()[-1])


if __name__ == "__main__":
    main()
