"""What a transformers folder's config.json states of settings that the model itself does not compute with."""

from __future__ import annotations

import pytest

from detr2litert.convert.models.checkpoints.statements import collect_statements
from detr2litert.convert.models.variants import FAMILIES, Family

SELECTED_BY_QUERIES = {
    *("RF-DETR", "RF-DETR Seg", "RF-DETR Keypoints", "D-FINE", "D-FINE-seg", "RT-DETR", "RT-DETRv2", "DEIMv2"),
}
"""Families whose image processor in transformers keeps as many detections as there are queries; LW-DETR's keeps 100."""


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_a_folder_selects_what_transformers_post_processing_selects(family: Family) -> None:
    stated = {item.setting: item for item in collect_statements(family, {}, None, {"num_queries": 70}, None, "folder")}
    assert stated["num_queries"].value == 70
    if family.name in SELECTED_BY_QUERIES:
        assert stated["num_select"].value == 70
        assert "config.json: num_queries" in str(stated["num_select"])
    else:
        assert "num_select" not in stated
