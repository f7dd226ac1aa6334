"""RT-DETR: the first version, which RT-DETRv2 computes too with equal numbers of sampling points in all levels.

It divides the sampling offsets by the number of points, where RT-DETRv2 multiplies by a constant buffer of as many reciprocals
(rtdetr_decoder.py of both): boxes differ by 1.5e-7. So its checkpoints are built as RT-DETRv2, those of transformers too.
"""

from __future__ import annotations

from dataclasses import replace

from detr2litert.convert.models.variants.row import Variant, resizes_images
from detr2litert.convert.models.variants.rt_detr_v2 import ROWS as RT_DETR_V2_ROWS
from detr2litert.convert.models.variants.rt_detr_v2 import RT_DETR_V2

_POINTS_SCALE = r"\b(cross_attn\.num_points_scale|encoder_attn\.n_points_scale)$"
"""The buffer that this version lacks; the model fills it by its configuration."""

RT_DETR = replace(
    RT_DETR_V2,
    name="RT-DETR",
    model_type="rt_detr",
    # RT-DETRv2's but for the buffer.
    signature=(*RT_DETR_V2.signature[:-1], r"\bdecoder\.layers\.0\.(cross|encoder)_attn\.sampling_offsets\.weight$"),
    ignored_tensors=(*RT_DETR_V2.ignored_tensors, _POINTS_SCALE),
    renaming=(
        (r"^(encoder|decoder)\.input_proj\.(\d+)\.0\.", r"\1.input_proj.\2.conv."),
        (r"^(encoder|decoder)\.input_proj\.(\d+)\.1\.", r"\1.input_proj.\2.norm."),
        (r"^decoder\.enc_output\.0\.", r"decoder.enc_output.proj."),
        (r"^decoder\.enc_output\.1\.", r"decoder.enc_output.norm."),
        *RT_DETR_V2.renaming,
    ),
    other_models={
        pattern: description.replace("RT-DETRv2", "RT-DETR") for pattern, description in RT_DETR_V2.other_models.items()
    },
    # Discrete sampling came with the second version.
    fields={name: path for name, path in RT_DETR_V2.fields.items() if name != "sampling"},
    defaults={name: value for name, value in RT_DETR_V2.defaults.items() if name != "sampling"},
)

_CONFIGS = {
    "rtdetrv2-r18": ("rtdetr_r18vd_6x_coco.yml", "PekingU/rtdetr_r18vd"),
    "rtdetrv2-r34": ("rtdetr_r34vd_6x_coco.yml", "PekingU/rtdetr_r34vd"),
    "rtdetrv2-r50": ("rtdetr_r50vd_6x_coco.yml", "PekingU/rtdetr_r50vd"),
    "rtdetrv2-r50m": ("rtdetr_r50vd_m_6x_coco.yml", None),
    "rtdetrv2-r101": ("rtdetr_r101vd_6x_coco.yml", "PekingU/rtdetr_r101vd"),
}
"""RT-DETRv2's row → configuration of the same size, and its transformers folder on the hub."""


def _of_rt_detr_v2(row: Variant) -> Variant:
    """Builds the first version's row of a size; the published sizes of the two versions have the same figures."""
    config, hub_id = _CONFIGS[row.name]
    return replace(
        row,
        name=row.name.replace("rtdetrv2-", "rtdetr-"),
        family=RT_DETR,
        source=f"lyuwenyu/RT-DETR rtdetr_pytorch/configs/rtdetr/{config} with include/rtdetr_r50vd.yml at 068dfde",
        hub_id=hub_id,
        original_settings=resizes_images("configs/rtdetr/include/dataloader.yml, Resize before ToImageTensor"),
    )


ROWS: tuple[Variant, ...] = tuple(_of_rt_detr_v2(row) for row in RT_DETR_V2_ROWS)
