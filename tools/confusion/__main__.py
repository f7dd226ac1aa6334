"""``python -m tools.confusion``: converts the modules, runs them, compares the lint with it, and writes the table."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import click

from detr2litert.convert.document import insert, read_document
from detr2litert.host_runtime.errors import UserError
from detr2litert.verify.delegate.driver import NO_ADAPTER, find_driver
from detr2litert.verify.lint.op_lint import lint_file
from detr2litert.verify.lint.op_support import load_support
from detr2litert.verify.numbers.check_numbers import outcomes
from detr2litert.verify.parity.tensorflow_run import installed

_SECTION = "confusion"
_BAD_INPUT = 2
_BATCH = 20
_BAD = ("wrong", "refused", "died")


@dataclass(frozen=True)
class Row:
    """One module.

    Attributes:
        name: of the module.
        outcome: what the delegate does: right, wrong, refused, died or not judged; or "not converted".
        rules: of the lint that call it refused or wrong.
        note: why it was not converted.
    """

    name: str
    outcome: str
    rules: tuple[str, ...] = ()
    note: str = ""

    @property
    def missed(self) -> bool:
        return self.outcome in _BAD and not self.rules

    @property
    def false_alarm(self) -> bool:
        return self.outcome == "right" and bool(self.rules)


@click.command()
@click.option("--only", multiple=True, help="Modules whose names contain this.")
@click.option("--folder", type=click.Path(path_type=Path), default=Path("build/confusion"), help="For the converted files.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="File for the rows.")
@click.option("--write", "document", type=click.Path(path_type=Path), help="Document whose table to replace.")
def main(only: tuple[str, ...], folder: Path, json_path: Path | None, document: Path | None) -> None:
    """Convert ordinary PyTorch and Keras modules, run them on the delegate, and count where the lint is right about them.

    Exit codes: 0 no misses and at most 3 false alarms, 1 otherwise, 2 no adapter or bad input.
    """
    try:
        text = read_document(document, _SECTION) if document is not None else ""
        rows, adapter = _rows(only, folder)
        table = render(rows, adapter)
        if json_path is not None:
            json_path.write_text(
                json.dumps([asdict(row) for row in rows], indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
            )
        if document is not None:
            document.write_text(insert(text, _SECTION, table), encoding="utf-8")
    except UserError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(_BAD_INPUT)
    click.echo(table)
    sys.exit(1 if any(row.missed for row in rows) or sum(row.false_alarm for row in rows) > 3 else 0)


def _conversions() -> dict[str, Callable[[Path], str]]:
    """Returns for each module what writes its file and returns an error; Keras models where TensorFlow is installed."""
    from tools.confusion.convert import convert
    from tools.confusion.modules import CASES

    found: dict[str, Callable[[Path], str]] = {name: partial(convert, case) for name, case in CASES.items()}
    if installed():
        from tools.confusion.keras_modules import KERAS_CASES, convert_keras

        found |= {name: partial(convert_keras, make) for name, make in KERAS_CASES.items()}
    else:
        click.echo("without Keras: make second-runtime installs it", err=True)
    return found


def _rows(only: tuple[str, ...], folder: Path) -> tuple[list[Row], str]:
    driver = find_driver()
    if driver is None:
        raise UserError(f"{NO_ADAPTER.reason}: {NO_ADAPTER.advice}")
    folder.mkdir(parents=True, exist_ok=True)
    chosen = {name: case for name, case in _conversions().items() if not only or any(part in name for part in only)}
    rows: dict[str, Row] = {}
    files: dict[str, Path] = {}
    for number, (name, convert) in enumerate(chosen.items(), 1):
        path = folder / f"{''.join(c if c.isalnum() else '-' for c in name)}.tflite"
        error = "" if path.exists() else convert(path)
        click.echo(f"{number}/{len(chosen)} {name}: {error or 'converted'}", err=True)
        if error:
            rows[name] = Row(name, "not converted", note=error)
        else:
            files[name] = path
    names = list(files)
    for start in range(0, len(names), _BATCH):
        batch = {name: files[name] for name in names[start : start + _BATCH]}
        for name, outcome in outcomes(batch, driver).items():
            rules = sorted({f.rule for f in lint_file(files[name]) if f.severity in ("wrong", "refused")})
            rows[name] = Row(name, outcome, tuple(rules))
        click.echo(f"{min(start + _BATCH, len(names))} of {len(names)} run", err=True)
    return [rows[name] for name in chosen], driver.adapter.name


def render(rows: list[Row], adapter: str) -> str:
    """Returns the table in Markdown, and below it what is not in its diagonal."""
    support = load_support()
    run = [row for row in rows if row.outcome not in ("not converted", "not judged")]
    keras = sum(row.name.startswith("Keras") for row in run)
    counts = Counter((row.outcome, bool(row.rules)) for row in run)
    lines = [
        f"{len(run) - keras} modules of PyTorch, converted by litert-torch as they are, and {keras} of Keras, by TensorFlow, "
        f"in fp32 on {adapter} with ai-edge-litert {support.runtime}:",
        "",
        "| the delegate | the lint finds nothing | the lint calls it refused or wrong |",
        "| --- | ---: | ---: |",
        *(
            f"| {label} | {counts[outcome, False]} | {counts[outcome, True]} |"
            for outcome, label in (
                ("right", "computes it right"), ("wrong", "computes it wrong"), ("refused", "refuses it"),
                ("died", "ends the process"),
            )
        ),
        "",
        f"Misses: {_listed(row for row in rows if row.missed)}. "
        f"False alarms: {_listed(row for row in rows if row.false_alarm)}.",
    ]  # fmt: skip
    faults = [f"{row.name} ({', '.join(row.rules)})" for row in run if row.outcome in ("wrong", "died") and row.rules]
    lines += ["", f"Computed wrong or fatal: {'; '.join(faults) or 'none'}."]
    left = [row.name for row in rows if row.outcome in ("not converted", "not judged")]
    lines += ["", f"Not counted, since they were not converted or nothing could be judged: {', '.join(left) or 'none'}."]
    return "\n".join(lines)


def _listed(rows: Iterable[Row]) -> str:
    found = [f"{row.name} ({', '.join(row.rules) or row.outcome})" for row in rows]
    return f"{len(found)}{': ' + '; '.join(found) if found else ''}"


if __name__ == "__main__":
    main()
