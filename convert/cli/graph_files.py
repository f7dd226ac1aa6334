"""The graphs that a command's argument names: those of a bundle in every form, or a single .tflite file."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from detr2litert.host_runtime.errors import UserError, readable

if TYPE_CHECKING:
    from detr2litert.host_runtime.bundle import Bundle


@contextmanager
def graph_files(path: Path) -> Iterator[tuple[Mapping[str, Path], Bundle | None]]:
    """Yields name to file of each graph, and the bundle, which is open within the block; None for a single file.

    Args:
        path: of the .tflite file, or of the bundle's folder or .zip.

    Raises:
        UserError: there is nothing, or it cannot be read.
    """
    from detr2litert.host_runtime.bundle import load_bundle

    with readable(path):
        is_bundle = path.is_dir() or zipfile.is_zipfile(path)
        if not path.exists():
            raise UserError(f"no file at {path}; give a .tflite file, or a bundle's folder or .zip")
    if not is_bundle:
        yield {path.stem: path}, None
        return
    with load_bundle(path) as bundle:
        yield {name: bundle.path(spec.file) for name, spec in bundle.manifest.graphs_by_name.items()}, bundle
