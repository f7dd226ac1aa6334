"""An RF-DETR's weights scaled to the magnitudes of trained ones, with unchanged outputs.

Published for trained RF-DETR, whose weights are not available: projector inputs |x| of about 440, decoder self-attention
outputs |x| of about 1068. The demo detector has 4.4 and 1.2. Layer norm is invariant to the scale of its input (up to eps), so
a stream that only norms and linear layers read can be scaled if the layers that write it are multiplied and those that read it
are divided.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

PROJECTOR, SELF_ATTENTION = 440.0, 1068.0


@torch.no_grad()
def scale_decoder(detector: nn.Module, image: Tensor, target: float = SELF_ATTENTION) -> float:
    """Scales the decoder's residual stream until the largest self-attention output is ``target``; returns the factor."""
    model = detector.model.model
    layers = model.decoder.layers
    factor = target / largest(detector, image, [layer.self_attn for layer in layers])
    _multiply(factor, model.query_feat, model.decoder.ref_point_head.layers[-1])
    for layer in layers:
        _multiply(factor, layer.self_attn.o_proj, layer.cross_attn.output_proj, layer.mlp.fc2)
        _multiply(factor, layer.self_attn_layer_norm, layer.cross_attn_layer_norm, layer.layer_norm)
        for reader in (
            *(layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj),
            *(layer.cross_attn.sampling_offsets, layer.cross_attn.attention_weights, layer.mlp.fc1),
        ):
            reader.weight.div_(factor)
    return factor


@torch.no_grad()
def scale_projector(detector: nn.Module, image: Tensor, target: float = PROJECTOR) -> float:
    """Scales the projector's input until the largest |x| is ``target``; returns the factor.

    The projector's first convolution has no bias, and is followed by a norm.
    """
    backbone = detector.model.model.backbone
    factor = target / largest(detector, image, [backbone.projector.projector_layer], inputs=True)
    _multiply(factor, backbone.backbone.layernorm)
    return factor


@torch.no_grad()
def scale_attention(detector: nn.Module, image: Tensor, target: float = SELF_ATTENTION) -> None:
    """Scales each decoder layer's self-attention until its largest output is ``target``, in any family.

    Unlike ``scale_decoder`` it changes the outputs: the attention dominates the residual.
    """
    for layer in detector.model.model.decoder.layers:
        _multiply(target / largest(detector, image, [layer.self_attn]), layer.self_attn.o_proj)


@torch.no_grad()
def largest(detector: nn.Module, image: Tensor, modules: list[nn.Module], *, inputs: bool = False) -> float:
    """The largest |x| among the outputs of modules (their first ones), or among their first inputs."""
    seen: list[float] = []
    with _hooks(modules, lambda given, made: seen.append(float((given if inputs else made).abs().max()))):
        detector(image)
    return max(seen)


@torch.no_grad()
def first_to_overflow(detector: nn.Module, image: Tensor) -> str:
    """The module path of the decoder's first norm, in order of computation, whose squares overflow fp16."""
    norms = {name: part for name, part in detector.named_modules() if ".decoder." in name and isinstance(part, nn.LayerNorm)}
    found: list[str] = []
    for name, part in norms.items():
        # Modules are listed in the order of their layers, and each layer's norms in the order of their use.
        with _hooks([part], lambda x, _, name=name: found.append(name) if _square(x) > 65504 else None):  # type: ignore[misc]
            detector(image)
        if found:
            break
    return found[0]


def _square(x: Tensor) -> float:
    return float(((x - x.mean(-1, keepdim=True)) ** 2).max())


@contextmanager
def _hooks(modules: list[nn.Module], look: Callable[[Tensor, Tensor], None]) -> Iterator[None]:
    def hook(module: nn.Module, given: tuple[Tensor, ...], made: Tensor | tuple[Tensor, ...]) -> None:
        result = made[0] if isinstance(made, tuple) else made
        look(given[0] if given else result, result)  # some layers are called by keyword alone

    handles = [module.register_forward_hook(hook) for module in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _multiply(factor: float, *modules: nn.Module) -> None:
    for module in modules:
        for parameter in module.parameters(recurse=False):
            parameter.mul_(factor)
