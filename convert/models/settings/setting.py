"""The table of settings: the name of each, its type, and its values in words.

A setting is a number or a choice that decides what a detector computes, or how a picture reaches it, and that its weights do
not determine. A checkpoint may state it (``statements``), the user may (``--set``), and the variant has a default.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar, get_args

from detr2litert.graphs.delegate import MAX_SIDE
from detr2litert.host_runtime.manifest import Fit, Resize

Value = TypeVar("Value", covariant=True)


MAX_COUNT = 1_000_000
"""Of queries, detections, heads and so on; a manifest's ``num_select`` has the same bound."""
MAX_COUNTS = 64
"""Of a setting with several values, in a manifest too."""
MAX_KEYPOINTS = 1000
"""Of a class."""
MAX_SCORE_WEIGHT = 100.0
MAX_NUMBER = 1e6
"""Of scale, mean and std, and its reciprocal the least of scale and std: the same bounds as a manifest's pre-processing."""

MEAN = "mean"
"""Value of ``fill``: the pixel values that are zero after the normalisation, which is how transformers pads."""


class Size(NamedTuple):
    """Height and width of the detector's input in pixels."""

    height: int
    width: int

    def __str__(self) -> str:
        return f"{self.height} × {self.width}"


@dataclass(frozen=True)
class Sourced(Generic[Value]):
    """A value, and in a few words where it is from.

    Attributes:
        requested: the user chose it.
        is_default: nobody states it.
    """

    value: Value
    origin: str
    requested: bool = False
    is_default: bool = False

    def __str__(self) -> str:
        return f"{in_words(self.value)}: {self.origin}"


@dataclass(frozen=True)
class Setting:
    """One setting.

    Attributes:
        name: in messages, ``--set``, the manifest and the report.
        meaning: for the listing.
        parse: converts a stated value, or the text of an option, to the setting's type.

            Raises:
                ValueError: not a value of this setting; the message says what is expected.
    """

    name: str
    meaning: str
    parse: Callable[[object], Any]


