"""Settings of the pre-processing that depend on each other: a number per channel, and the padding."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from detr2litert.convert.models.settings.resolve import Settings
from detr2litert.convert.models.settings.setting import MEAN, Sourced
from detr2litert.graphs.pixel_input import PixelScale
from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.manifest import CHANNEL_COUNT, Channels, Preprocess

_CHANNELS: dict[int, Channels] = {1: "L", 3: "RGB", 4: "RGBA"}


def channels_of(settings: Settings) -> Channels:
    """Returns the channels of the input, as the manifest names them.

    Raises:
        UserError: a number of channels that no picture has.
    """
    if settings.channels not in _CHANNELS:
        origin = settings.architecture["input_channels"].origin
        raise UserError(
            f"input_channels is {settings.channels} ({origin}); a bundle takes pictures of 1 (grey), 3 (colour) or 4 "
            "channels (colour and opacity)"
        )
    return _CHANNELS[settings.channels]


def per_channel(settings: Settings) -> Settings:
    """Returns the settings with one number per channel.

    A single number counts for every channel. A default of three numbers is repeated in turn, as rfdetr does (for four
    channels: red, green, blue, red).

    Raises:
        UserError: another number of values than channels, or padding of a picture that is stretched.
    """
    count = CHANNEL_COUNT[channels_of(settings)]
    if settings.fit.value == "stretch" and settings.fill.requested:
        raise UserError("fill is the colour of padding, but pictures are stretched: add --set fit=letterbox")
    changed: dict[str, Any] = {}
    for name in ("mean", "std", "fill"):
        sourced: Sourced[Any] = getattr(settings, name)
        value = sourced.value
        if value == MEAN or len(value) == count:
            continue
        if len(value) == 1:
            changed[name] = replace(sourced, value=value * count)
        elif sourced.is_default:
            repeated = tuple(value[channel % len(value)] for channel in range(count))
            changed[name] = replace(sourced, value=repeated, origin=f"{sourced.origin}; repeated for {count} channels")
        else:
            raise UserError(
                f"{name} has {len(value)} numbers ({sourced.origin}) but the input has {count} channels; give one number, or "
                f"one per channel, with --set {name}=…"
            )
    return replace(settings, **changed)


def fill_of(settings: Settings) -> tuple[float, ...]:
    """Returns the pixel values of the padding, one per channel; none if pictures are stretched."""
    if settings.fit.value == "stretch":
        return ()
    if isinstance(settings.fill.value, str):
        return tuple(mean / settings.scale.value for mean in settings.mean.value)
    return settings.fill.value


def preprocess_of(settings: Settings) -> Preprocess:
    """Returns the pre-processing, in the manifest's form."""
    height, width = settings.resolution.value
    return Preprocess(
        height=height,
        width=width,
        resize=settings.resize.value,
        scale=settings.scale.value,
        mean=settings.mean.value,
        std=settings.std.value,
        channels=channels_of(settings),
        fit=settings.fit.value,
        fill=fill_of(settings),
    )


def pixel_scale_of(settings: Settings) -> PixelScale | None:
    """Returns how whole pixels become the detector's input; None where the resized picture has others."""
    spec = preprocess_of(settings)
    return PixelScale.of(spec.scale, spec.mean, spec.std) if spec.in_whole_pixels else None
