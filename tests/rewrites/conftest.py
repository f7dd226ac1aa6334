"""The delegate as a fixture."""

from __future__ import annotations

from pathlib import Path

import pytest
from passes import Function, RightOnDelegate, assert_same, evaluate, outputs_of, run_on_delegate, run_pass, traced
from torch import Tensor, nn

from detr2litert.rewrites.contract import Rewrite
from detr2litert.rewrites.profile import Profile
from detr2litert.rewrites.reduce_rank import reduce_rank
from detr2litert.verify.delegate.adapters import Driver


@pytest.fixture
def right_on_delegate(driver: Driver, tmp_path: Path) -> RightOnDelegate:
    """``(passes, module, *inputs, tolerance=1e-5)``: the passes' result is accepted by the delegate, and correct.

    ``reduce_rank`` runs last in every case, as in the pipeline: without it the delegate refuses broadcasts and ranks.
    """

    def check(
        passes: list[Rewrite],
        module: nn.Module | Function,
        *inputs: Tensor,
        tolerance: float = 1e-5,
        profile: Profile | None = None,
    ) -> None:
        graph_module = traced(module, *inputs)
        for rewrite in [*passes, reduce_rank]:
            run_pass(rewrite, graph_module, profile)
        found = outputs_of(run_on_delegate(graph_module, inputs, driver, tmp_path))
        assert_same(found, evaluate(module, *inputs), tolerance)

    return check
