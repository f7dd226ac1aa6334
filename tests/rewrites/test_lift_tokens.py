"""Token tensors as maps."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from passes import assert_same, evaluate, ops, outputs_of, run_on_delegate, run_pass, traced, write_model
from torch import Tensor, fx, nn
from torch.nn import functional as F

from detr2litert.graphs.token_map import map_shape
from detr2litert.graphs.toolbox import aten, calls, module_of, sizes, value_of
from detr2litert.host_runtime.tflite.graph import read_graph
from detr2litert.rewrites.contract import Rewrite
from detr2litert.rewrites.evaluate_constants import evaluate_constants
from detr2litert.rewrites.lift_tokens import lift_tokens
from detr2litert.rewrites.profile import Profile
from detr2litert.rewrites.protect_layer_norm import protect_layer_norm
from detr2litert.rewrites.reduce_rank import reduce_rank
from detr2litert.rewrites.remove_identities import remove_identities
from detr2litert.verify.delegate.adapters import Driver
from detr2litert.verify.lint.op_lint import lint_file

GENERATOR = torch.Generator().manual_seed(0)
MAPS = Profile(token_maps=True)
X = torch.randn(1, 12, 16, generator=GENERATOR)
POSITIONS = torch.randn(1, 12, 16, generator=GENERATOR)


class Layer(nn.Module):
    """A transformer layer with a leading class token, position embeddings, and its tokens split at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.LayerNorm(16), nn.LayerNorm(16)
        self.qkv, self.out, self.up, self.down = nn.Linear(16, 48), nn.Linear(16, 16), nn.Linear(16, 32), nn.Linear(32, 16)
        self.token = nn.Parameter(torch.randn(1, 3, 16, generator=GENERATOR))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = torch.cat([self.token, self.out(x) + POSITIONS], 1)
        q, k, v = self.qkv(self.first(x)).view(1, 15, 3, 2, 8).permute(2, 0, 3, 1, 4)
        x = x + self.out((((q @ k.transpose(-1, -2)) * 0.3).softmax(-1) @ v).transpose(1, 2).reshape(1, 15, 16))
        x = x + self.down(F.gelu(self.up(self.second(x))))
        return x[:, :3], x[:, 3:].transpose(1, 2).reshape(1, 16, 3, 4)


def lifted(module: nn.Module, *inputs: Tensor, before: tuple[Rewrite, ...] = ()) -> tuple[fx.GraphModule, int]:
    """Checks that reduced and lifted is bit-equal to only reduced; returns the graph and how often the pass fired."""
    graph_module = traced(module, *inputs)
    for rewrite in (remove_identities, *before, reduce_rank):
        run_pass(rewrite, graph_module, MAPS)
    reference = evaluate(graph_module, *inputs)
    fired = run_pass(lift_tokens, graph_module, MAPS)
    assert all(site.node and site.detail for site in fired)
    assert_same(evaluate(graph_module, *inputs), reference)
    again = ops(graph_module)
    assert run_pass(lift_tokens, graph_module, MAPS) == [] and ops(graph_module) == again
    return graph_module, len(fired)


class Applied(nn.Module):
    def __init__(self, function: object) -> None:
        super().__init__()
        self._function = function

    def forward(self, *inputs: Tensor) -> Tensor:
        result: Tensor = self._function(*inputs)  # type: ignore[operator]
        return result


def fan_outs(graph_module: fx.GraphModule) -> list[str]:
    """Computed tensors of rank three with two or more uses."""
    return [n.name for n in graph_module.graph.nodes if n.op == "call_function" and value_of(n).dim() == 3 and len(n.users) > 1]


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((1, 40, 96), [1, 5, 8, 96]),
        ((1, 576, 384), [1, 24, 24, 384]),
        ((1, 580, 384), [1, 20, 29, 384]),
        ((1, 257, 8), [1, 1, 257, 8]),
        ((1, 1, 8), [1, 1, 1, 8]),
        ((4, 65, 8), [1, 4, 65, 8]),
    ],
)
def test_the_sides_of_a_map(shape: tuple[int, int, int], expected: list[int]) -> None:
    assert map_shape(shape) == expected


@pytest.mark.parametrize("norm", [(), (protect_layer_norm,)], ids=["plain norms", "safe norms"])
def test_fires_on_a_layer(norm: tuple[Rewrite, ...]) -> None:
    graph_module, fired = lifted(Layer().eval(), X, before=norm)
    assert fired > 10 and not fan_outs(graph_module)
    made = [n for n in graph_module.graph.nodes if n.op == "call_function" and value_of(n).dim() == 3]
    # The only remaining tensor of rank three is the output.
    assert [n.target for n in made] == [aten.reshape.default] and not fan_outs(graph_module)
    assert {tuple(value_of(n).shape[1:3]) for n in calls(graph_module, aten.linear.default)} >= {(3, 4), (3, 5)}


