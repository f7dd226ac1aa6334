"""Draws seeded weights that exercise every path of a detector.

transformers initialises box heads, sampling offsets, attention weights and gates to zero or a constant, and queries and keys so
small that attention is uniform: then every box equals its proposal and a fault in sampling or selection has no effect. And if
batch normalisation has statistics that do not match the network, its outputs vanish or grow without bound.
"""

from __future__ import annotations

import re
from typing import TypeGuard

import torch
from torch import Tensor, nn
from torch.nn import functional

from detr2litert.convert.models.settings import Settings
from detr2litert.convert.models.variants import Family

_SELECTING = "enc_"
"""Pattern in the names of the class heads that score the encoder's tokens."""
_COMMON = 0.8
"""The share of a class's variance over the tokens that is common to all classes."""


@torch.no_grad()
def draw_weights(model: nn.Module, family: Family, settings: Settings, seed: int) -> None:
    """Redraws a new model's weights in place by the family's ``init_std`` and ``init_noise``, determined by ``seed`` alone."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in sorted(model.named_parameters()):
        deviation = next((value for pattern, value in family.init_std.items() if re.search(pattern, name)), None)
        if deviation is not None:
            parameter.normal_(0, deviation / parameter[0].numel() ** 0.5, generator=generator)
        deviation = next((value for pattern, value in family.init_noise.items() if re.search(pattern, name)), None)
        if deviation is not None:
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=deviation)
    columns: int = model.config.num_labels  # type: ignore[union-attr, assignment]
    heads = {name: module for name, module in sorted(model.named_modules()) if _is_class_head(module, columns)}
    for name, head in heads.items():
        if _SELECTING in name:
            _share_direction(head, generator)
    norms = [module for _, module in sorted(model.named_modules()) if hasattr(module, "running_var")]
    if norms:
        for norm in norms:
            _draw_affine(norm, generator)
        _measure_statistics(model, norms, list(heads.values()), _image(settings, generator))


def _share_direction(head: nn.Linear, generator: torch.Generator) -> None:
    """Gives the classes of the query selection a common direction, as training does: it separates objects from background.

    Without it a token's score is the largest of independent draws, one for each class. That varies a third as much over the
    tokens as a single class does, and every error counts threefold: in fp16, dfine-s's class logits are wrong by 3 % and the
    scores of the query selection were wrong by 9 %. The standard deviation of a class is unchanged.
    """
    weight = head.weight
    common = torch.randn(1, weight.shape[1], generator=generator) * weight.std()
    weight.copy_(_COMMON**0.5 * common + (1 - _COMMON) ** 0.5 * weight)


def _draw_affine(norm: nn.Module, generator: torch.Generator) -> None:
    """Draws biases around one, so that most inputs of the activation pass it.

    Around zero, a deep stack of random layers is chaotic and amplifies every rounding, unlike a trained one: storing weights as
    float16 moved dfine-l's memory by 5 % with biases around a half and by 0.9 % with these, dfine-x's by 1.4 %. A large
    difference would not be evidence about the conversion (the theory is in Poole et al., "Exponential expressivity in deep
    neural networks through transient chaos", 2016).
    """
    weight, bias = _held(norm, "weight"), _held(norm, "bias")
    weight.copy_(1 + 0.2 * torch.randn(weight.shape, generator=generator))
    bias.copy_(1 + 0.2 * torch.randn(bias.shape, generator=generator))


def _measure_statistics(model: nn.Module, norms: list[nn.Module], heads: list[nn.Linear], image: Tensor) -> None:
    """Sets each normalisation's statistics to those of its input, and centres the classes, in one pass over an image.

    Variances are rounded to quarters of an octave and means to an eighth of the deviation, so that the weights do not depend on
    the last bits of a convolution, which differ between machines.
    """
    hooks = [norm.register_forward_pre_hook(_measure) for norm in norms]
    hooks += [head.register_forward_hook(_centre) for head in heads]
    training = model.training
    try:
        model.eval()(pixel_values=image)
    finally:
        model.train(training)
        for hook in hooks:
            hook.remove()


def _measure(norm: nn.Module, arguments: tuple[Tensor, ...]) -> None:
    values = arguments[0].transpose(0, 1).flatten(1)
    variance = values.var(1, correction=0).clamp(min=1e-12).log2().mul(4).round().div(4).exp2()
    step = variance.sqrt() / 8
    _held(norm, "running_var").copy_(variance)
    _held(norm, "running_mean").copy_((values.mean(1) / step).round() * step)


def _is_class_head(module: nn.Module, columns: int) -> TypeGuard[nn.Linear]:
    return isinstance(module, nn.Linear) and module.out_features == columns and module.bias is not None


def _centre(head: nn.Module, _arguments: tuple[Tensor, ...], logits: Tensor) -> Tensor:
    """Removes the differences of the classes' means over all tokens; else the tokens' common part decides every class."""
    means = logits.flatten(0, -2).mean(0)
    shift = ((means.mean() - means) * 8).round() / 8
    _held(head, "bias").add_(shift)
    return logits + shift


def _held(norm: nn.Module, name: str) -> Tensor:
    """Returns a parameter of an ordinary normalisation, or the corresponding buffer of a frozen one."""
    value: Tensor = getattr(norm, name)
    return value


def _image(settings: Settings, generator: torch.Generator) -> Tensor:
    """Draws a normalised ``[1, C, H, W]`` image with structure at every scale, like photographs."""
    height, width = settings.resolution.value
    octaves: list[Tensor] = []
    size = 2
    while size <= max(height, width):
        noise = torch.randn(1, settings.channels, size, size, generator=generator)
        octaves.append(functional.interpolate(noise, (height, width), mode="bilinear", align_corners=False))
        size *= 2
    mean, std = (torch.tensor(value.value).view(1, -1, 1, 1) for value in (settings.mean, settings.std))
    pixels: Tensor = (torch.stack(octaves).sum(0).sigmoid() - mean) / std
    return pixels
