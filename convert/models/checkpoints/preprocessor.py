"""Reads what the preprocessor_config.json of a transformers folder states about the pre-processing.

The meaning of its fields: transformers' image processors (image_processing_rt_detr.py, image_processing_rf_detr.py and
image_processing_utils.py at 5.23), which resize, then scale, then normalise, then pad.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from detr2litert.convert.models.settings.statements import Statement, state
from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.foreign_json import escaped

FILE = "preprocessor_config.json"

_BILINEAR = 2
"""``PIL.Image.Resampling.BILINEAR``."""
_WITHOUT_ANTIALIAS = ("RfDetrImageProcessor",)
"""Processors that resize without antialiasing, as rfdetr's own prediction, which does it in floats.

torchvision's default, which the others use, is with, and of 8-bit tensors rounds each direction to 8 bits as Pillow does
(``resize_image`` in transforms/v2/functional/_geometry.py, ``upsample_avx_bilinear_bicubic_uint8`` in PyTorch): measured, equal
to Pillow but for single levels where Pillow 13 begins with the other direction.
"""
_MASKED = ("RfDetrImageProcessor", "DeformableDetrImageProcessor")
"""Processors of detectors that also read which pixels are padding, which a bundle does not tell them."""
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
    pad = config.get("pad_size")
    if isinstance(size, Mapping) and {"height", "width"} <= set(size):
        yield state("resolution", size, f"{FILE}: size", source)
    elif _is_letterbox(config):
        yield state("resolution", pad, f"{FILE}: pad_size", source)
        yield state("fit", "letterbox_top_left", f"{FILE}: size and pad_size", source)
        yield state("fill", "mean", f"{FILE}: do_pad", source)
    elif size is not None:
        shown = ", ".join(f"{key} {value}" for key, value in size.items()) if isinstance(size, Mapping) else size
        raise UserError(f"{FILE} of {source} keeps the pictures' aspect ratio (size: {_shown(shown)}); {advice}")
    if config.get("do_pad") and pad is not None and pad != size and not _is_letterbox(config):
        raise UserError(
            f"{FILE} of {source} pads pictures to {_shown(pad)} (pad_size) after the resize to {_shown(size)}; {advice}"
        )
    resample = config.get("resample")
    if resample is not None and resample != _BILINEAR:
        raise UserError(
            f"{FILE} of {source} resizes with filter {_shown(resample)} of Pillow (resample); a bundle resizes bilinearly: "
            f"evaluate the detector with resample {_BILINEAR}, and change the file if that is right"
        )
    processor = _processor(config)
    if processor is not None:
        plain = processor.removesuffix("Fast") in _WITHOUT_ANTIALIAS
        yield state("resize", "bilinear" if plain else "bilinear_8bit", f"{FILE}: {processor}", source)


def _shown(value: Any) -> str:
    """A value of the file for a message: in one line, and shortened."""
    return escaped(str(value))[:100]


def _processor(config: Mapping[str, Any]) -> str | None:
    name = config.get("image_processor_type") or config.get("feature_extractor_type")
    return _shown(name) if isinstance(name, str) else None


def _is_letterbox(config: Mapping[str, Any]) -> bool:
    """True if pictures are scaled by the smaller factor into one size, and then padded to exactly that size.

    ``longest_edge`` limits the factor for every picture only if ``shortest_edge`` is not smaller.
    """
    size, pad = config.get("size"), config.get("pad_size")
    if not config.get("do_pad") or not isinstance(size, Mapping) or not isinstance(pad, Mapping):
        return False
    if (_processor(config) or "").removesuffix("Fast") in _MASKED:
        return False
    longest, shortest = size.get("longest_edge"), size.get("shortest_edge")
    height: Any
    width: Any
    if isinstance(longest, int) and isinstance(shortest, int) and shortest >= longest:
        height, width = longest, longest
    else:
        height, width = size.get("max_height"), size.get("max_width")
    return None not in (height, width) and (height, width) == (pad.get("height"), pad.get("width"))
