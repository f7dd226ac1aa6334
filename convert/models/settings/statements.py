"""What a checkpoint states about its own settings, and where."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from detr2litert.convert.models.settings.fields import FieldPath, read_field
from detr2litert.convert.models.settings.setting import SETTINGS, in_words
from detr2litert.host_runtime.errors import UserError


@dataclass(frozen=True)
class Statement:
    """One setting as a checkpoint states it.

    Attributes:
        setting: name in ``SETTINGS``.
        value: of the setting's type; None if the place states it in a form that cannot be read.
        place: where in the checkpoint, for messages.
    """

    setting: str
    value: Any
    place: str

    def __str__(self) -> str:
        return f"{in_words(self.value)} ({self.place})"


def state(setting: str, value: object, place: str, source: str) -> Statement:
    """Returns a statement with its value parsed.

    Raises:
        UserError: not a value of the setting.
    """
    try:
        return Statement(setting, SETTINGS[setting].parse(value), place)
    except (ValueError, TypeError) as error:
        raise UserError(
            f"checkpoint {source}: {place} is {str(value)[:60]!r}, but {setting} must be {error}; correct the file, or pass "
            "the weights alone and --set"
        ) from error


def from_arguments(
    arguments: Mapping[str, object],
    place: str,
    keys: Mapping[str, str],
    source: str,
    counted_from_zero: tuple[str, ...] = (),
) -> Iterator[Statement]:
    """Yields what training arguments state.

    Args:
        arguments: by name; a value of None is no statement.
        place: of the arguments in the file, for example ``args``.
        keys: name of an argument → setting (``Family.arguments``).
        source: of the checkpoint, for messages.
        counted_from_zero: arguments with lists of numbers that the setting counts from 1.

    Raises:
        UserError: a value of the wrong type.
    """
    for key, setting in keys.items():
        value = arguments.get(key)
        if value is None:
            continue
        if key in counted_from_zero and isinstance(value, list | tuple) and all(isinstance(item, int) for item in value):
            value = [item + 1 for item in value]
        yield state(setting, value, f"{place}.{key}", source)


def from_config(config: Mapping[str, Any], fields: Mapping[str, FieldPath], source: str) -> Iterator[Statement]:
    """Yields what a transformers config.json states, by the path of each setting (``Family.fields``).

    Raises:
        UserError: a value of the wrong type.
    """
    for setting, path in fields.items():
        value = read_field(config, path)
        if value is not None:
            yield state(setting, value, f"config.json: {'.'.join(map(str, path))}", source)


def only_value(statements: Iterable[Statement], source: str) -> Statement | None:
    """Returns the first of statements about one setting; None if there is none.

    Raises:
        UserError: two of them differ; both places are named.
    """
    first: Statement | None = None
    for statement in statements:
        if first is None:
            first = statement
        elif statement.value != first.value:
            raise UserError(
                f"checkpoint {source} states two values of {first.setting}: {first} and {statement}; choose one with "
                f"--set {first.setting}=VALUE"
            )
    return first
