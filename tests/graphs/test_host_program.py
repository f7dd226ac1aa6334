"""The host step as data computes what PyTorch computes."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from detectors import CHANNELS, SELECTED, TwoStage, assert_equal_to_the_whole, cut, image
from torch import Tensor
from torch.nn import functional as F

from detr2litert.convert.proof import host_reference
from detr2litert.graphs.partition import Layout
from detr2litert.graphs.toolbox import RewriteRefusedError
from detr2litert.host_runtime.host_table import host_table


class WithTail(TwoStage):
    """A detector whose boxes go through one more per-token function before they are selected."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self._function = function

    def propose(self, memory: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        encoded, scores, boxes = super().propose(memory)
        return encoded, scores, self._function(boxes)


def inverse_sigmoid(x: Tensor) -> Tensor:
    x = x.sigmoid().clamp(min=0, max=1)
    return torch.log(x.clamp(min=1e-5) / (1 - x).clamp(min=1e-5))


CASES: list[tuple[Callable[[Tensor], Tensor], str]] = [
    (torch.relu, "relu"),
    (F.silu, "silu"),
    (F.gelu, "gelu"),
    (lambda b: F.gelu(b, approximate="tanh"), "gelu"),
    (torch.sigmoid, "sigmoid"),
    (lambda b: b.clamp(-1, 1).exp(), "exp"),
    (inverse_sigmoid, "log"),
    (lambda b: torch.clamp_max(torch.clamp_min(b, -0.5), 0.7), "clamp"),
    (lambda b: 1 - b, "sub"),
    (lambda b: b - 0.1234567, "sub"),
    (lambda b: (b * 0.1234567) / 0.1234568 + 1e-5, "div"),
    (lambda b: torch.maximum(b, b[..., :1]) + torch.minimum(b[..., 1:2], b), "maximum"),
    (lambda b: torch.cat([b[..., 2:], b[..., :2] * b[..., 2:].exp()], -1), "concat"),
    (lambda b: F.layer_norm(b, [4], eps=1e-3), "layer_norm"),
]


@pytest.mark.parametrize(("function", "op"), CASES)
def test_ops(function: Callable[[Tensor], Tensor], op: str) -> None:
    parts = cut(WithTail(function), image(), Layout.TAIL)
    assert op in {o.op for o in parts.host.program.ops}
    assert_equal_to_the_whole(parts, WithTail(function), image(), 2e-6)


def test_the_program_is_in_single_assignment_form() -> None:
    part = cut(TwoStage(), image(), Layout.TAIL).host
    host = part.program
    known = {*host.inputs, *part.constants}
    assert [spec.name for spec in host.constants] == list(part.constants)
    assert host.inputs[0] == "enc_scores" and host.ops[0].op == "topk"
    assert host.ops[0].attributes == {"k": SELECTED, "axis": 1}
    for op in host.ops:
        assert set(op.inputs) <= known and op.output not in known
        known.add(op.output)
    assert set(host.outputs) <= known


def test_every_op_of_the_table_is_emitted_and_has_a_reference_in_pytorch() -> None:
    by_name = {name for name, rule in host_table().ops.items() if rule.aten}
    parts = cut(WithTail(lambda b: b * b[..., :1]), image(), Layout.TAIL, token_maps=True)
    by_code = {op for _, op in CASES} | {op.op for op in parts.host.program.ops}
    for path, names in (("graphs/host_step.py", by_code), ("convert/proof/host_reference.py", set(host_reference._OPS))):
        missing = set(host_table().ops) - by_name - names
        assert not missing, f"{sorted(missing)}: give it an ATen overload in host_ops.json, or code in {path}"
    assert by_code <= set(host_table().ops)
    assert not by_name & set(host_reference._OPS)


def test_whole_numbers_of_a_buffer_become_float32() -> None:
    module = WithTail(lambda b: b * torch.tensor([1, 2, 3, 4]))
    parts = cut(module, image(), Layout.TAIL)
    assert {spec.dtype for spec in parts.host.program.constants} == {"float32"}
    assert_equal_to_the_whole(parts, module, image(), 2e-6)


def test_numbers_that_print_alike_stay_separate() -> None:
    host = cut(WithTail(lambda b: b * 0.12345671 + 0.12345672), image(), Layout.TAIL).host
    numbers = sorted(float(v) for name, v in host.constants.items() if name.startswith("number_"))
    assert len(numbers) == 2


@pytest.mark.parametrize(
    ("function", "op"),
    [
        (lambda b: torch.add(b, b, alpha=2), "aten.add.Tensor"),
        (lambda b: torch.rsub(b, 1, alpha=2), "aten.rsub.Scalar"),
        (lambda b: torch.cat([b, b], -1)[..., ::2], "aten.slice.Tensor"),
        (F.hardswish, "aten.hardswish.default"),
        (lambda b: F.layer_norm(b, [4], None, torch.ones(4)), "aten.layer_norm.default"),
        (lambda b: F.layer_norm(b, [4], eps=2.0), "aten.layer_norm.default"),
        (lambda b: b.clamp(min=-math.inf), "aten.clamp.default"),
    ],
)
def test_refusals(function: Callable[[Tensor], Tensor], op: str) -> None:
    with pytest.raises(RewriteRefusedError) as caught:
        cut(WithTail(function), image(), Layout.TAIL)
    error = caught.value
    assert error.op == op and error.shape == f"[1, {SELECTED}, 4]" and error.node and error.hint
    assert CHANNELS and str(error).endswith(error.hint)
