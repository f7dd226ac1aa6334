"""One trace yields the program of the public API: same operators in the same order, same operands, values and provenance."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, fx, nn
from torch.export import ExportedProgram
from torch.nn import functional

from detr2litert.convert.models.reference import build_reference
from detr2litert.convert.quiet import quiet
from detr2litert.rewrites.program import import_program
from detr2litert.rewrites.trace import trace
from tests.convert.shrunken import shrunken


class Composites(nn.Module):
    """Operators that decompose, unless they are preserved."""

    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(8, 8)
        self.norm = nn.LayerNorm(8)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        q = self.norm(self.project(x)).unflatten(-1, (2, 4)).transpose(1, 2)
        mixed = functional.scaled_dot_product_attention(q, q, q)
        return mixed.softmax(-1), functional.silu(torch.einsum("bhnd,bhmd->bhnm", mixed, q))


class WrittenInPlace(nn.Module):
    """Writes through views, into a clone, into a constant's copy, and of a buffer that two names share."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.linspace(1, 2, 4))
        self.also = self.scale

    def forward(self, x: Tensor) -> Tensor:
        y = x.clone()
        y[..., :2].mul_(self.scale[:2])
        y.select(-1, 3).add_(1.0)
        grid = torch.zeros(4)
        grid[1:3] = self.also[1:3]
        return (y + grid).relu_()


def public_way(module: nn.Module, inputs: tuple[Tensor, ...]) -> ExportedProgram:
    """The same program by PyTorch's public functions, which trace it twice."""
    with torch.no_grad():
        return torch.export.export(module, inputs).run_decompositions({})


def normalised(graph_module: fx.GraphModule) -> list[tuple[Any, ...]]:
    """A graph's nodes with positions in place of names, whose numbering differs between the two."""
    nodes = list(graph_module.graph.nodes)
    position = {node: number for number, node in enumerate(nodes)}

    def of(node: fx.Node) -> tuple[Any, ...]:
        operands = fx.map_arg((node.args, node.kwargs), lambda operand: ("node", position[operand]))
        value = node.meta.get("val")
        shape = (value.shape, value.stride(), value.dtype) if isinstance(value, Tensor) else None
        target = getattr(graph_module, str(node.target)).data_ptr() if node.op == "get_attr" else node.target
        return node.op, target, repr(operands), shape, repr(node.meta.get("nn_module_stack"))

    return [of(node) for node in nodes]


@pytest.mark.parametrize("module", [Composites(), WrittenInPlace()], ids=lambda module: type(module).__name__)
def test_one_trace_equals_the_public_api(module: nn.Module) -> None:
    inputs = (torch.randn(1, 6, 8 if isinstance(module, Composites) else 4),)
    module = module.eval().requires_grad_(False)
    once, publicly = (import_program(program(module, inputs)) for program in (trace, public_way))
    assert normalised(once) == normalised(publicly)
    assert not any(
        node.target._schema.is_mutable for node in once.graph.nodes if isinstance(node.target, torch._ops.OpOverload)
    )
    for ours, theirs in zip(once(*inputs), publicly(*inputs), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize(
    "name",
    [
        "tiny",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("dfine-n", "rtdetrv2-r18", "lwdetr-tiny", "deimv2-atto")),
    ],
)
def test_a_detector_of_each_family(name: str) -> None:
    reference = build_reference(shrunken(name))
    inputs = (reference.example_input(),)
    with quiet():
        once, publicly = (normalised(import_program(way(reference.module, inputs))) for way in (trace, public_way))
    assert once == publicly
