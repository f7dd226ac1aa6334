"""``python -m tools.benchmark.multiply_adds --write FILE``: counts the multiply-adds of every variant at its published size.

PyTorch's FlopCounterMode counts matrix products, convolutions and attention of one frame, two operations for a multiply-add.
The weights are random, as no count depends on them. ``verify/bench/multiply_adds.json`` is its result.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from detr2litert.convert.models.variants import VARIANTS, Variant, find_variant
from detr2litert.host_runtime.errors import UserError
from detr2litert.verify.report.report import write_whole

_BAD_INPUT = 2


@click.command()
@click.option("--variants", default="all", show_default=True, help="Names, separated by commas.")
@click.option("--write", "path", type=click.Path(path_type=Path), help="File for the table; without it, it is printed.")
def main(variants: str, path: Path | None) -> None:
    """Count the multiply-adds of variants."""
    try:
        chosen = VARIANTS.values() if variants == "all" else [find_variant(name.strip()) for name in variants.split(",")]
        rows = {}
        for variant in chosen:
            click.echo(variant.name, err=True)
            rows[variant.name] = count_multiply_adds(variant)
        lines = ",\n".join(f" {json.dumps(name)}: {json.dumps(row)}" for name, row in rows.items())
        text = f"{{\n{lines}\n}}\n"
        if path is None:
            click.echo(text, nl=False)
        else:
            write_whole(path, text)
    except UserError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(_BAD_INPUT)


def count_multiply_adds(variant: Variant) -> dict[str, Any]:
    """Returns the row of a variant: family, multiply-adds of a frame, height and width of its input."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from detr2litert.convert.models.reference import build_reference

    reference = build_reference(variant)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        reference.module(reference.example_input())
    height, width = reference.size
    macs = counter.get_total_flops() // 2
    return {"family": variant.family.name, "macs": macs, "height": height, "width": width}


if __name__ == "__main__":
    main()
