"""D-FINE-seg: D-FINE with a head that gives each query a mask.

Every size has the figures of D-FINE's (src/d_fine/configs.py); what the head adds is in ``convert.models.mask_detector``. Its
own inference (src/infer/torch_model.py) stretches pictures with OpenCV's ``INTER_LINEAR``, which is bilinear without antialias,
divides by 255, keeps the best 300 pairs of query and class, resizes the masks' probabilities to the picture, and clears what is
outside of the box.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from detr2litert.convert.models.settings.setting import Sourced
from detr2litert.convert.models.variants.d_fine import D_FINE
from detr2litert.convert.models.variants.d_fine import ROWS as D_FINE_ROWS
from detr2litert.convert.models.variants.row import Fact, Variant

D_FINE_SEG = replace(
    D_FINE,
    name="D-FINE-seg",
    module="detr2litert.convert.models.mask_detector",
    config_class="DFineSegConfig",
    model_class="DFineForInstanceSegmentation",
    signature=(*D_FINE.signature, r"^decoder\.mask_decoder\.fusion_conv\.weight$", r"^decoder\.mask_head\.layers\.2\.weight$"),
    facts={**D_FINE.facts, "mask width": Fact(r"^decoder\.mask_decoder\.fusion_conv\.weight$")},
    config_from_facts={**D_FINE.config_from_facts, "mask width": "mask_dim"},
    renaming=(
        (r"^decoder\.mask_head\.", r"mask_embed."),
        (r"^decoder\.mask_decoder\.bn\.", r"mask_features.lateral_norm."),
        (r"^decoder\.mask_decoder\.fusion_conv\.", r"mask_features.fusion."),
        (r"^decoder\.mask_decoder\.up_conv\.", r"mask_features.enlarged."),
        (r"^decoder\.mask_decoder\.bn1\.", r"mask_features.enlarged_norm."),
        (r"^decoder\.mask_decoder\.", r"mask_features."),
        *D_FINE.renaming,
    ),
    init_std={
        **D_FINE.init_std,
        r"^mask_features\.(lateral\.\d+|fusion|enlarged)\.weight$": 1.0,
        r"^mask_embed\.layers\.[01]\.weight$": 1.4,
        # Cells are positive after a ReLU: logits of a few units on both sides of 0.
        r"^mask_embed\.layers\.2\.weight$": 3.0,
    },
    masks_output="pred_masks",
    masks_activation="sigmoid",
    masks_within_box=True,
)

_SOURCE = "ArgoHA/D-FINE-seg src/d_fine/configs.py ({size}, mask_dim 256) at 40fdf64; else {row}: {source}"
_INFERENCE = "bilinear without antialias: cv2.INTER_LINEAR in src/infer/torch_model.py (_preprocess)"
_SETTINGS: Mapping[str, Sourced[str]] = {"resize": Sourced("bilinear", _INFERENCE)}


def _of_d_fine(row: Variant) -> Variant:
    """Builds the row of a size of D-FINE with masks."""
    size = row.name.removeprefix("dfine-")
    return replace(
        row,
        name=f"dfine-seg-{size}",
        family=D_FINE_SEG,
        config={**row.config, "mask_dim": 256},
        source=_SOURCE.format(size=size, row=row.name, source=row.source),
        hub_id=None,
        resize="bilinear",
        original_settings=_SETTINGS,
        only_original=True,
    )


ROWS: tuple[Variant, ...] = tuple(_of_d_fine(row) for row in D_FINE_ROWS if row.bundled is None)
