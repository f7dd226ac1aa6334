"""Settings of a detector that are not in its weights: what each is, who states it, and which value counts."""

from detr2litert.convert.models.settings.resolve import Settings, resolve_settings
from detr2litert.convert.models.settings.setting import Size, Sourced
from detr2litert.convert.models.settings.statements import Statement

__all__ = ["Settings", "Size", "Sourced", "Statement", "resolve_settings"]
