"""COCO's class names in the two layouts that detectors use.

Source: the ``categories`` of COCO's instances_val2017.json; the same 80 names and ids as rfdetr/assets/coco_classes.py.
"""

from __future__ import annotations

_NAMES = (
    "person bicycle car motorcycle airplane bus train truck boat traffic_light fire_hydrant - stop_sign "
    "parking_meter bench bird cat dog horse sheep cow elephant bear zebra giraffe - backpack umbrella - - handbag "
    "tie suitcase frisbee skis snowboard sports_ball kite baseball_bat baseball_glove skateboard surfboard "
    "tennis_racket bottle - wine_glass cup fork knife spoon bowl banana apple sandwich orange broccoli carrot "
    "hot_dog pizza donut cake chair couch potted_plant bed - dining_table - - toilet - tv laptop mouse remote "
    "keyboard cell_phone microwave oven toaster sink refrigerator - book clock vase scissors teddy_bear hair_drier "
    "toothbrush"
)

COCO_SPARSE: tuple[str | None, ...] = (
    None,
    *(None if name == "-" else name.replace("_", " ") for name in _NAMES.split()),
)
"""91 columns whose index is the COCO category id; the 11 ids that COCO does not use are None."""

COCO_NAMES: tuple[str, ...] = tuple(name for name in COCO_SPARSE if name is not None)
"""The 80 names in the order of their ids: the layout of detectors with contiguous classes."""

COCO_CONTIGUOUS: tuple[str | None, ...] = COCO_NAMES
"""80 columns in the order of the ids that COCO uses, without holes."""
