"""What a target asks of the rewrites."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Sampling(StrEnum):
    """How bilinear sampling is written without a gather."""

    FOLDED_TENT = "folded-tent"
    """Attention weights folded into the interpolation matrix: one matmul per level (exact)."""
    TENT = "tent"
    """One interpolation matrix per sampling point, weighted afterwards (exact; kept for comparison)."""


class TailPlacement(StrEnum):
    """Where the per-token computation between the selection's gather and the decoder runs."""

    HOST = "host"
    GRAPH_B = "graph-b"


@dataclass(frozen=True)
class Profile:
    """Rewrite options of one target.

    Attributes:
        safe_layer_norm: write layer norms so that no intermediate overflows fp16.
        sampling: form of bilinear sampling.
        tail: where the selected tokens' tail runs.
        matmul_limit: largest ``batch * K / 4`` of a batched matmul's right-hand side that the delegate computes correctly.
        token_maps: carry token tensors ``[1, N, C]`` as maps ``[1, H, W, C]``, so that none of rank three fans out.
        constant_limit: constants beyond ± this are clamped to it, infinities included.
    """

    safe_layer_norm: bool = True
    sampling: Sampling = Sampling.FOLDED_TENT
    tail: TailPlacement = TailPlacement.GRAPH_B
    matmul_limit: int = 8192
    token_maps: bool = False
    constant_limit: float = 1e4
