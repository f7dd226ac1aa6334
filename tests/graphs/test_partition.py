"""A detector in three parts computes the same as the whole."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from detectors import CHANNELS, SELECTED, TOKENS, TwoStage, assert_equal_to_the_whole, cut, image
from torch import Tensor, nn
from transformers import RfDetrForObjectDetection

from detr2litert.convert.compiler import CompiledDetector
from detr2litert.convert.demo.scenes import SIDE
from detr2litert.convert.models.reference import Detector
from detr2litert.convert.quiet import quiet
from detr2litert.graphs.partition import Part, Partition
from detr2litert.graphs.selection import NoSelectionError
from detr2litert.graphs.toolbox import RewriteRefusedError, sizes, value_of
from detr2litert.rewrites.profile import TailPlacement
from tools.demo_training.detectors import rf_detr_config

HOST, GRAPH_B = TailPlacement.HOST, TailPlacement.GRAPH_B


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
    made = set(parts.a.output_names)
    assert set(parts.host.program.inputs) <= made
    assert set(parts.b.input_names) <= made | set(parts.host.program.outputs)
    assert len(set(parts.b.input_names)) == len(parts.b.input_names) == len(input_shapes(parts.b))
    assert all(len(shape) <= 4 for shape in input_shapes(parts.b))


def test_the_tail_on_the_host() -> None:
    parts = cut(TwoStage(), image(), HOST)
    values = assert_equal_to_the_whole(parts, TwoStage(), image(), 1e-6)
    names_meet(parts)
    assert parts.a.input_names == ("image",) and parts.b.output_names == ("boxes", "logits")
    assert parts.a.output_names == ("enc_scores", "memory")
    assert values["enc_scores"].shape == (1, TOKENS)
    assert [op.op for op in parts.host.program.ops].count("linear") == 3
    assert {tuple(values[name].shape) for name in parts.host.program.outputs} == {(1, SELECTED, 4), (1, SELECTED, CHANNELS)}


def test_other_scores_put_the_queries_in_another_order_and_change_nothing_else() -> None:
    detector = CompiledDetector(cut(TwoStage(), image(), HOST), {}, {})
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
    parts = cut(TwoStage(), image(), GRAPH_B)
    assert_equal_to_the_whole(parts, TwoStage(), image(), 1e-6)
    names_meet(parts)
    assert {op.op for op in parts.host.program.ops} == {"topk", "reshape", "gather"} - (
        {"reshape"} if len(parts.host.program.ops) == 3 else set()
    )


@pytest.mark.parametrize("tail", [HOST, GRAPH_B])
def test_lowered_for_the_gpu_and_on_another_picture(tail: TailPlacement) -> None:
    parts = cut(TwoStage(), image(), tail, lowered=True)
    assert_equal_to_the_whole(parts, TwoStage(), image(7), 1e-5)


@pytest.mark.parametrize("tail", [HOST, GRAPH_B])
@pytest.mark.parametrize("lowered", [False, True])
def test_tokens_cross_as_maps_with_token_maps(tail: TailPlacement, lowered: bool) -> None:
    parts = cut(TwoStage(), image(), tail, lowered, token_maps=True)
    values = assert_equal_to_the_whole(parts, TwoStage(), image(3), 1e-5)
    names_meet(parts)
    assert {len(shape) for shape in input_shapes(parts.b)} == {4}
    assert {values[name].ndim for name in parts.host.program.outputs} == {4}
    assert [op.op for op in parts.host.program.ops].count("reshape") >= len(parts.host.program.outputs)


@pytest.mark.parametrize("tail", [HOST, GRAPH_B])
def test_the_demo_architecture(demo: nn.Module, tail: TailPlacement) -> None:
    picture = torch.randn(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    parts = cut(demo, picture, tail, lowered=True)
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

    parts = cut(Twice(), image(), HOST)
    assert_equal_to_the_whole(parts, Twice(), image(), 1e-6)
    assert len({op.output for op in parts.host.program.ops}) == len(parts.host.program.ops)
    assert [op.op for op in parts.host.program.ops].count("reshape") <= 1


def test_a_gathered_constant_belongs_to_the_host_step() -> None:
    parts = cut(TwoStage(), image(), GRAPH_B)
    shapes = {tuple(value.shape) for value in parts.host.constants.values()}
    assert (1, TOKENS, 4) in shapes


def test_an_output_of_the_encoder_passes_through_graph_b() -> None:
    class Auxiliary(TwoStage):
        def decode(self, memory: Tensor, target: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
            return super().decode(memory, target, reference)[0], memory

    assert_equal_to_the_whole(cut(Auxiliary(), image(), HOST), Auxiliary(), image(), 1e-6)


def test_no_selection() -> None:
    class OneStage(TwoStage):
        def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
            memory = self.memory(image)
            return self.refine(memory), self.classify(memory)

    with pytest.raises(NoSelectionError, match="query selection of a two-stage DETR"):
        cut(OneStage(), image(), HOST)


def test_an_image_read_after_the_selection_is_refused() -> None:
    class Looks(TwoStage):
        def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
            boxes, logits = super().forward(image)
            return boxes, logits + image.mean()

    with pytest.raises(RewriteRefusedError, match="it reads the image after the selection"):
        cut(Looks(), image(), HOST)


def test_a_tail_that_the_host_cannot_run_is_refused_there_and_runs_in_graph_b() -> None:
    class Wavy(TwoStage):
        def propose(self, memory: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            encoded, scores, boxes = super().propose(memory)
            return encoded, scores, boxes.sin()

    with pytest.raises(RewriteRefusedError, match="the host step has no such op") as caught:
        cut(Wavy(), image(), HOST)
    assert caught.value.op == "aten.sin.default" and "second graph" in caught.value.hint
    assert_equal_to_the_whole(cut(Wavy(), image(), GRAPH_B), Wavy(), image(), 1e-6)


def test_parts_own_what_they_read() -> None:
    parts = cut(TwoStage(), image(), GRAPH_B)
    for part in (parts.a, parts.b):
        assert isinstance(part, Part)
        read = {str(n.target) for n in part.graph_module.graph.nodes if n.op == "get_attr"}
        assert read == {name for name, _ in part.graph_module.named_buffers()}
