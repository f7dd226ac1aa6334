"""The detectors that the compiler knows by name."""

from detr2litert.convert.models.variants.row import ClassNames, Fact, Family, Variant
from detr2litert.convert.models.variants.table import FAMILIES, VARIANTS, checked_resolution, find_variant

__all__ = ["FAMILIES", "VARIANTS", "ClassNames", "Fact", "Family", "Variant", "checked_resolution", "find_variant"]
