"""Properties of every rewrite and of the packages as a whole."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from passes import traced
from torch import Tensor, nn
from torch.nn import functional as F

from detr2litert.graphs.provenance import provenance_of, stamp
from detr2litert.graphs.toolbox import Emitter, RewriteRefusedError, aten, module_of
from detr2litert.rewrites import driver
from detr2litert.rewrites.pipeline import IN_EACH_GRAPH, NORMALISE
from detr2litert.rewrites.profile import Profile

ROOT = Path(__file__).parents[2]
SOURCES = sorted([*(ROOT / "rewrites").rglob("*.py"), *(ROOT / "graphs").rglob("*.py")])
FAMILIES = re.compile(r"rf-?_?detr|d-?_?fine|rt-?_?detr|lw-?_?detr|deim|dinov?\d|hgnet", re.IGNORECASE)


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_model_is_named_and_files_are_short(path: Path) -> None:
    text = path.read_text()
    assert not FAMILIES.findall(text.replace("define", ""))
    assert len(text.splitlines()) < 400


@pytest.mark.parametrize("step", [*NORMALISE, *IN_EACH_GRAPH], ids=lambda step: step.name)
def test_every_pass_explains_itself(step: driver.Step) -> None:
    for part in ("Hazard", "Identit", "Given", "Result", "not fire"):
        assert part.lower() in step.document.lower() or (part == "not fire" and "Refuses" in step.document), part
    assert step.reason and (ROOT / "rewrites" / f"{step.name}.py").exists()


def test_each_pass_is_in_the_pipeline_once() -> None:
    names = [step.name for step in (*NORMALISE, *IN_EACH_GRAPH)]
    assert len(set(names)) == len(names)
    assert all((ROOT / "tests" / "rewrites" / f"test_{name}.py").exists() for name in names)


class Block(nn.Module):
    """A mixed graph: convolution and norm, attention, layer scale, sampling, a clamp."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 8, 4, stride=4), nn.BatchNorm2d(8)
        self.norm, self.qkv, self.out = nn.LayerNorm(8), nn.Linear(8, 24), nn.Linear(8, 8)
        self.scale = nn.Parameter(torch.rand(8))

    def forward(self, image: Tensor) -> Tensor:
        tokens = self.bn(self.conv(image)).flatten(2).transpose(1, 2)
        q, k, v = self.qkv(self.norm(tokens)).view(1, 16, 3, 2, 4).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(1, 16, 8)
        tokens = tokens + self.out(mixed) * self.scale
        memory = tokens.transpose(1, 2).view(1, 8, 4, 4)
        points = (tokens[..., :4].view(1, 16, 2, 2).sigmoid() * 2 - 1).clamp(-1, 1)
        sampled = (F.grid_sample(memory, points, align_corners=False) * tokens[:, None, :, 4:6].softmax(-1)).sum(-1)
        return sampled.transpose(1, 2).clamp(0, 1)


def test_the_whole_pipeline_on_a_mixed_graph() -> None:
    image = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    module = Block().eval()
    graph_module = traced(module, image)
    reports = [report for steps in (NORMALISE, IN_EACH_GRAPH) for report in driver.run(steps, graph_module, Profile())]
    torch.testing.assert_close(graph_module(image)[0], module(image), atol=1e-5, rtol=0)
    fired = {report.name for report in reports if report.fired}
    assert {"fold_batch_norm", "lower_attention", "fold_sampling", "fold_scales", "split_clamp", "reduce_rank"} <= fired
    assert all(report.ops_before > 0 and report.reason for report in reports)
    assert all(a.ops_after == b.ops_before for a, b in pairwise(reports))


def test_emitted_nodes_keep_the_module_and_name_the_rewrite() -> None:
    graph_module = traced(Block(), torch.zeros(1, 3, 16, 16))
    source = next(n for n in graph_module.graph.nodes if n.target is aten.conv2d.default)
    emitted = Emitter(graph_module, source)(aten.relu.default, source.args[0])
    assert module_of(emitted) == module_of(source) == "conv"
    stamp([emitted], "a_rewrite")
    assert provenance_of(emitted).rewrites == ("a_rewrite",) and emitted.meta["val"].shape == (1, 3, 16, 16)


def test_a_refusal_names_its_location() -> None:
    graph_module = traced(Block(), torch.zeros(1, 3, 16, 16))
    source = next(n for n in graph_module.graph.nodes if n.target is aten.conv2d.default)
    error = RewriteRefusedError(source, "a reason", "a hint")
    assert str(error) == "aten.conv2d.default [1, 8, 4, 4] at conv2d in conv: a reason; a hint"


def test_ops_are_imported_under_one_name() -> None:
    graph_module = traced(lambda x: torch.concat([x.view(4, 3), x.view(4, 3)], 1), torch.zeros(3, 4))
    assert {n.target for n in graph_module.graph.nodes if n.op == "call_function"} == {aten.reshape.default, aten.cat.default}


def test_a_traced_graph_runs_before_any_rewrite_and_owns_only_what_it_reads() -> None:
    class Unused(Block):
        def __init__(self) -> None:
            super().__init__()
            self.only_for_training = nn.Linear(8, 8)

    image = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    module = Unused().eval()
    graph_module = traced(module, image)
    torch.testing.assert_close(graph_module(image)[0], module(image), atol=1e-6, rtol=0)
    assert not [name for name, _ in graph_module.named_buffers() if "training" in name]
