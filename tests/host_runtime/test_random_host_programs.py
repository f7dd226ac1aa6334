"""The 300 random programs cover what they must, and NumPy gives values or a one-line refusal for each."""

from __future__ import annotations

from collections import Counter

import pytest
from outside_programs import OUTSIDE
from random_host_programs import COUNT, Case, random_cases

from detr2litert.host_runtime.host_table import host_table


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    return list(random_cases())


def test_most_are_the_compilers_and_every_outside_one_is_met(cases: list[Case]) -> None:
    outside = [case.name.partition("_")[2] for case in cases if "_" in case.name]
    assert len(cases) == COUNT == 300 and len(outside) == 120
    assert set(outside) == set(OUTSIDE)
    assert Counter(case.refused for case in cases) == {"": 193, "made": 103, "run": 4}


def test_every_op_is_computed(cases: list[Case]) -> None:
    computed = Counter(op["op"] for case in cases if not case.refused for op in case.program["ops"])
    rare = {op: computed[op] for op in host_table().ops if computed[op] <= 15}
    assert not rare, f"too few programs compute {rare}: bound its inputs in LIMITS of tests/host_runtime/host_cases.py"


def test_a_refusal_is_one_line_that_says_where(cases: list[Case]) -> None:
    for case in cases:
        if case.refused:
            assert "\n" not in case.message and len(case.message) < 400, case.message
            assert case.message.startswith(("host step op ", "the host step's ", "at $")), case.message


def test_what_no_compiler_emits_is_refused(cases: list[Case]) -> None:
    refused = {case.name.partition("_")[2]: case.refused for case in cases if "_" in case.name}
    for name in ("where", "reduce_max", "bool_input", "int64_indices", "int_add", "k_zero", "layer_norm_of_scalar"):
        assert refused[name] == "made", name
    assert refused["gather_on_scalar"] == "made" and refused["index_beyond"] == "run"
