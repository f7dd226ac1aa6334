"""``python -m tools.benchmark.multiply_adds --write FILE``: counts the multiply-adds of every variant at its published size.

PyTorch's FlopCounterMode counts matrix products, convolutions and attention of one frame, two operations for a multiply-add.
The weights are random, as no count depends on them. ``verify/bench/multiply_adds.json`` is its result. All variants take some
ten minutes, so the file is written after each, and a later call goes on with those that it lacks.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from detr2litert.convert.models.variants import VARIANTS, Variant, find_variant
from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.foreign_json import OWN, read_json
from detr2litert.verify.report.report import write_whole

_BAD_INPUT = 2


@click.command()
@click.option("--variants", default="all", show_default=True, help="Names, separated by commas.")
@click.option("--write", "path", required=True, type=click.Path(path_type=Path), help="File for the table.")
def main(variants: str, path: Path) -> None:
    """Count the multiply-adds of the variants that a file lacks."""
    try:
        chosen = VARIANTS.values() if variants == "all" else [find_variant(name.strip()) for name in variants.split(",")]
        rows = read_json(path, "a table of this tool", OWN) if path.exists() else {}
        for variant in chosen:
            if variant.name not in rows:
                click.echo(variant.name, err=True)
                rows[variant.name] = count_multiply_adds(variant)
                write_whole(path, _text(rows))
    except UserError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(_BAD_INPUT)


def _text(rows: Mapping[str, Any]) -> str:
    """Returns the table as JSON, a line for each variant in the order of the variants."""
    lines = (f" {json.dumps(name)}: {json.dumps(rows[name])}" for name in VARIANTS if name in rows)
    return "{\n" + ",\n".join(lines) + "\n}\n"


def count_multiply_adds(variant: Variant) -> dict[str, Any]:
    """Returns the row of a variant, see ``verify.bench.budget.Size``."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from detr2litert.convert.models.reference import build_reference

    reference = build_reference(variant)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        reference.module(reference.example_input())
    height, width = reference.size
    macs = counter.get_total_flops() // 2
    row = {"family": variant.family.name, "macs": macs, "height": height, "width": width}
    return row if variant.bundled is None else {**row, "demo": True}


if __name__ == "__main__":
    main()
