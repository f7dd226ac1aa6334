"""What one recording works with: a recipe, and the version of rfdetr that the process imported."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

from wanted import Wanted


@dataclass
class Session:
    """The version of rfdetr that this process imported."""

    wanted: Wanted
    recipe: ModuleType
    folder: Path
    notes: list[str] = field(default_factory=list)

    @property
    def at(self) -> tuple[int, ...]:
        return tuple(int(part) for part in self.wanted.version.split(".")[:3])