RESHAPE = aten.reshape.default


class Windows(nn.Module):
    """Blocks over all tokens between blocks over four windows of ten."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.one, self.other = nn.LayerNorm(16), nn.Linear(16, 16), nn.Linear(16, 16)

    def block(self, x: Tensor) -> Tensor:
        y = self.norm(x)
        return x + self.other((y @ self.one(y).transpose(1, 2)).softmax(-1) @ y)

    def forward(self, x: Tensor) -> Tensor:
        x = self.block(x).reshape(1, 40, 16)
        return self.block(self.block(x).reshape(4, 10, 16)).reshape(1, 40, 16).sin()


def test_a_map_of_all_tokens_has_the_sides_of_its_windows() -> None:
    graph_module, _ = lifted(Windows().eval(), torch.randn(4, 10, 16, generator=GENERATOR))
    layers = [tuple(value_of(n).shape) for n in calls(graph_module, aten.linear.default)]
    assert layers == [(1, 4, 10, 16)] * 6
    moved = [(sizes(value_of(n.all_input_nodes[0]).shape), sizes(value_of(n).shape)) for n in calls(graph_module, RESHAPE)]
    assert [shapes for shapes in moved if shapes[0] != shapes[1]] == [
        ([4, 10, 16], [1, 4, 10, 16]),  # the input
        ([1, 4, 10, 16], [1, 1, 40, 16]),  # both operands of a product of all tokens, and its result
        ([1, 4, 10, 16], [1, 1, 40, 16]),
        ([1, 1, 40, 16], [1, 4, 10, 16]),
        ([1, 4, 10, 16], [1, 40, 16]),  # the output
    ]


def test_most_views_decide() -> None:
    def views(x: Tensor) -> Tensor:
        y = x.sin()
        return y.view(5, 8, 16).cos() @ y.view(5, 8, 16).exp().transpose(1, 2) + y.view(4, 10, 16).tanh().mean((0, 1, 2))

    graph_module, _ = lifted(Applied(views), torch.randn(1, 40, 16, generator=GENERATOR))
    (sine,) = calls(graph_module, aten.sin.default)
    assert sizes(value_of(sine).shape) == [1, 5, 8, 16]


FUNCTIONS = {
    "numbers and broadcasts": lambda x, y: (2 - x) * y[:, :1] + x[..., :1] / 3 + y.clamp(-1, 1),
    "an outer sum": lambda x, y: torch.relu(x[..., :1] - y[:, 0, None, :]),
    "constants": lambda x, y: (x + POSITIONS) * POSITIONS[:, :, :1] + POSITIONS[0, 0] * y,
    "slices and joins": lambda x, y: (
        torch.cat([x[:, 2:5], y[:, 1:]], 1).sin() + torch.cat([x, y], 2)[:, 1:, 3:19].repeat(1, 2, 1)[:, :14]
    ),
    "reductions": lambda x, y: x.amax(-1, keepdim=True) * y.mean(1, keepdim=True) + (x * y).sum(2, keepdim=True),
    "softmax": lambda x, y: (x * y).softmax(-1) + (x + y).softmax(1),
    "products": lambda x, y: (x @ y.transpose(1, 2)).sigmoid() @ (x * 2),
    "a step to rank four": lambda x, y: (
        (x * y)[:, None] + (x - y).view(1, 12, 4, 4).transpose(1, 2).reshape(1, 4, 12, 4).repeat(1, 1, 1, 4)
    ),
    "a step to rank two": lambda x, y: (x * y)[0].softmax(-1) + (x + y)[0],
    "tokens first": lambda x, y: (x * y).transpose(0, 1).exp() + (x + y).transpose(0, 1),
    "batches": lambda x, y: torch.cat([x, y], 0).sin() + torch.stack([y[0], x[0]]) * POSITIONS,
    "a prime number of tokens": lambda x, y: (x[:, :11] * y[:, 1:]).sin() * x[:, :11],
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_is_exact(name: str) -> None:
    graph_module, fired = lifted(Applied(FUNCTIONS[name]), X, POSITIONS.flip(1) + 0.5)
    assert fired and not fan_outs(graph_module)


@pytest.mark.parametrize(
    ("module", "x", "profile"),
    [
        (Layer(), X, Profile()),
        (nn.Conv2d(1, 4, 3), X[None], MAPS),
        (Applied(lambda x: x.sin() + x[:1]), X[0], MAPS),
    ],
    ids=["no token maps", "maps already", "rank two"],
)
def test_does_not_fire(module: nn.Module, x: Tensor, profile: Profile) -> None:
    graph_module = traced(module, x)
    for rewrite in (remove_identities, reduce_rank):
        run_pass(rewrite, graph_module)
    before = graph_module.print_readable(print_output=False)
    assert run_pass(lift_tokens, graph_module, profile) == []
    assert graph_module.print_readable(print_output=False) == before


def test_an_unknown_op_keeps_its_shape() -> None:
    graph_module = traced(Applied(lambda x: x.sin().cumsum(1).cos()), X)
    fired = run_pass(lift_tokens, graph_module, MAPS)
    assert len(fired) == 2
    (unknown,) = calls(graph_module, aten.cumsum.default)
    assert sizes(value_of(unknown).shape) == [1, 12, 16]
    assert_same(evaluate(graph_module, X), (X.sin().cumsum(1).cos(),))


def test_keeps_the_module_and_the_signature() -> None:
    graph_module, _ = lifted(Layer().eval(), X)
    assert {module_of(n) for n in calls(graph_module, aten.linear.default)} == {"qkv", "out", "up", "down"}
    (placeholder,) = (n for n in graph_module.graph.nodes if n.op == "placeholder")
    assert sizes(value_of(placeholder).shape) == [1, 12, 16]
    assert [tuple(t.shape) for t in evaluate(graph_module, X)] == [(1, 3, 16), (1, 16, 3, 4)]


def test_the_file_keeps_the_rule(tmp_path: Path) -> None:
    """The converter canonicalises reshapes, so the converted file is checked."""
    counts = {}
    for maps in (False, True):
        graph_module = traced(Layer().eval(), X)
        for rewrite in (remove_identities, protect_layer_norm, reduce_rank, lift_tokens):
            run_pass(rewrite, graph_module, Profile(token_maps=maps))
        model = write_model(graph_module, (X,), tmp_path / f"{maps}.tflite")
        findings = lint_file(model, add=["token-fan-out"])
        counts[maps] = (len(findings), len(read_graph(model).ops))
        assert {f.rule for f in findings} <= {"token-fan-out"}
    assert counts[False][0] > 5 and counts[True][0] == 0
    assert counts[True][1] <= counts[False][1] + 8


LINEAR = nn.Linear(16, 16)
PADDED = Applied(lambda x: F.pad(x.tanh(), (0, 0, 1, 2)))
PAIR = torch.cat([X, X.flip(1)])


@pytest.mark.parametrize(
    ("module", "x", "rules"),
    [
        (PADDED, PAIR, ["pad-rank-3"]),
        # The converter's linear layer has two dimensions, which the rule constant-low-rank finds; ours keeps its input's three.
        (Applied(lambda x: LINEAR(x) + POSITIONS), X, []),
    ],
    ids=["padding", "linear layer"],
)
def test_hazards_of_rank_three_are_removed(module: nn.Module, x: Tensor, rules: list[str], tmp_path: Path) -> None:
    """One that WebGPU has, and one that the lowering avoids, in the converted file before any fix-up."""
    found = []
    for maps in (False, True):
        graph_module = traced(module, x)
        run_pass(lift_tokens, graph_module, Profile(token_maps=maps))
        write_model(graph_module, (x,), tmp_path / f"{maps}.tflite")
        found.append([f.rule for f in lint_file(tmp_path / f"{maps}.raw.tflite")])
    assert found == [rules, []]


@pytest.mark.gpu
def test_a_padded_batch_is_correct_as_a_map_only(driver: Driver, tmp_path: Path) -> None:
    module, x = PADDED, PAIR
    graph_module = traced(module, x)
    (flat,) = outputs_of(run_on_delegate(graph_module, (x,), driver, tmp_path))
    assert not torch.allclose(flat, module(x), atol=0.1)
    run_pass(lift_tokens, graph_module, MAPS)
    assert_same(outputs_of(run_on_delegate(graph_module, (x,), driver, tmp_path)), evaluate(module, x), 1e-3)


@pytest.mark.gpu
def test_delegate(driver: Driver, tmp_path: Path) -> None:
    """Without ``right_on_delegate``, which would reduce the ranks again after the pass."""
    module = Layer().eval()
    graph_module, _ = lifted(module, X, before=(protect_layer_norm,))
    assert_same(outputs_of(run_on_delegate(graph_module, (X,), driver, tmp_path)), evaluate(module, X), 1e-5)


@pytest.mark.parametrize("shape", [(1, 1, 6), (1, 4, 6), (3, 4, 6)])
def test_a_constant_concatenated_along_the_channels_is_lifted_too(shape: tuple[int, ...]) -> None:
    constant = torch.randn(*shape[:2], 7, generator=GENERATOR)
    graph_module = traced(lambda x: torch.cat([x * 2, constant * 1], -1).relu() + 1, torch.randn(shape))
    x = torch.randn(shape, generator=GENERATOR)
    expected = evaluate(graph_module, x)
    for rewrite in (evaluate_constants, reduce_rank, lift_tokens):
        run_pass(rewrite, graph_module, MAPS)
    assert_same(evaluate(graph_module, x), expected)
