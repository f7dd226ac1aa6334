"""Faults in the graph that masks come from: the gate that must fail, and what it names."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from torch import fx

from detr2litert.convert.compiler import CompiledDetector, compile_detector
from detr2litert.convert.models.reference import Reference, build_reference
from detr2litert.convert.proof.equivalence import check_rewrites
from detr2litert.convert.targets import find_target
from detr2litert.graphs import mask_product
from detr2litert.graphs.native_ops import GATHER_ROWS
from detr2litert.graphs.toolbox import Emitter, aten, calls
from detr2litert.verify.gates import Verdict
from tests.convert.planted.fault import Mutation
from tests.convert.shrunken import shrunken

PORTABLE = replace(find_target("pixel").profile, native_form=False)


@pytest.fixture(scope="module")
def reference() -> Reference:
    return build_reference(shrunken("seg-nano"))


def compiled(reference: Reference) -> tuple[CompiledDetector, dict[str, np.ndarray]]:
    made = compile_detector(reference, PORTABLE)
    return made, made.evaluate(reference.example_input())


def _next_query(product: fx.GraphModule) -> int:
    """Each index is that of the query after."""
    (gather,) = calls(product, GATHER_ROWS)
    table = gather.args[0]
    emit = Emitter(product, gather)
    parts = [emit(aten.slice.Tensor, table, 0, 1, 10**6), emit(aten.slice.Tensor, table, 0, 0, 1)]
    gather.args = (emit(aten.cat.default, parts, 0), gather.args[1])
    return 1


def _no_bias(product: fx.GraphModule) -> int:
    (add,) = calls(product, aten.add.Tensor)
    add.replace_all_uses_with(add.all_input_nodes[0])
    return 1


def _transposed(product: fx.GraphModule) -> int:
    cells = next(node for node in product.graph.nodes if node.name == mask_product.CELLS)
    reader = next(iter(cells.users))
    reader.replace_input_with(cells, Emitter(product, reader)(aten.permute.default, cells, [0, 2, 1, 3]))
    return 1


IN_THE_PRODUCT: dict[str, Mutation] = {
    "another query's mask": _next_query,
    "the bias is lost": _no_bias,
    "rows and columns are exchanged": _transposed,
}


@pytest.mark.slow
def test_without_a_fault_the_gate_rewrites_passes_and_has_compared_masks(reference: Reference) -> None:
    result = check_rewrites(reference, *compiled(reference))
    assert result.verdict is Verdict.PASSED, result.summary
    assert any("/ masks: rewritten vs original (first picture)" in item.subject for item in result.measurements)


@pytest.mark.slow
@pytest.mark.plants
@pytest.mark.parametrize("name", IN_THE_PRODUCT)
def test_the_gate_rewrites_names_the_cut_of_the_masks(name: str, reference: Reference, monkeypatch: pytest.MonkeyPatch) -> None:
    original = mask_product._product

    def wrong(*arguments: object) -> fx.GraphModule:
        product = original(*arguments)  # type: ignore[arg-type]
        assert IN_THE_PRODUCT[name](product) == 1
        return product

    monkeypatch.setattr(mask_product, "_product", wrong)
    result = check_rewrites(reference, *compiled(reference))
    assert result.verdict is Verdict.FAILED
    assert re.search("masks differs from the original's.*first wrong: the cut of the masks", result.summary), result.summary
