"""``convert doctor``: shows what this machine has and lacks."""

from __future__ import annotations

import click

from detr2litert.convert.cli.base import JSON_FLAG, reported
from detr2litert.convert.cli.output import print_json


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
