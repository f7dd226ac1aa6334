"""The equivalence gate: which outputs count as the original's."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from detr2litert.convert.compiler import compile_detector, evaluate_parts
from detr2litert.convert.models.settings.setting import Size
from detr2litert.convert.proof.compared_outputs import in_order
from detr2litert.convert.proof.equivalence import check_rewrites
from detr2litert.host_runtime import host_kernels
from detr2litert.host_runtime.selection import topk_indices
from detr2litert.rewrites import iterate_topk
from detr2litert.rewrites.profile import Profile
from detr2litert.verify.gates import GateResult, Verdict
from tests.convert.planted.compiler_faults import masks_all_equal_values

GENERATOR = np.random.default_rng(0)
BOXES = GENERATOR.random((1, 6, 4), np.float32)
LOGITS = GENERATOR.standard_normal((1, 6, 3)).astype(np.float32)
EXPECTED = {"boxes": BOXES, "logits": LOGITS}


def moved(order: list[int]) -> dict[str, np.ndarray]:
    return {name: value[:, order] for name, value in EXPECTED.items()}


def test_equal_outputs_are_unchanged() -> None:
    found, count = in_order(EXPECTED, EXPECTED)
    assert count == 0
    assert all((found[name] == EXPECTED[name]).all() for name in EXPECTED)


def test_reordered_queries_are_restored_and_counted() -> None:
    found, count = in_order(moved([0, 2, 1, 3, 5, 4]), EXPECTED)
    assert count == 4
    assert all((found[name] == EXPECTED[name]).all() for name in EXPECTED)


def test_a_duplicate_query_is_not_a_permutation() -> None:
    given = moved([0, 0, 1, 2, 3, 4])
    found, count = in_order(given, EXPECTED)
    assert count == 0
    assert (found["boxes"] == given["boxes"]).all()


def test_boxes_and_logits_of_different_queries_are_not_a_permutation() -> None:
    given = {"boxes": BOXES[:, ::-1], "logits": LOGITS}
    found, count = in_order(given, EXPECTED)
    assert count == 0
    assert all((found[name] == given[name]).all() for name in given)


def test_queries_that_differ_and_moved_are_not_reordered() -> None:
    """Each query has a distinct nearest one, but they agree in no order."""
    given = moved([1, 0, 2, 3, 4, 5])
    given = {**given, "boxes": given["boxes"] + np.float32(0.01)}
    found, count = in_order(given, EXPECTED)
    assert count == 0
    assert all((found[name] == given[name]).all() for name in given)


def test_other_shapes_and_non_finite_values_are_unchanged() -> None:
    short = {name: value[:, :5] for name, value in EXPECTED.items()}
    assert in_order(short, EXPECTED)[0]["boxes"].shape == (1, 5, 4)
    broken = {"boxes": BOXES * np.float32(np.nan), "logits": LOGITS}
    assert in_order(broken, EXPECTED)[1] == 0


class Ranked(nn.Module):
    """Boxes and logits of the best six of twenty tokens, each with the learned query of its rank."""

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        tokens = image.flatten(2)[..., :20].transpose(1, 2)
        indices = torch.topk(tokens[..., 0], 6, dim=1)[1]
        chosen = tokens.gather(1, indices.unsqueeze(-1).expand(-1, -1, 3))
        queries = torch.linspace(-1, 1, 18).reshape(1, 6, 3)
        joined = torch.cat((chosen, queries * chosen), -1)
        return joined[..., :4], joined[..., 3:]


def referenced(module: Any, image: Tensor) -> SimpleNamespace:
    """A module as a reference, with an example input."""
    size = Size(*image.shape[2:])
    stated = {
        "mean": (0.5,) * 3,
        "std": (0.25,) * 3,
        "scale": 1 / 255,
        "resize": "bilinear",
        "fit": "stretch",
        "resolution": size,
    }
    settings = {name: SimpleNamespace(value=value) for name, value in stated.items()}
    return SimpleNamespace(
        module=module.eval(),
        exported=module.eval(),
        masks=False,
        keypoints_per_class=(),
        num_queries=6,
        channels=3,
        size=size,
        settings=SimpleNamespace(**settings, channels=3),
        example_input=lambda seed=0: image,
        variant=SimpleNamespace(strides=(), name="ranked"),
    )


def judged(change: Callable[[np.ndarray], np.ndarray]) -> GateResult:
    """The gate on a detector whose graph A computes other scores; its third and fourth proposal are nearly tied."""
    module: Any = Ranked()
    image = torch.randn(1, 3, 5, 5, generator=torch.Generator().manual_seed(1))
    scores = image.flatten(2)[0, 0]
    third, fourth = scores[:20].topk(4).indices[2:]
    scores[fourth] = scores[third] * (1 - 1e-7)
    reference = referenced(module, image)
    compiled = compile_detector(cast(Any, reference), Profile())
    values = compiled.evaluate(image)
    changed = {name: change(values[name]) for name in compiled.ranked}
    return check_rewrites(cast(Any, reference), compiled, evaluate_parts(compiled.parts, image, changed))


def test_queries_swapped_by_rounding_of_their_scores_pass() -> None:
    def rounded(scores: np.ndarray) -> np.ndarray:
        changed, order = scores.copy(), np.argsort(-scores[0], kind="stable")
        changed[0, order[2:4]] = changed[0, order[3:1:-1]]
        return changed

    result = judged(rounded)
    assert result.verdict is Verdict.PASSED, result.findings
    assert "2 queries of equal or nearly equal score" in result.summary


class BestBins(nn.Module):
    """As ``Ranked``, with logits that are the two most probable of eight bins of each query."""

    def __init__(self) -> None:
        super().__init__()
        self.bins = nn.Linear(3, 8)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        tokens = image.flatten(2)[..., :20].transpose(1, 2)
        indices = torch.topk(tokens[..., 0], 6, dim=1)[1]
        chosen = tokens.gather(1, indices.unsqueeze(-1).expand(-1, -1, 3))
        mixed = nn.functional.scaled_dot_product_attention(chosen, chosen, chosen)
        best = self.bins(mixed).softmax(-1).topk(2, -1).values
        return torch.cat((chosen, mixed[..., :1]), -1), best


def test_a_fault_on_ties_alone_is_found_and_located(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    image = torch.randn(1, 3, 5, 5, generator=torch.Generator().manual_seed(1))
    reference = cast(Any, referenced(BestBins(), image))

    def gate() -> GateResult:
        compiled = compile_detector(reference, Profile())
        return check_rewrites(reference, compiled, compiled.evaluate(image))

    right = gate()
    assert right.verdict is Verdict.PASSED, right.findings
    assert {"patchwork", "tied scores", "equal scores", "equal probabilities", "saturated proposals"} <= set(right.data["rare"])
    monkeypatch.setattr(iterate_topk, "_rounds", masks_all_equal_values)
    wrong = gate()
    assert wrong.verdict is Verdict.FAILED and wrong.summary.startswith("equal probabilities: ")
    assert wrong.findings[0].place.startswith("rewrite iterate_topk of graph_")


def test_a_host_that_breaks_ties_another_way_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """Distinct scores are selected right, equal ones by the higher index."""

    def by_higher_index(scores: np.ndarray, k: int) -> np.ndarray:
        return len(scores) - 1 - topk_indices(scores[::-1].copy(), k)

    monkeypatch.setattr(host_kernels, "topk_indices", by_higher_index)
    image = torch.randn(1, 3, 5, 5, generator=torch.Generator().manual_seed(1))
    reference = cast(Any, referenced(BestBins(), image))
    compiled = compile_detector(reference, Profile())
    result = check_rewrites(reference, compiled, compiled.evaluate(image))
    assert result.verdict is Verdict.FAILED and result.findings[0].place == "host step op topk"


def test_wrong_scores_do_not_excuse_other_queries() -> None:
    assert judged(lambda scores: scores[:, ::-1].copy()).verdict is Verdict.FAILED
