"""Random weights of what D-FINE and its descendants share: gated decoder layers that refine distributions over box sides."""

from __future__ import annotations

from collections.abc import Mapping

DISTRIBUTION_SPREAD: Mapping[str, float] = {
    r"\.(q_proj|k_proj)\.weight$": 1.0,
    r"\.(v_proj|o_proj)\.weight$": 1.0,
    r"\.(sampling_offsets|attention_weights)\.weight$": 1.0,
    r"\.gateway\.gate\.weight$": 1.0,
    r"\.mlp\.layers\.[01]\.weight$": 1.0,
    r"\benc_output\.0\.weight$": 1.0,
    r"\b(enc_bbox_head|pre_bbox_head|query_pos_head)\.layers\.[01]\.weight$": 1.4,
    r"\b(enc_bbox_head|pre_bbox_head)\.layers\.2\.weight$": 0.3,
    r"bbox_embed\.\d+\.layers\.[01]\.weight$": 1.4,
    # Over 33 bins: enough that the distributions have a peak each, and that their top four differ.
    r"bbox_embed\.\d+\.layers\.2\.weight$": 1.5,
    r"\breg_conf\.layers\.[01]\.weight$": 1.4,
    r"(class_embed\.\d+|enc_score_head)\.weight$": 1.0,
}
"""As ``Family.spread``: in transformers' naming, of attention, gates, proposals, distributions and quality estimation."""
