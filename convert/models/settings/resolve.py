"""Decides the value of every setting: the user's, else the checkpoint's, else what its tensors imply, else the default."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from detr2litert.convert.models.settings.setting import SETTINGS, Size, Sourced
from detr2litert.convert.models.settings.statements import Statement, only_value
from detr2litert.convert.names import suggestion
from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.manifest import Fit, Resize


@dataclass(frozen=True)
class Settings:
    """Every setting of a detector with its origin.

    Attributes:
        resolution: of the input.
        resize, fit, scale, mean, std: the pre-processing, see ``host_runtime.manifest.Preprocess``.
        fill: pixel values of the padding, or ``"mean"``; meaningless if pictures are stretched, and then not iterated over.
        num_queries: boxes in the detector's output.
        num_select: detections that the post-processing selects before any threshold.
        architecture: the remaining settings by name: those that the family's configuration has a field for.
    """

    resolution: Sourced[Size]
    resize: Sourced[Resize]
    fit: Sourced[Fit]
    fill: Sourced[tuple[float, ...] | str]
    scale: Sourced[float]
    mean: Sourced[tuple[float, ...]]
    std: Sourced[tuple[float, ...]]
    num_queries: Sourced[int]
    num_select: Sourced[int]
    architecture: Mapping[str, Sourced[Any]]

    @property
    def channels(self) -> int:
        """Returns the number of channels of the input: three, unless the family has a field for it."""
        stated = self.architecture.get("input_channels")
        return 3 if stated is None else int(stated.value)

    def __iter__(self) -> Iterator[tuple[str, Sourced[Any]]]:
        """Iterates over (name, value with origin), in the order of ``SETTINGS``."""
        named = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "architecture"}
        named.update(self.architecture)
        if self.fit.value == "stretch":
            del named["fill"]
        return iter([(name, named[name]) for name in SETTINGS if name in named])


def parse_requested(pairs: Sequence[str], named: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Parses the texts ``NAME=VALUE`` of ``--set``.

    Args:
        pairs: the texts.
        named: settings that have an option of their own, already parsed.

    Raises:
        UserError: not of this form, an unknown name, a value of the wrong type, or a name given twice.
    """
    requested: dict[str, Any] = dict(named or {})
    for pair in pairs:
        name, equals, text = pair.partition("=")
        name = name.strip().replace("-", "_")
        if not equals:
            raise UserError(f"--set needs NAME=VALUE, not {pair!r}; the names are {', '.join(SETTINGS)}")
        if name not in SETTINGS:
            raise UserError(f"unknown setting {name!r}: {suggestion(name, SETTINGS)}; the names are {', '.join(SETTINGS)}")
        if name in requested:
            raise UserError(f"{name} is given twice; --set {pair} is one of the two")
        try:
            requested[name] = SETTINGS[name].parse(text.strip())
        except ValueError as error:
            raise UserError(f"--set {pair}: {name} must be {error}") from error
    return requested


def resolve_settings(
    defaults: Mapping[str, Any],
    owner: str,
    statements: tuple[Statement, ...] = (),
    implied: Mapping[str, Sourced[Any]] | None = None,
    requested: Mapping[str, Any] | None = None,
    source: str | None = None,
) -> Settings:
    """Decides every setting that ``defaults`` has.

    Args:
        defaults: value of each setting that the detector has.
        owner: whose defaults these are: the variant's name.
        statements: of the checkpoint.
        implied: settings that follow from the checkpoint's tensors without being stated.
        requested: the user's values by name.
        source: of the checkpoint, for messages; None if there is none.

    Raises:
        UserError: the checkpoint contradicts itself, or a requested setting does not exist for this detector.
    """
    requested = dict(requested or {})
    for name in requested:
        if name not in defaults:
            known = ", ".join(setting for setting in SETTINGS if setting in defaults)
            raise UserError(f"{owner} has no setting {name}; it has {known}")
    decided: dict[str, Sourced[Any]] = {}
    for name, default in defaults.items():
        about = [statement for statement in statements if statement.setting == name]
        if name in requested:
            stated = f"; the file states {' and '.join(map(str, about))}" if about and about[0].value != requested[name] else ""
            decided[name] = Sourced(requested[name], f"requested{stated}", requested=True)
        elif (statement := only_value(about, source or owner)) is not None:
            if statement.value is None:
                raise UserError(
                    f"checkpoint {source}: {name} cannot be read from {statement.place}; give it with --set {name}=VALUE"
                )
            decided[name] = Sourced(statement.value, statement.place)
        elif implied is not None and name in implied:
            decided[name] = implied[name]
        else:
            silent = "" if source is None else "; the file does not say"
            decided[name] = Sourced(default, f"the default of {owner}{silent}", is_default=True)
    named = {field.name for field in fields(Settings)}
    architecture = {name: value for name, value in decided.items() if name not in named}
    return Settings(architecture=architecture, **{name: value for name, value in decided.items() if name in named})
