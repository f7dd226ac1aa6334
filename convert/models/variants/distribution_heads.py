"""Random weights of D-FINE's and its descendants' common parts: gated decoder layers that refine box-side distributions."""

from __future__ import annotations

from collections.abc import Mapping

DISTRIBUTION_INIT_STD: Mapping[str, float] = {
    r"\.(q_proj|k_proj)\.weight$": 1.0,
    r"\.(v_proj|o_proj)\.weight$": 1.0,
    r"\.(sampling_offsets|attention_weights)\.weight$": 1.0,
    r"\.gateway\.gate\.weight$": 1.0,
    r"\.mlp\.layers\.[01]\.weight$": 1.0,
    r"\benc_output\.0\.weight$": 1.0,
    r"\b(enc_bbox_head|pre_bbox_head|query_pos_head)\.layers\.[01]\.weight$": 1.4,
    r"\b(enc_bbox_head|pre_bbox_head)\.layers\.2\.weight$": 0.3,
    r"bbox_embed\.\d+\.layers\.[01]\.weight$": 1.4,
    # Over 33 bins: enough that each distribution has a peak, and that their top four differ.
    r"bbox_embed\.\d+\.layers\.2\.weight$": 1.5,
    r"\breg_conf\.layers\.[01]\.weight$": 1.4,
    r"(class_embed\.\d+|enc_score_head)\.weight$": 1.0,
}
"""For ``Family.init_std``: in transformers' naming, of attention, gates, proposals, distributions and quality estimation."""
