"""``convert variants``: lists the detectors that can be converted, or the settings of one."""

from __future__ import annotations

import click

from detr2litert.convert.cli.base import JSON_FLAG, reported
from detr2litert.convert.cli.output import print_table


@click.command()
@click.argument("name", required=False)
@JSON_FLAG
@reported
def variants(name: str | None, as_json: bool) -> None:
    """List the detectors, or the settings of one."""
    if name is not None:
        print_settings(name, as_json)
        return
    from detr2litert.convert.models.variants import VARIANTS

    columns = ("name", "family", "resolution", "queries", "weights")
    own = "give --weights"
    rows = [
        (v.name, v.family.name, v.resolution, v.num_queries, "embedded" if v.bundled else v.hub_id or own)
        for v in VARIANTS.values()
    ]
    print_table(columns, rows, as_json)


def print_settings(name: str, as_json: bool) -> None:
    """Prints each setting of a detector with its default and its meaning; ``--set`` changes them.

    Raises:
        UserError: no such detector.
    """
    from detr2litert.convert.models.settings.setting import SETTINGS, in_words, plain
    from detr2litert.convert.models.variants import find_variant

    defaults = find_variant(name).default_settings()
    shown = plain if as_json else in_words
    rows = [(key, shown(defaults[key]), setting.meaning) for key, setting in SETTINGS.items() if key in defaults]
    print_table(("setting", "default", "meaning"), rows, as_json)
