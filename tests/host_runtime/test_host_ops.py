"""Every op of the table exists in three languages, computes what PyTorch computes, and is what its ATen overloads become."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from host_cases import CASES, LIMITS, OpCase, all_cases, is_elementwise
from host_cases import case as single
from torch import fx

from detr2litert.convert.proof.host_reference import compute
from detr2litert.graphs.host_step import HostProgramBuilder, aten_overload
from detr2litert.graphs.op_traits import BINARY, PER_TOKEN
from detr2litert.host_runtime.host_kernels import KERNELS
from detr2litert.host_runtime.host_shapes import SHAPES
from detr2litert.host_runtime.host_table import OpRule, host_table

ROOT = Path(__file__).parents[2]
ALL = all_cases()
OPS = host_table().ops
KOTLIN = "android_sample/core/src/main/kotlin/org/detr2litert/core/host/HostOps.kt"
JAVASCRIPT, JAVASCRIPT_SHAPES = "web_demo/src/host/host_step.js", "web_demo/src/host/shapes.js"

each = pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)


def written(path: str, begin: str, entry: str) -> set[str]:
    """The names of the entries of a table in another language's source, from the line ``begin`` on."""
    lines = (ROOT / path).read_text(encoding="utf-8").split(begin + "\n", 1)[1].splitlines()
    indent = len(lines[0]) - len(lines[0].lstrip())
    found: set[str] = set()
    for line in lines:
        if len(line) - len(line.lstrip()) < indent:
            break
        found |= set(re.findall(rf"^ {{{indent}}}{entry}", line))
    return found


PLACES = {
    "host_runtime/host_kernels.py": set(KERNELS),
    KOTLIN: written(KOTLIN, "    val table: Map<String, OpRule> = mapOf(", r'"(\w+)" to '),
    JAVASCRIPT: written(JAVASCRIPT, "export const KERNELS = {", r"(\w+)[:,]"),
    "tests/host_runtime/host_cases.py": {case.op for case in CASES},
}


@pytest.mark.parametrize("path", PLACES)
def test_every_op_of_the_table_is_in_each_place(path: str) -> None:
    assert not set(OPS) - PLACES[path], f"{path} lacks {sorted(set(OPS) - PLACES[path])}: add what host_ops.json has"
    assert not PLACES[path] - set(OPS), f"host_ops.json lacks {sorted(PLACES[path] - set(OPS))}, which {path} has"


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("host_runtime/host_shapes.py", set(SHAPES)),
        (JAVASCRIPT_SHAPES, written(JAVASCRIPT_SHAPES, "export const SHAPES = {", r"(\w+)[:(]")),
    ],
)
def test_every_shape_rule_of_the_table_exists(path: str, names: set[str]) -> None:
    rules = {rule.shape for rule in OPS.values()}
    assert rules == names, f"{path} and the output shapes of host_ops.json differ: {sorted(rules ^ names)}"


def test_limits_name_ops_and_inputs() -> None:
    assert {(op, name) for op, limits in LIMITS.items() for name in limits} <= {
        (op, item.name) for op, rule in OPS.items() for item in rule.inputs
    }


def test_case_names_differ() -> None:
    assert len({case.name for case in ALL}) == len(ALL)


@each
def test_it_computes_what_pytorch_computes(case: OpCase, recwarn: pytest.WarningsRecorder) -> None:
    found = case.run()
    expected = compute(case.op, [torch.from_numpy(item) for item in case.inputs], case.attributes).numpy()
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    # A sum differs by the order of its terms, so relative to the largest; an elementwise op relative to each value.
    largest = 1.0 if is_elementwise(OPS[case.op]) else max(1.0, float(np.nan_to_num(np.abs(expected), posinf=0).max()))
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=max(case.tolerance, 1e-6) * largest)
    assert not recwarn.list


@pytest.mark.parametrize("op", [name for name, rule in OPS.items() if is_elementwise(rule)])
def test_a_scalar_stays_a_scalar(op: str) -> None:
    assert single(op, *[np.asarray(0.5, np.float32)] * len(OPS[op].inputs)).run().shape == ()


def translations() -> list[Any]:
    """Each case with each ATen overload of its op that has exactly the case's attributes."""
    return [
        pytest.param(case, name, id=f"{case.name}-{name}")
        for case in ALL
        if case.op in OPS
        for name in OPS[case.op].aten
        if set(case.attributes) <= {item.name for item in aten_overload(name)._schema.arguments}
    ]


@pytest.mark.parametrize(("case", "overload"), translations())
def test_its_aten_overloads_become_it(case: OpCase, overload: str) -> None:
    graph = fx.Graph()
    names = {graph.placeholder(name): name for name in case.names}
    node = graph.call_function(aten_overload(overload), tuple(names), dict(case.attributes))
    builder = HostProgramBuilder(fx.GraphModule({}, graph), names)
    builder.translate(node)
    (op,) = builder.finish(case.names, (node.name,)).program.ops
    assert (op.op, op.inputs) == (case.op, case.names)
    assert with_defaults(OPS[case.op], op.attributes) == with_defaults(OPS[case.op], case.attributes)


def with_defaults(rule: OpRule, attributes: Any) -> dict[str, Any]:
    """The attributes with the defaults of the op's ATen overload; those that are None are left out."""
    schema = aten_overload(rule.aten[0])._schema.arguments
    defaults = {item.name: item.default_value for item in schema if item.name in rule.attributes}
    return {name: value for name, value in (defaults | dict(attributes)).items() if value is not None}


def test_every_aten_overload_is_met_by_a_case() -> None:
    met = {param.values[1] for param in translations()}
    assert met == {name for rule in OPS.values() for name in rule.aten}


def test_the_gathers_are_hoisted_across_every_aten_overload() -> None:
    stopped = [name for rule in OPS.values() for name in rule.aten if aten_overload(name) not in (*PER_TOKEN, *BINARY)]
    assert not stopped, f"graphs/op_traits.py lacks a trait for {stopped}: the op would never reach the host step"


def test_no_aten_overload_becomes_two_ops() -> None:
    names = [name for rule in OPS.values() for name in rule.aten]
    assert sorted(names) == sorted(set(names))


def test_an_import_does_not_read_the_table() -> None:
    code = """
from detr2litert.graphs import host_step
from detr2litert.host_runtime import host_table, runner
assert host_table.host_table.cache_info().misses == 0
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
