"""``convert variants``: lists the detectors that can be converted."""

from __future__ import annotations

import click

from detr2litert.convert.cli.base import JSON_FLAG, reported
from detr2litert.convert.cli.output import print_table


@click.command()
@JSON_FLAG
@reported
def variants(as_json: bool) -> None:
    """List the detectors that can be converted."""
    from detr2litert.convert.models.variants import VARIANTS

    columns = ("name", "family", "resolution", "queries", "weights")
    own = "give --weights"
    rows = [
        (v.name, v.family.name, v.resolution, v.num_queries, "embedded" if v.bundled else v.hub_id or own)
        for v in VARIANTS.values()
    ]
    print_table(columns, rows, as_json)
