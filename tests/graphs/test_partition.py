"""A detector in three parts computes the same as the whole."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from detectors import CHANNELS, HEIGHT, SELECTED, TOKENS, WIDTH, TwoStage, assert_equal_to_the_whole, cut, image
from torch import Tensor, nn
from transformers import RfDetrForObjectDetection

from detr2litert.convert.compiler import CompiledDetector
from detr2litert.convert.demo.scenes import SIDE
from detr2litert.convert.models.reference import Detector
from detr2litert.convert.quiet import quiet
from detr2litert.graphs.native_ops import GATHER_ROWS
from detr2litert.graphs.partition import Layout, Part, Partition, layout_of
from detr2litert.graphs.selection import NoSelectionError
from detr2litert.graphs.toolbox import RewriteRefusedError, aten, calls, constant_of, sizes, value_of
from tools.demo_training.detectors import rf_detr_config

EVERY = list(Layout)
CUT = [layout for layout in Layout if layout is not Layout.SINGLE]


@pytest.fixture(scope="module")
def demo() -> nn.Module:
    """The demo architecture with random weights whose scores, boxes and attention all vary."""
    torch.manual_seed(0)
    with quiet():
        model = RfDetrForObjectDetection(rf_detr_config()).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return Detector(model, "pred_boxes", "logits").eval()


def input_shapes(part: Part) -> list[list[int]]:
    return [sizes(value_of(node).shape) for node in part.graph_module.graph.find_nodes(op="placeholder")]


def names_meet(parts: Partition) -> None:
    """Every input of the host step and of graph B is an output of an earlier stage, of the same shape."""
    assert parts.b is not None
    made = set(parts.a.output_names)
    assert set(parts.host.program.inputs) <= made
    assert set(parts.b.input_names) <= made | set(parts.host.program.outputs)
    assert len(set(parts.b.input_names)) == len(parts.b.input_names) == len(input_shapes(parts.b))
    assert all(len(shape) <= 4 for shape in input_shapes(parts.b))


def test_the_tail_on_the_host() -> None:
    parts = cut(TwoStage(), image(), Layout.TAIL)
    values = assert_equal_to_the_whole(parts, TwoStage(), image(), 1e-6)
    names_meet(parts)
    assert parts.a.input_names == ("image",) and parts.b.output_names == ("boxes", "logits")
    assert parts.a.output_names == ("enc_scores", "memory")
    assert values["enc_scores"].shape == (1, TOKENS)
    assert [op.op for op in parts.host.program.ops].count("linear") == 3
    assert {tuple(values[name].shape) for name in parts.host.program.outputs} == {(1, SELECTED, 4), (1, SELECTED, CHANNELS)}


def test_other_scores_put_the_queries_in_another_order_and_change_nothing_else() -> None:
    detector = CompiledDetector(cut(TwoStage(), image(), Layout.TAIL), {}, {})
    values = detector.evaluate(image())
    first, second = np.argsort(-values["enc_scores"][0])[:2]
    swapped = values["enc_scores"].copy()
    swapped[0, [first, second]] = swapped[0, [second, first]]
    found = detector.reorder(image(), {"enc_scores": swapped, "memory": np.zeros_like(values["memory"])})
    np.testing.assert_array_equal(found["memory"], values["memory"])
    for name in ("boxes", "logits"):  # this decoder does not depend on its queries' ranks, so their results are permuted
        assert not np.array_equal(found[name], values[name])
        np.testing.assert_allclose(found[name][:, [1, 0, 2, 3, 4]], values[name], atol=1e-6)


def test_the_tail_in_graph_b() -> None:
    parts = cut(TwoStage(), image(), Layout.TOKENS)
    assert_equal_to_the_whole(parts, TwoStage(), image(), 1e-6)
    names_meet(parts)
    assert {op.op for op in parts.host.program.ops} == {"topk", "reshape", "gather"} - (
        {"reshape"} if len(parts.host.program.ops) == 3 else set()
    )


def test_with_indices_graph_b_gathers_and_the_host_step_is_the_top_k() -> None:
    parts = cut(TwoStage(), image(), Layout.INDICES)
    values = assert_equal_to_the_whole(parts, TwoStage(), image(), 1e-6)
    names_meet(parts)
    assert [op.op for op in parts.host.program.ops] == ["reshape", "topk"]
    assert (parts.host.program.inputs, parts.host.program.outputs) == (("enc_scores",), ("indices",))
    assert parts.host.constants == {}
    (indices,) = [n for n in parts.b.graph_module.graph.find_nodes(op="placeholder") if n.target == "indices"]
    assert value_of(indices).dtype == torch.int32 and value_of(indices).shape == (SELECTED,)
    assert values["indices"].dtype == np.int32
    np.testing.assert_array_equal(values["indices"], np.argsort(-values["enc_scores"][0], kind="stable")[:SELECTED])


def test_with_indices_each_gather_reads_its_own_table_in_graph_b() -> None:
    """The memory at run time, and the anchors, a constant of the file."""
    parts = cut(TwoStage(), image(), Layout.INDICES)
    tables = [node.args[0] for node in calls(parts.b.graph_module, GATHER_ROWS)]
    constants = [constant_of(parts.b.graph_module, table) for table in tables]
    assert len(tables) == 2 and [constant is None for constant in constants].count(True) == 1
    (anchors,) = [constant for constant in constants if constant is not None]
    torch.testing.assert_close(anchors, TwoStage().anchors[0], rtol=0, atol=0)
    assert not calls(parts.b.graph_module, aten.gather.default, aten.topk.default)


def test_with_indices_other_scores_select_other_tokens() -> None:
    detector = CompiledDetector(cut(TwoStage(), image(), Layout.INDICES), {}, {})
    values = detector.evaluate(image())
    assert detector.ranked == ("enc_scores",)
    reverse = detector.reorder(image(), {"enc_scores": -values["enc_scores"], "memory": values["memory"]})
    assert not set(reverse["indices"]) & set(values["indices"])
    assert not np.allclose(reverse["boxes"], values["boxes"])


def test_with_indices_equal_scores_are_selected_by_the_lower_index() -> None:
    detector = CompiledDetector(cut(TwoStage(), image(), Layout.INDICES), {}, {})
    level = np.zeros((1, TOKENS), np.float32)
    level[0, [20, 9]] = 1
    found = detector.reorder(image(), {"enc_scores": level})
    np.testing.assert_array_equal(found["indices"], [9, 20, 0, 1, 2])


@pytest.mark.parametrize("layout", EVERY)
def test_the_layout_is_read_from_the_host_step(layout: Layout) -> None:
    assert layout_of(cut(TwoStage(), image(), layout, token_maps=True).host.program) is layout


@pytest.mark.parametrize("layout", EVERY)
def test_lowered_for_the_gpu_and_on_another_picture(layout: Layout) -> None:
    parts = cut(TwoStage(), image(), layout, lowered=True)
    assert_equal_to_the_whole(parts, TwoStage(), image(7), 1e-5)


@pytest.mark.parametrize("layout", [Layout.TAIL, Layout.TOKENS])
@pytest.mark.parametrize("lowered", [False, True])
def test_tokens_cross_as_maps_with_token_maps(layout: Layout, lowered: bool) -> None:
    parts = cut(TwoStage(), image(), layout, lowered, token_maps=True)
    values = assert_equal_to_the_whole(parts, TwoStage(), image(3), 1e-5)
    names_meet(parts)
    assert {len(shape) for shape in input_shapes(parts.b)} == {4}
    assert {values[name].ndim for name in parts.host.program.outputs} == {4}
    assert [op.op for op in parts.host.program.ops].count("reshape") >= len(parts.host.program.outputs)


@pytest.mark.parametrize("lowered", [False, True])
def test_with_indices_only_the_memory_crosses_as_a_map(lowered: bool) -> None:
    parts = cut(TwoStage(), image(), Layout.INDICES, lowered, token_maps=True)
    values = assert_equal_to_the_whole(parts, TwoStage(), image(3), 1e-5)
    names_meet(parts)
    assert {name: values[name].shape for name in parts.b.input_names} == {
        "memory": (1, HEIGHT, WIDTH, CHANNELS),
        "indices": (SELECTED,),
    }


@pytest.mark.parametrize("layout", CUT)
def test_the_demo_architecture(demo: nn.Module, layout: Layout) -> None:
    picture = torch.randn(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    parts = cut(demo, picture, layout, lowered=True)
    names_meet(parts)
    values = assert_equal_to_the_whole(parts, demo, picture, 1e-4)
    assert values["boxes"].std() > 0.01 and values["logits"].std() > 0.01 and values["enc_scores"].std() > 0.01
    assert parts.a.output_names == ("enc_scores", "memory") and values["memory"].ndim == 4


def test_a_memory_that_is_gathered_twice_over_is_reshaped_once() -> None:
    class Twice(TwoStage):
        def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
            features = self.patches(image).relu().permute(0, 2, 3, 1)
            one, other = features.reshape(1, TOKENS, CHANNELS), features.flatten(1, 2)
            index = one.sum(-1).topk(SELECTED)[1].unsqueeze(-1).expand(-1, -1, CHANNELS)
            picked = torch.gather(one, 1, index) + torch.gather(other, 1, index) * 2
            return self.refine(picked), self.classify(picked + one.mean(1, keepdim=True) + other.amax(1, keepdim=True))

    parts = cut(Twice(), image(), Layout.TAIL)
    assert_equal_to_the_whole(parts, Twice(), image(), 1e-6)
    assert len({op.output for op in parts.host.program.ops}) == len(parts.host.program.ops)
    assert [op.op for op in parts.host.program.ops].count("reshape") <= 1


def test_a_gathered_constant_belongs_to_the_host_step() -> None:
    parts = cut(TwoStage(), image(), Layout.TOKENS)
    shapes = {tuple(value.shape) for value in parts.host.constants.values()}
    assert (1, TOKENS, 4) in shapes


@pytest.mark.parametrize("layout", CUT)
def test_an_output_of_the_encoder_passes_through_graph_b(layout: Layout) -> None:
    class Auxiliary(TwoStage):
        def decode(self, memory: Tensor, target: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
            return super().decode(memory, target, reference)[0], memory

    assert_equal_to_the_whole(cut(Auxiliary(), image(), layout), Auxiliary(), image(), 1e-6)


def test_no_selection() -> None:
    class OneStage(TwoStage):
        def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
            memory = self.memory(image)
            return self.refine(memory), self.classify(memory)

    with pytest.raises(NoSelectionError, match="query selection of a two-stage DETR"):
        cut(OneStage(), image(), Layout.TAIL)


@pytest.mark.parametrize("layout", CUT)
def test_what_the_decoder_reads_of_the_image_alone_is_in_graph_a(layout: Layout) -> None:
    class Bright(TwoStage):
        def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
            boxes, logits = super().forward(image)
            return boxes, logits + image.mean()

    parts = cut(Bright(), image(), layout)
    assert_equal_to_the_whole(parts, Bright(), image(), 1e-6)
    assert len(parts.a.graph_module.graph.find_nodes(op="placeholder")) == 1


@pytest.mark.parametrize("layout", CUT)
def test_an_image_read_after_the_selection_is_refused(layout: Layout) -> None:
    class Looks(TwoStage):
        def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
            boxes, logits = super().forward(image)
            return boxes, logits + (image + boxes.mean()).mean()

    with pytest.raises(RewriteRefusedError, match="it reads the image after the selection"):
        cut(Looks(), image(), layout)


def test_a_tail_that_the_host_cannot_run_is_refused_there_and_runs_in_graph_b() -> None:
    class Wavy(TwoStage):
        def propose(self, memory: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            encoded, scores, boxes = super().propose(memory)
            return encoded, scores, boxes.sin()

    with pytest.raises(RewriteRefusedError, match="the host step has no such op") as caught:
        cut(Wavy(), image(), Layout.TAIL)
    assert caught.value.op == "aten.sin.default" and "second graph" in caught.value.hint
    for layout in (Layout.TOKENS, Layout.INDICES):
        assert_equal_to_the_whole(cut(Wavy(), image(), layout), Wavy(), image(), 1e-6)


@pytest.mark.parametrize("layout", EVERY)
def test_parts_own_what_they_read(layout: Layout) -> None:
    parts = cut(TwoStage(), image(), layout)
    for part in parts.graphs.values():
        read = {str(n.target) for n in part.graph_module.graph.nodes if n.op == "get_attr"}
        assert read == {name for name, _ in part.graph_module.named_buffers()}
