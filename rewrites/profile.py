"""The rewrite options of a target."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from detr2litert.graphs.delegate import MAX_SIDE
from detr2litert.graphs.partition import Layout


class Sampling(StrEnum):
    """How bilinear sampling is lowered."""

    RESAMPLER = "resampler"
    """The delegate's own operator (exact up to rounding); only the GPU runs it."""
    FOLDED_TENT = "folded-tent"
    """Attention weights folded into the interpolation matrix: one matmul per level (exact)."""
    TENT = "tent"
    """One interpolation matrix per sampling point, weighted afterwards (exact; for comparison)."""


class Protection(StrEnum):
    """Which norms and sums are written in the fp16-safe form, which needs more ops than the plain one."""

    MEASURED = "measured"
    """Those with too little headroom according to the range analysis, and norms that were not measured."""
    ALL = "all"
    """Every norm, and every sum that has too little headroom for some order of its terms."""
    NONE = "none"
    """None, for a GPU that computes in fp32."""


class Norms(StrEnum):
    """How layer norm is lowered."""

    NATIVE = "native"
    """The delegate's own operator, safe in fp16; only the GPU runs it."""
    PRIMITIVE = "primitive"
    """Means, products and a square root, protected from overflowing fp16 where necessary."""


class TopK(StrEnum):
    """How the largest values of a part are found, whose indices nothing reads."""

    NATIVE = "native"
    """The operator TOPK_V2, which the converter writes for no top-k."""
    ITERATED = "iterated"
    """Rounds of maximum and mask."""


@dataclass(frozen=True)
class Profile:
    """Rewrite options of one target.

    Attributes:
        protection: which norms and sums are protected from overflowing fp16.
        sampling: form of bilinear sampling.
        norms: form of layer norm.
        topk: form of a top-k of values.
        layout: what the host step computes.
        matmul_limit: largest ``batch * K / 4`` of a batched matmul's right-hand side that the delegate computes correctly.
        token_maps: carry token tensors ``[1, N, C]`` as maps ``[1, H, W, C]``, so that no tensor of rank three has several
            consumers.
        constant_limit: constants beyond ± this are clamped to it, infinities included.
        native_form: also compile the graphs to the delegate's own operators, which ``sampling``, ``norms`` and ``topk``
            are not: those of the form that every runtime can run.
        pixels: graph A of the native form takes the picture's pixels, where its pre-processing has whole ones.
    """

    protection: Protection = Protection.MEASURED
    sampling: Sampling = Sampling.FOLDED_TENT
    norms: Norms = Norms.PRIMITIVE
    topk: TopK = TopK.ITERATED
    layout: Layout = Layout.TOKENS
    matmul_limit: int = MAX_SIDE
    token_maps: bool = False
    constant_limit: float = 1e4
    native_form: bool = False
    pixels: bool = True

    def native(self) -> Profile:
        """Returns the options of the native form."""
        return replace(self, sampling=Sampling.RESAMPLER, norms=Norms.NATIVE, topk=TopK.NATIVE)
