"""The recorded arithmetic of the variants, from which ``bench --budget`` estimates."""

from __future__ import annotations

from detr2litert.convert.models.reference import load_reference
from detr2litert.convert.models.variants import VARIANTS, find_variant
from detr2litert.verify.bench.budget import Size, variant_sizes
from tools.benchmark.multiply_adds import count_multiply_adds


def test_every_variant_is_recorded_with_its_family() -> None:
    recorded = {name: (size.family, size.demo) for name, size in variant_sizes().items()}
    assert recorded == {name: (row.family.name, row.bundled is not None) for name, row in VARIANTS.items()}


def test_a_record_is_what_is_counted_and_the_same_for_any_weights() -> None:
    variant = find_variant("tiny")
    counted = count_multiply_adds(variant)
    assert Size(**counted) == variant_sizes()["tiny"]
    trained, _ = load_reference(variant, None)
    assert trained.size == (counted["height"], counted["width"])


def test_a_family_grows_with_its_names() -> None:
    sizes = variant_sizes()
    for names in (("nano", "small", "medium", "large"), ("dfine-n", "dfine-s", "dfine-m", "dfine-l", "dfine-x")):
        macs = [sizes[name].macs for name in names]
        assert macs == sorted(macs)
