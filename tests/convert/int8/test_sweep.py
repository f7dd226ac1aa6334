"""Which blocks there are, and which of them the sweep chooses."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from detr2litert.convert.int8.blocks import Block, divide
from detr2litert.convert.int8.sweep import bound_of, sweep
from detr2litert.verify.report.static_int8 import Sweep

LAYERS = {
    **{f"q{i}": f"model.layer.{i}.attention.q" for i in range(4)},
    **{f"k{i}": f"model.layer.{i}.attention.k" for i in range(4)},
    **{f"m{i}": f"model.layer.{i}.mlp" for i in range(4)},
    "own": "model",
    "head": "model.head",
    "nameless": "",
}
LOSSES = {"a": 0.001, "b": 0.02, "c": 0.0001, "d": 0.0012}
BLOCKS = tuple(Block(name, (f"{name}0", f"{name}1")) for name in LOSSES)


def names(most: int) -> dict[str, int]:
    return {block.name: len(block.operators) for block in divide(LAYERS, most)}


def test_blocks_are_modules_and_what_is_left_of_them() -> None:
    whole = {"(root)": 1, "model": 1, "model.head": 1}
    assert len(names(16)) == len(LAYERS)
    # A share of 15 operators in 8 blocks is two, and three are no more than twice that.
    assert names(8) == {f"model.layer.{number}": 3 for number in range(4)} | whole
    assert names(1) == {"(root)": 15} and names(5) == {"model.layer": 12, **whole}
    for most in range(1, 30):
        found = divide(LAYERS, most)
        assert len(found) <= most
        assert sorted(name for block in found for name in block.operators) == sorted(LAYERS)


def test_blocks_are_in_the_order_of_the_graph() -> None:
    places = list(LAYERS)
    firsts = [places.index(block.operators[0]) for block in divide(LAYERS, 16)]
    assert firsts == sorted(firsts)
    assert divide({}, 16) == ()


class Measured:
    """A graph whose losses add up to that of dynamic range; records what was measured."""

    def __init__(self, dynamic: float, **losses: float) -> None:
        self.dynamic, self.losses = dynamic, {**LOSSES, **losses}
        self.asked: list[tuple[str, bool]] = []

    def __call__(self, blocks: Sequence[Block], others: bool) -> float:
        self.asked.append(("".join(block.name for block in blocks), others))
        return 1.0 - sum(self.losses[block.name] for block in blocks) - (self.dynamic if others else 0.0)


def chosen(result: Sweep) -> str:
    return "".join(block.name for block in result.blocks if block.static)


def test_static_int8_may_lose_as_much_again_as_dynamic_range() -> None:
    assert bound_of(0.998) == pytest.approx(0.996)
    assert bound_of(0.99999) == 0.999 and bound_of(0.99) == 0.995 and bound_of(0.5) == 0.995 and bound_of(math.nan) == 0.995


def test_every_block_is_measured_alone_and_all_together() -> None:
    measure = Measured(0.001, b=0.0, d=0.0, a=0.0004)
    result = sweep("graph_a", BLOCKS, measure)
    assert measure.asked == [("", True), ("a", False), ("b", False), ("c", False), ("d", False), ("bdca", True)]
    assert chosen(result) == "abcd" and result.floats == ()
    assert {block.name: block.loss for block in result.blocks} == pytest.approx({**LOSSES, "b": 0.0, "d": 0.0, "a": 0.0004})
    assert (result.agreement, result.dynamic, result.bound) == pytest.approx((0.9985, 0.999, 0.998))
    assert result.describe() == "4 of 4 blocks static, lowest agreement with float32 0.9985 (dynamic range 0.9990)"


@pytest.mark.parametrize(
    ("dynamic", "expected"),
    [(0.0024, "acd"), (0.0012, "ac"), (0.003, "ac"), (0.0042, "c"), (0.0008, "c"), (0.0, "c"), (0.02, "")],
)
def test_those_that_lose_most_stay_in_floats_and_the_chosen_file_is_measured(dynamic: float, expected: str) -> None:
    measure = Measured(dynamic)
    result = sweep("graph_a", BLOCKS, measure)
    assert chosen(result) == expected and result.floats == tuple(name for name in LOSSES if name not in expected)
    assert result.agreement >= result.bound or not expected
    assert any(set(asked) == set(expected) and others for asked, others in measure.asked)
    assert len(measure.asked) <= 1 + 4 + 3


def test_a_block_whose_outputs_are_not_finite_stays_in_floats() -> None:
    result = sweep("graph_a", BLOCKS, Measured(0.0024, a=math.nan))
    assert chosen(result) == "cd" and result.floats == ("a", "b")
    assert math.isnan(next(block.loss for block in result.blocks if block.name == "a") or 0.0)


def test_what_is_not_measured_in_time_stays_in_floats() -> None:
    seconds = iter(range(0, 1000, 10))
    result = sweep("graph_a", BLOCKS, Measured(0.002, b=0.0), seconds=25, clock=lambda: float(next(seconds)))
    assert chosen(result) == "ab" and [block.loss is None for block in result.blocks] == [False, False, True, True]
    assert "in floats (2 not measured in time): c, d" in result.describe()


def test_a_graph_without_such_operators_is_measured_as_it_is() -> None:
    result = sweep("graph_m", (), Measured(0.0005))
    assert result.blocks == () and result.agreement == pytest.approx(0.9995)
