"""The phones that a bundle can be made for, and the options that each needs of the compiler and the lint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from detr2litert.convert.names import suggestion
from detr2litert.graphs.partition import Layout
from detr2litert.host_runtime.errors import UserError
from detr2litert.rewrites.profile import Profile, Protection


@dataclass(frozen=True)
class Target:
    """One kind of phone GPU.

    Attributes:
        name: for ``--target``.
        devices: for the listing.
        reason: what distinguishes it, with the evidence.
        profile: options of the rewrites.
        lint_rules: rules that apply to this target in addition to the general ones.
    """

    name: str
    devices: str
    reason: str
    profile: Profile
    lint_rules: tuple[str, ...] = ()


# Faults of LiteRT.js's delegate, which is newer than the Python runtime's: a phone's next runtime may have them too.
_NEWER = ("gather-constant", "norm-without-scale")

TARGETS: Mapping[str, Target] = {
    target.name: target
    for target in (
        Target(
            "pixel",
            "Google Pixel with a Tensor SoC (Arm Mali, Imagination)",
            "computes in fp16 whatever the file says, and overwrites token tensors that fan out (published for Mali, LiteRT "
            "2.1): norms and sums protected where their values require it, tokens carried as maps",
            Profile(layout=Layout.INDICES, token_maps=True, native_form=True),
            lint_rules=("token-fan-out", *_NEWER),
        ),
        Target(
            "galaxy",
            "Samsung Galaxy and other phones with Qualcomm Adreno or Xclipse",
            "computes in fp16 by default: norms and sums protected where their values require it",
            Profile(layout=Layout.INDICES, native_form=True),
            lint_rules=_NEWER,
        ),
        Target(
            "desktop",
            "WebGPU on desktop GPUs and in browsers, in fp32",
            "computes in fp32: plain norms, which need fewer ops",
            Profile(protection=Protection.NONE, layout=Layout.INDICES, native_form=True),
            lint_rules=_NEWER,
        ),
    )
}
"""Every target by name, in the order of the listing."""


def find_target(name: str) -> Target:
    """Returns the target called ``name``, ignoring case.

    Raises:
        UserError: no such target; the nearest names are suggested.
    """
    target = TARGETS.get(name.lower())
    if target is None:
        raise UserError(f"unknown target {name!r}: {suggestion(name, TARGETS)} (`convert targets` lists them all)")
    return target
