"""Explains why a checkpoint of no known family cannot be converted.

The compiler cuts a detector at its query selection, so a detector without one cannot be compiled at all, and one with it needs
a row in the table of variants. The tensor names show which of the two applies.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from detr2litert.convert.models.variants import FAMILIES

_SOUGHT = "a top-k whose indices select tokens (the query selection of a two-stage DETR)"
_NO_VARIANT = "`convert variants` lists those that can be converted"

_SELECTION = r"\benc_(score_head|output|out_class_embed)\b"
"""Names of the heads that score the encoder's tokens, in all known two-stage DETRs."""


@dataclass(frozen=True)
class Architecture:
    """A known detector that cannot be converted.

    Attributes:
        name: with its article.
        selects: whether it has a query selection.
        present, absent: patterns over tensor names that must match, and that must not.
        model_types: of transformers' config.json.
        advice: what to do instead, for one with a query selection.
    """

    name: str
    selects: bool
    present: tuple[str, ...]
    absent: tuple[str, ...] = ()
    model_types: tuple[str, ...] = ()
    advice: str = _NO_VARIANT


_ARCHITECTURES = (
    Architecture(
        "an RT-DETR with another backbone than ResNet-vd",
        selects=True,
        present=(r"\blateral_convs\.0\.", r"\benc_score_head\.", r"\bsampling_offsets\."),
        absent=(r"\bconv1_1\.conv\.|\bembedder\.embedder\.0\.", r"\blqe_layers\."),
    ),
    Architecture(
        "a two-stage Deformable DETR",
        selects=True,
        present=(r"\blevel_embed$", r"\bpos_trans\.", r"\benc_output\."),
        model_types=("deformable_detr",),
    ),
    Architecture(
        "a single-stage Deformable DETR",
        selects=False,
        present=(r"\blevel_embed$", r"\breference_points\.weight$"),
        absent=(r"\benc_output\.",),
        model_types=("deformable_detr",),
    ),
    Architecture(
        "a Conditional DETR or DAB-DETR",
        selects=False,
        present=(r"\bdecoder\.layers\.0\.(\w+\.)*(ca_qpos_proj|q_pos_proj|cross_attn_query_pos_proj)\.",),
        model_types=("conditional_detr", "dab-detr"),
    ),
    Architecture(
        "a plain DETR",
        selects=False,
        present=(r"\bquery_(embed|position_embeddings)\.weight$", r"\bdecoder\.layers\.0\.(multihead_attn|encoder_attn)\."),
        absent=(r"\bsampling_offsets\.",),
        model_types=("detr", "table-transformer"),
    ),
    Architecture("a YOLOS", selects=False, present=(r"\bdetection_tokens$",), model_types=("yolos",)),
    Architecture(
        "a YOLO",
        selects=False,
        present=(r"^(model\.)*\d+\.(conv|cv1\.conv)\.weight$|^head\.cls_preds\.0\.|\bdfl\.conv\.weight$",),
    ),
    Architecture("a region-based detector (R-CNN)", selects=False, present=(r"\broi_heads?\.",)),
)


def describe_names(names: Collection[str]) -> str:
    """Describes a checkpoint by its tensor names and why it cannot be converted, to follow "checkpoint X is"."""

    def found(pattern: str) -> bool:
        return any(re.search(pattern, name) for name in names)

    for architecture in _ARCHITECTURES:
        if all(map(found, architecture.present)) and not any(map(found, architecture.absent)):
            return _explain(architecture.name, architecture.selects, architecture.advice)
    known = ", ".join(family.name for family in FAMILIES)
    examples = ", ".join(sorted(names)[:3])
    return _explain(f"not of a known architecture ({known}), its tensors are named like {examples}", found(_SELECTION))


def describe_config(config: Mapping[str, Any]) -> str:
    """Describes a transformers folder likewise, from its config.json."""
    kind = config.get("model_type")
    fitting = [architecture for architecture in _ARCHITECTURES if kind in architecture.model_types]
    if not fitting:
        return f"a {kind!r} model (config.json), which matches no variant; the compiler looks for {_SOUGHT}, and {_NO_VARIANT}"
    staged = [architecture for architecture in fitting if architecture.selects == bool(config.get("two_stage"))]
    best = (staged or fitting)[0]
    return _explain(f"{best.name} ({kind!r} in config.json)", best.selects, best.advice)


def describe_library(type_name: str) -> str | None:
    """Describes a pickled object of this type, if its library saves whole detectors instead of weights; else None."""
    if re.match(r"(ultralytics|yolox|yolov5|models\.(yolo|common))\b", type_name):
        return _explain(f"a pickled YOLO or similar model (a {type_name})", selects=False)
    return None


def _explain(what: str, selects: bool, advice: str = _NO_VARIANT) -> str:
    if selects:
        return f"{what}: it has a query selection, but no variant matches its architecture; {advice}"
    return f"{what}: the compiler looks for {_SOUGHT} and found none"
