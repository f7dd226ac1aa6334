"""Reads the upload bundle that rfdetr's ``export_for_roboflow`` writes: ``weights.pt`` and ``class_names.txt``."""

from __future__ import annotations

from pathlib import Path

from detr2litert.convert.models.checkpoints.containers import Contents, open_container
from detr2litert.convert.models.checkpoints.unpickling import load_pickle
from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.foreign_json import OTHERS

EXPORTED_WEIGHTS = "weights.pt"
NAMES = "class_names.txt"


def read_export(folder: Path) -> tuple[Contents, list[str] | None]:
    """Returns the weights with their arguments, and the class names; None without a file of names.

    Raises:
        UserError: a file is damaged, or the weights' arguments name other classes than the file of names.
    """
    weights, path = folder / EXPORTED_WEIGHTS, folder / NAMES
    contents = open_container(load_pickle(weights), str(weights))
    if not path.is_file():
        return contents, None
    names = _names(path)
    stated = contents.argument("class_names")
    if isinstance(stated, list | tuple) and [str(name) for name in stated] != names:
        raise UserError(
            f"{path} names {_shown(names)}, and the arguments in {weights} {_shown([str(name) for name in stated])}; export "
            "the model again, or name the classes with --classes FILE and remove class_names.txt"
        )
    return contents, names


def _names(path: Path) -> list[str]:
    try:
        with path.open("rb") as stream:
            text = stream.read(OTHERS.size).decode("utf-8")
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text; export the model again") from error
    names = [line.strip() for line in text.splitlines()]
    if not names or not all(names):
        raise UserError(f"{path} has {'no names' if not any(names) else 'an empty line'}; write one class name per line")
    return names


def _shown(names: list[str]) -> str:
    return f"{', '.join(names[:3])}{' …' if len(names) > 3 else ''} ({len(names)})"
