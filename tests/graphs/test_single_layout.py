"""A detector in one graph: the top-k and the gathers inside."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from detectors import CHANNELS, SELECTED, TOKENS, TwoStage, assert_equal_to_the_whole, cut, image
from torch import Tensor

from detr2litert.convert.compiler import CompiledDetector
from detr2litert.graphs.native_ops import GATHER_ROWS, TOP_ROWS
from detr2litert.graphs.partition import Layout
from detr2litert.graphs.toolbox import aten, calls, value_of


def detector(module: TwoStage | None = None, *, lowered: bool = False) -> CompiledDetector:
    return CompiledDetector(cut(module or TwoStage(), image(), Layout.SINGLE, lowered, token_maps=True), {}, {})


@pytest.mark.parametrize("lowered", [False, True])
def test_there_is_one_graph_from_the_image_to_boxes_and_logits(lowered: bool) -> None:
    parts = cut(TwoStage(), image(), Layout.SINGLE, lowered, token_maps=True)
    assert list(parts.graphs) == ["graph_a"] and parts.b is None and parts.last is parts.a
    assert (parts.a.input_names, parts.a.output_names) == (("image",), ("boxes", "logits", "indices"))
    program = parts.host.program
    assert (program.inputs, program.ops, program.outputs, parts.host.constants) == ((), (), (), {})
    assert_equal_to_the_whole(parts, TwoStage(), image(7), 1e-5)


def test_it_selects_and_gathers_by_the_delegates_operators() -> None:
    graph_module = detector().parts.a.graph_module
    (top,) = calls(graph_module, TOP_ROWS)
    assert value_of(top).dtype == torch.int32 and value_of(top.all_input_nodes[0]).shape == (TOKENS,)
    gathers = calls(graph_module, GATHER_ROWS)
    assert len(gathers) == 2 and all(gather.args[1] is top for gather in gathers)
    assert not calls(graph_module, aten.topk.default, aten.gather.default)


def test_equal_scores_are_selected_by_the_lower_index() -> None:
    level = np.zeros((1, TOKENS), np.float32)
    level[0, [20, 9]] = 1
    found = detector(lowered=True).reorder(image(), {"enc_scores": level})
    np.testing.assert_array_equal(found["indices"], [9, 20, 0, 1, 2])
    np.testing.assert_array_equal(found["enc_scores"], level)


def test_the_scores_inside_are_those_of_a_cut_detector() -> None:
    whole, parts = detector(), CompiledDetector(cut(TwoStage(), image(), Layout.INDICES), {}, {})
    assert whole.ranked == parts.ranked == ("enc_scores",)
    ours, theirs = whole.evaluate(image(3)), parts.evaluate(image(3))
    np.testing.assert_allclose(ours["enc_scores"], theirs["enc_scores"], atol=1e-6)
    np.testing.assert_array_equal(ours["indices"], theirs["indices"])


def test_it_computes_any_other_selection() -> None:
    whole = detector(lowered=True)
    values = whole.evaluate(image())
    order = [1, 0, 2, 3, 4]
    found = whole.reorder(image(), {"boxes": values["boxes"], "indices": values["indices"][order]})
    np.testing.assert_array_equal(found["indices"], values["indices"][order])
    for name in ("boxes", "logits"):
        assert not np.array_equal(found[name], values[name])
        np.testing.assert_allclose(found[name][:, order], values[name], atol=1e-5)


def test_an_image_read_after_the_selection_is_allowed() -> None:
    class Looks(TwoStage):
        def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
            boxes, logits = super().forward(image)
            return boxes, logits + image.mean()

    assert_equal_to_the_whole(cut(Looks(), image(), Layout.SINGLE), Looks(), image(2), 1e-6)


def test_a_small_top_k_after_the_selection_stays_a_top_k_of_values() -> None:
    """As in D-FINE's quality head: it is computed by rounds, not by TOPK_V2."""

    class Quality(TwoStage):
        def decode(self, memory: Tensor, target: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
            boxes, logits = super().decode(memory, target, reference)
            best = target.softmax(-1).topk(2, dim=-1).values
            return boxes, logits + best.mean(-1, keepdim=True)

    parts = cut(Quality(), image(), Layout.SINGLE, lowered=True)
    assert len(calls(parts.a.graph_module, TOP_ROWS)) == 1 and not calls(parts.a.graph_module, aten.topk.default)
    assert_equal_to_the_whole(parts, Quality(), image(5), 1e-5)
    assert CHANNELS > 2 and SELECTED > 2
