from __future__ import annotations

import time

import pytest
import tiny_bundle
from hostile_manifests import hostile_manifests

from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.manifest import Manifest

HOST_STEPS = {
    "host_concatenates_to_a_gibibyte": "to 4260896 elements, more than the 1048576 that its inputs and constants justify",
    "host_broadcasts_to_576_gibibytes": "it gives 154618822656 elements, more than 67108864",
    "host_broadcasts_to_8_mebibytes": "more than the 1048576 that its inputs and constants justify",
    "host_multiplies_for_a_minute": "to 34359738400 multiply-adds, more than 4294967296",
    "host_grows_by_small_steps": "op 19 'relu' giving 'r14' brings what the host step computes to 1049632 elements",
    "host_513_ops": "is too long",
    "host_output_that_graph_b_does_not_read": "output 'indices' is not an input of graph b",
    "host_output_of_another_shape": "gives 'selected_memory' as float32[1, 3, 3], but graph b reads float32[1, 4, 3]",
    "host_output_of_another_type": "gives 'selected_cells' as int32[1, 4], but graph b reads float32[1, 4, 4]",
    "tensors_of_a_gibibyte": "its tensors have 268435832 elements in all, more than 67108864",
    "nested_arrays": "nested deeper than 32",
    "given_twice_escaped": "the name 'variant' is given twice",
    "classes_0_label": "$.classes[0]: 'xxx",
    "preprocess_scale_far": "$.preprocess.scale is not a finite number",
    "weights_source_line": "$.weights.source has the unprintable character U+000A",
}
"""The reasons of some: a manifest that is refused for another fault would prove nothing."""


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    sound = tiny_bundle.write_bundle(tmp_path_factory.mktemp("sound")).to_dict()
    assert Manifest.from_dict(sound).to_dict() == sound
    found = dict(hostile_manifests(sound))
    assert len(found) >= 100
    return found


def test_each_is_refused_in_one_printable_line_within_20_s(cases):
    for name, text in cases.items():
        start = time.monotonic()
        with pytest.raises(UserError) as refused:
            Manifest.from_json(text)
        line = str(refused.value)
        assert line.startswith("manifest.json ") and line.isprintable() and len(line) < 500, (name, line[:1000])
        assert "again with `convert run`" in line, name
        assert time.monotonic() - start < 20, name
        assert HOST_STEPS.get(name, "") in line, (name, line)
    assert set(HOST_STEPS) <= set(cases)
