"""``detr2litert card``: a bundle's model card, and the folder of a model hub."""

from __future__ import annotations

from pathlib import Path

import click

from detr2litert.convert.cli.base import reported
from detr2litert.host_runtime.errors import UserError


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="File for the card [default: standard output].")
@click.option("--folder", type=click.Path(path_type=Path), help="Also write the folder of a model hub: card and bundle.")
@click.option("--push-to-hub", "repository", metavar="OWNER/NAME", help="Upload that folder to the Hugging Face hub.")
@click.option("--title", default="", help="Of the card [default: variant and target].")
@click.option("--licence", "--license", "licence", default="", metavar="SPDX", help="Of the weights, such as apache-2.0.")
@click.option("--trained-on", default="", metavar="TEXT", help="What the weights were trained on, in a sentence.")
@reported
def card(
    bundle: Path, out: Path | None, folder: Path | None, repository: str | None, title: str, licence: str, trained_on: str
) -> None:
    """Write a bundle's model card, from its manifest and its report."""
    if repository is not None and folder is None:
        raise UserError("--push-to-hub uploads a folder: name it with --folder, to look at it first")
    from detr2litert.convert.card.card import CardOptions, render_card, report_of
    from detr2litert.convert.card.folder import upload, write_folder
    from detr2litert.host_runtime.bundle import load_bundle
    from detr2litert.verify.report.report import write_whole

    options = CardOptions(title, licence, trained_on)
    with load_bundle(bundle) as loaded:
        # A zip file has no report.
        text = render_card(loaded.manifest, report_of(loaded.root, loaded.manifest), options)
        if out is not None:
            write_whole(out, text)
        elif folder is None:
            click.echo(text, nl=False)
        if folder is not None:
            click.echo(f"folder   {write_folder(folder, text, loaded)}")
    if folder is not None and repository is not None:
        click.echo(f"uploaded {upload(folder, repository)}")
