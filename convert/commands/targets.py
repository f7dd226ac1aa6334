"""``convert targets``: lists the phones that a bundle can be made for."""

from __future__ import annotations

import click

from detr2litert.convert.cli.base import JSON_FLAG, reported
from detr2litert.convert.cli.output import print_table


@click.command()
@JSON_FLAG
@reported
def targets(as_json: bool) -> None:
    """List the phones a bundle can be made for."""
    from detr2litert.convert.targets import TARGETS

    print_table(("name", "devices", "reason"), [(t.name, t.devices, t.reason) for t in TARGETS.values()], as_json)