def in_words(value: object) -> str:
    """Returns a value as messages and the manifest show it."""
    if isinstance(value, Size):
        return str(value)
    if isinstance(value, tuple):
        return ", ".join(map(in_words, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def plain(value: object) -> Any:
    """Returns a value in JSON's types, which ``Setting.parse`` reads."""
    return list(value) if isinstance(value, tuple) else value


def parse_size(value: object) -> Size:
    """Parses a side, ``HEIGHTxWIDTH``, a pair, or an object with ``height`` and ``width``."""
    if isinstance(value, str):
        match = re.fullmatch(r"\s*(\d{1,9})(?:\s*[x×,]\s*(\d{1,9}))?\s*", value)
        sides = [int(side) for side in match.groups() if side is not None] if match is not None else []
    elif isinstance(value, Mapping):
        sides = [value.get("height"), value.get("width")]  # type: ignore[list-item]
    elif isinstance(value, list | tuple):
        sides = list(value)
    else:
        sides = [value]  # type: ignore[list-item]
    if len(sides) not in (1, 2) or not all(_is_whole(side) and 0 < side <= MAX_SIDE for side in sides):
        raise ValueError(f"a side or HEIGHTxWIDTH, in pixels up to {MAX_SIDE}")
    return Size(sides[0], sides[-1])


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _count(value: object) -> int:
    if isinstance(value, str) and value.strip().isdecimal() and len(value) < 10:
        value = int(value)
    if not _is_whole(value) or not 1 <= value <= MAX_COUNT:  # type: ignore[operator]
        raise ValueError(f"a whole number from 1 to {MAX_COUNT}")
    return value  # type: ignore[return-value]


def _counts(value: object) -> tuple[int, ...]:
    if isinstance(value, str):
        value = value.split(",")
    if not isinstance(value, list | tuple) or not value:
        raise ValueError("a list of whole numbers")
    if len(value) > MAX_COUNTS:
        raise ValueError(f"a list of at most {MAX_COUNTS} whole numbers")
    return tuple(map(_count, value))


def _places(value: object) -> tuple[int, ...]:
    if isinstance(value, str):
        value = [int(text) if text.strip().isdecimal() else text for text in value.split(",")]
    if not isinstance(value, list | tuple) or not all(_is_whole(item) and 0 <= item <= MAX_COUNT for item in value):
        raise ValueError(f"a list of whole numbers from 0 to {MAX_COUNT}")
    if len(value) > MAX_COUNTS:
        raise ValueError(f"a list of at most {MAX_COUNTS} whole numbers")
    return tuple(value)


def _keypoints(value: object) -> tuple[int, ...]:
    try:
        if isinstance(value, str):
            value = [int(text) for text in value.split(",")]
        counts = list(value) if isinstance(value, list | tuple) else []
        if not all(_is_whole(count) and 0 <= count <= MAX_KEYPOINTS for count in counts) or not any(counts):
            raise ValueError
    except ValueError as error:
        raise ValueError(f"a list of numbers from 0 to {MAX_KEYPOINTS}, one a class, not all 0") from error
    return tuple(counts)


def _weight(value: object) -> float:
    number = _number(value)
    if not 0 <= number <= MAX_SCORE_WEIGHT:
        raise ValueError(f"a number from 0 to {MAX_SCORE_WEIGHT:g}")
    return number


def _number(value: object) -> float:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError as error:
            raise ValueError("a number") from error
    if isinstance(value, bool) or not isinstance(value, int | float) or not -MAX_NUMBER <= value <= MAX_NUMBER:
        raise ValueError(f"a number from -{MAX_NUMBER:.0f} to {MAX_NUMBER:.0f}")
    return float(value)


def _factor(value: object) -> float:
    number = _number(value)
    if number < 1 / MAX_NUMBER:
        raise ValueError(f"a number from {1 / MAX_NUMBER} to {MAX_NUMBER:.0f}")
    return number


def _numbers(value: object) -> tuple[float, ...]:
    if isinstance(value, str):
        value = value.split(",")
    if not isinstance(value, list | tuple) or not 1 <= len(value) <= 4:
        raise ValueError("a number for each channel")
    return tuple(map(_number, value))


def _positive(value: object) -> tuple[float, ...]:
    numbers = _numbers(value)
    if min(numbers) < 1 / MAX_NUMBER:
        raise ValueError(f"a number above 0 for each channel, of at least {1 / MAX_NUMBER}")
    return numbers


def _fill(value: object) -> tuple[float, ...] | str:
    if isinstance(value, str) and value.strip().lower() == MEAN:
        return MEAN
    try:
        numbers = _numbers(value)
    except ValueError as error:
        raise ValueError("a pixel value from 0 to 255 for each channel, or mean") from error
    if not 0 <= min(numbers) <= max(numbers) <= 255:
        raise ValueError("a pixel value from 0 to 255 for each channel, or mean")
    return numbers


def _choice(*choices: str) -> Callable[[object], str]:
    def parse(value: object) -> str:
        if not isinstance(value, str) or value.lower() not in choices:
            raise ValueError(" or ".join(choices))
        return value.lower()

    return parse


_ALL = (
    Setting("resolution", "height and width of the input in pixels", parse_size),
    Setting("resize", "interpolation: bilinear, bilinear_antialias, or bilinear_8bit (as Pillow)", _choice(*get_args(Resize))),
    Setting("fit", "stretch, or keep the aspect ratio: letterbox, letterbox_top_left", _choice(*get_args(Fit))),
    Setting("fill", "pixel value of a letterbox's padding, 0 to 255, or mean", _fill),
    Setting("scale", "factor that the pixels 0 to 255 are multiplied by", _factor),
    Setting("mean", "subtracted from each channel after the scale", _numbers),
    Setting("std", "that each channel is divided by after the mean", _positive),
    Setting("num_queries", "boxes in the detector's output", _count),
    Setting("num_select", "detections that the post-processing selects", _count),
    Setting("input_channels", "channels of the input: 1 (grey), 3 or 4 (colour and opacity)", _count),
    Setting("decoder_layers", "decoder layers that are evaluated", _count),
    Setting("windows", "windows of the backbone along a side", _count),
    Setting("windowed_blocks", "blocks of the backbone that attend within windows, counted from 0", _places),
    Setting("feature_levels", "layers of the backbone whose output is read", _counts),
    Setting("self_attention_heads", "heads of the decoder's self-attention", _count),
    Setting("cross_attention_heads", "heads of the decoder's deformable attention", _count),
    Setting("activation", "activation of the decoder's feed-forward networks and heads", _choice("relu", "silu", "gelu")),
    Setting(
        "sampling",
        "how deformable attention reads between cells: bilinear (default) or the nearest (discrete)",
        _choice("default", "discrete"),
    ),
    Setting("keypoints_per_class", "keypoints of each class, by column", _keypoints),
    Setting("keypoint_score_weight", "weight of the keypoints' uncertainty in the score", _weight),
    Setting("masks", "whether a detector of instances gives masks: on, or off (boxes and classes alone)", _choice("on", "off")),
)

SETTINGS: Mapping[str, Setting] = {setting.name: setting for setting in _ALL}
"""Every setting by name, in the order of listings."""
