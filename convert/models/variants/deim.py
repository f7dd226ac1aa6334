"""DEIM: D-FINE and RT-DETRv2 trained by another method, with SiLU for ReLU in the decoder.

Its D-FINE checkpoints have the same tensors as D-FINE's, and nothing in them says which of the two activations they were
trained with: ``--variant`` decides. Its RT-DETRv2 has one more layer in ``query_pos_head``.
"""

from __future__ import annotations

from dataclasses import replace

from detr2litert.convert.models.variants.d_fine import ROWS as D_FINE_ROWS
from detr2litert.convert.models.variants.row import Variant, resizes_images
from detr2litert.convert.models.variants.rt_detr_v2 import ROWS as RT_DETR_V2_ROWS

_SOURCE = "Intellindust-AI-Lab/DEIM configs/{config} with base/{base} at 09d35d5 (activation, mlp_act); else {row}: {source}"

_INFERENCE = "tools/inference/torch_inf.py"


def _of_d_fine(row: Variant) -> Variant:
    """Builds DEIM's row of a size of D-FINE."""
    size = row.name.removeprefix("dfine-")
    return replace(
        row,
        name=f"deim-{size}",
        config={**row.config, "decoder_activation_function": "silu"},
        source=_SOURCE.format(
            config=f"deim_dfine/deim_hgnetv2_{size}_coco.yml", base="deim.yml", row=row.name, source=row.source
        ),
        hub_id=None,
        resize="bilinear_8bit",
        original_settings=resizes_images(_INFERENCE),
        only_original=True,
    )


def _of_rt_detr_v2(row: Variant, config: str) -> Variant:
    """Builds DEIM's row of a size of RT-DETRv2; none has decoder layers that evaluation does not use."""
    expected = {**row.expected, "query position layers": 3, "decoder layers": row.config["decoder_layers"]}
    return replace(
        row,
        name=row.name.replace("rtdetrv2-", "deim-"),
        config={**row.config, "decoder_activation_function": "silu"},
        expected=expected,
        source=_SOURCE.format(config=f"deim_rtdetrv2/{config}", base="rt_deim.yml", row=row.name, source=row.source),
        hub_id=None,
        resize="bilinear_8bit",
        original_settings=resizes_images(_INFERENCE),
        adjustments=("deepen_query_positions",),
        only_original=True,
    )


_RT_DETR_V2_CONFIGS = {
    "rtdetrv2-r18": "deim_r18vd_120e_coco.yml",
    "rtdetrv2-r34": "deim_r34vd_120e_coco.yml",
    "rtdetrv2-r50": "deim_r50vd_60e_coco.yml",
    "rtdetrv2-r50m": "deim_r50vd_m_60e_coco.yml",
    "rtdetrv2-r101": "deim_r101vd_60e_coco.yml",
}

ROWS: tuple[Variant, ...] = (
    *(_of_d_fine(row) for row in D_FINE_ROWS if row.bundled is None),
    *(_of_rt_detr_v2(row, _RT_DETR_V2_CONFIGS[row.name]) for row in RT_DETR_V2_ROWS),
)
