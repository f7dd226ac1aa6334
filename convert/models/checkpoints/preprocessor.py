"""Reads what the preprocessor_config.json of a transformers folder states about the pre-processing.

The meaning of its fields: transformers' image processors (image_processing_rt_detr.py, image_processing_rf_detr.py and
image_processing_utils.py at 5.23), which resize, then scale, then normalise, then pad.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from detr2litert.convert.models.settings.statements import Statement, state
from detr2litert.host_runtime.errors import UserError

FILE = "preprocessor_config.json"

_BILINEAR = 2
"""``PIL.Image.Resampling.BILINEAR``."""
_WITHOUT_ANTIALIAS = ("RfDetrImageProcessor",)
"""Processors that resize without antialiasing; torchvision's default, which the others use, is with."""
_PLAIN_MEAN, _PLAIN_STD = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)


def preprocessor_statements(config: Mapping[str, Any], source: str) -> Iterator[Statement]:
    """Yields the statements of a preprocessor_config.json.

    Raises:
        UserError: pre-processing that gives inputs of varying size or that the bundle cannot do; the field is named.
    """
    yield from _size(config, source)
    if config.get("do_rescale", True) is False:
        yield state("scale", 1.0, f"{FILE}: do_rescale", source)
    elif config.get("rescale_factor") is not None:
        yield state("scale", config["rescale_factor"], f"{FILE}: rescale_factor", source)
    if config.get("do_normalize") is False:
        yield state("mean", _PLAIN_MEAN, f"{FILE}: do_normalize", source)
        yield state("std", _PLAIN_STD, f"{FILE}: do_normalize", source)
    else:
        for setting, field in (("mean", "image_mean"), ("std", "image_std")):
            if config.get(field) is not None:
                yield state(setting, config[field], f"{FILE}: {field}", source)


def _size(config: Mapping[str, Any], source: str) -> Iterator[Statement]:
    advice = "pass the size with --set resolution=HEIGHTxWIDTH if the detector was trained with pictures stretched to one size"
    if config.get("do_center_crop"):
        raise UserError(f"{FILE} of {source} crops pictures (do_center_crop), which a bundle cannot do; remove it, or {advice}")
    size = config.get("size")
    if config.get("do_resize", True) is False:
        raise UserError(f"{FILE} of {source} does not resize pictures (do_resize), but a bundle's input has one size; {advice}")
    if isinstance(size, Mapping) and {"height", "width"} <= set(size):
        yield state("resolution", size, f"{FILE}: size", source)
    elif size is not None:
        shown = ", ".join(f"{key} {value}" for key, value in size.items()) if isinstance(size, Mapping) else size
        raise UserError(f"{FILE} of {source} keeps the pictures' aspect ratio (size: {shown}); {advice}")
    pad = config.get("pad_size")
    if config.get("do_pad") and pad is not None and pad != size:
        raise UserError(f"{FILE} of {source} pads pictures to {pad} (pad_size) after the resize to {size}; {advice}")
    resample = config.get("resample")
    if resample is not None and resample != _BILINEAR:
        raise UserError(
            f"{FILE} of {source} resizes with filter {resample} of Pillow (resample); a bundle resizes bilinearly: evaluate "
            f"the detector with resample {_BILINEAR}, and change the file if that is right"
        )
    processor = config.get("image_processor_type") or config.get("feature_extractor_type")
    if isinstance(processor, str):
        plain = processor.removesuffix("Fast") in _WITHOUT_ANTIALIAS
        yield state("resize", "bilinear" if plain else "bilinear_antialias", f"{FILE}: {processor}", source)
