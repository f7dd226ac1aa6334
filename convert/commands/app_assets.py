"""``convert app-assets``: copies a bundle's own files into the Android project, for a build that includes it."""

from __future__ import annotations

import shutil
from pathlib import Path

import click

from detr2litert.convert.cli.base import reported
from detr2litert.host_runtime.errors import UserError, readable
from detr2litert.host_runtime.interrupt import uninterrupted

_ASSETS = Path("app/src/main/assets/bundles")
_SAMPLE = Path("android_sample")


@click.command("app-assets", short_help="Put a bundle into the Android project, for a build that includes it.")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--sample", type=click.Path(path_type=Path), help="The Android project [default: android_sample].")
@reported
def app_assets(bundle: Path, sample: Path | None) -> None:
    """Put a bundle into the Android project's assets, for a build that includes it."""
    click.echo(str(copy_assets(bundle, sample)))


def copy_assets(path: Path, sample: Path | None = None) -> Path:
    """Copies a bundle's own files into the sample's assets, replacing an older copy; returns the folder.

    Args:
        path: of the bundle.
        sample: the Android project [default: android_sample, in this folder or in the repository].

    Raises:
        UserError: the bundle is not valid, there is no such project, or it cannot be written.
    """
    from detr2litert.host_runtime.bundle import load_bundle
    from detr2litert.host_runtime.manifest import MANIFEST_NAME
    from detr2litert.verify.adb.install import bundle_name

    sample = sample or next((p for p in (_SAMPLE, Path(__file__).resolve().parents[2] / _SAMPLE) if p.is_dir()), _SAMPLE)
    with readable(sample):
        if not (sample / "app/src/main").is_dir():
            raise UserError(f"{sample} is not the Android sample's project; name it with --sample")
    with load_bundle(path) as bundle:
        target = sample / _ASSETS / bundle_name(bundle)
        draft = target.with_name(f".{target.name}.part")
        try:
            shutil.rmtree(draft, ignore_errors=True)
            for name in (*bundle.manifest.files, MANIFEST_NAME):
                place = draft / name
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(bundle.path(name), place)
            load_bundle(draft)
            with uninterrupted():
                if target.is_dir():
                    shutil.rmtree(target)
                draft.replace(target)
        except OSError as error:
            message = f"{target} cannot be written ({error.strerror or error}); free some space, or give another --sample"
            raise UserError(message) from error
        finally:
            with uninterrupted():
                shutil.rmtree(draft, ignore_errors=True)
    return target
