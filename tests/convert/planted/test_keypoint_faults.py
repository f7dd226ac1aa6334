"""Faults in the decoding of keypoints and in their judge: which comparison must fail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from detr2litert.host_runtime import decode as decoding
from detr2litert.host_runtime import keypoints as runtime
from detr2litert.host_runtime.decode import Detections
from detr2litert.host_runtime.keypoints import Keypoint
from detr2litert.host_runtime.manifest import ClassKeypoints, Keypoints, Postprocess, Preprocess
from detr2litert.host_runtime.placement import Placement, place
from detr2litert.verify.accuracy import keypoints as judge
from detr2litert.verify.accuracy.average_precision import average_precision, match_pictures
from detr2litert.verify.gates import Verdict
from detr2litert.verify.parity.detections import DetectionCase, DetectionLimits, check_detections
from tests.verify.accuracy.test_keypoints import SIGMAS, drawn, pycocotools

SIZE, QUERIES, CLASSES = (640, 427), 12, 3
SPEC = Keypoints(
    0.2,
    tuple(
        ClassKeypoints(index, tuple(f"k{i}" for i in range(count)), (), (0.05,) * count) for index, count in ((0, 3), (1, 3))
    ),
)
LETTERBOX = Preprocess(320, 320, "bilinear", fit="letterbox", fill=(114.0,) * 3)


def outputs() -> dict[str, np.ndarray]:
    """A dozen objects well apart, of three classes, with keypoints in their boxes; half of the keypoints can be found."""
    rng = np.random.default_rng(5)
    grid = np.stack(np.meshgrid((np.arange(4) + 0.5) / 4, 0.2 + 0.6 * (np.arange(3) + 0.5) / 3), axis=-1).reshape(1, -1, 2)
    boxes = np.concatenate([grid, np.full_like(grid, 0.18)], axis=-1).astype(np.float32)
    logits = np.full((1, QUERIES, CLASSES), -6, np.float32)
    logits[0, np.arange(QUERIES), np.arange(QUERIES) % CLASSES] = rng.uniform(0.5, 3, QUERIES)
    keypoints = np.zeros((1, QUERIES, SPEC.total, 7), np.float32)
    keypoints[..., :2] = grid[:, :, None] + rng.uniform(-0.08, 0.08, (1, QUERIES, SPEC.total, 2))
    keypoints[..., 2] = rng.choice([-2.0, 1.5, 3.0], (1, QUERIES, SPEC.total), p=[0.2, 0.4, 0.4])
    keypoints[..., 4:] = np.array([2.5, 0, 2.5]) + rng.normal(0, [1, 3, 1], (1, QUERIES, SPEC.total, 3))
    return {"boxes": boxes, "logits": logits, "keypoints": keypoints}


def decoded(spec: Keypoints = SPEC) -> Detections:
    given = outputs()
    return decoding.decode(
        given["boxes"],
        given["logits"],
        SIZE,
        Postprocess(20, keypoints=spec),
        ["a", "b", "c"],
        threshold=0.2,
        placement=place(SIZE, LETTERBOX),
        keypoints=given["keypoints"],
    )


def verdict(candidate: Detections, reference: Detections) -> Verdict:
    return check_detections([DetectionCase("scene", reference.items, candidate.items)], DetectionLimits()).verdict


Wrap = Callable[[Callable[..., object]], Callable[..., object]]


def points(change: Callable[[np.ndarray], np.ndarray]) -> Wrap:
    """The keypoints of the selected queries, changed before they become pixels."""
    return lambda original: lambda labels, keypoints, *rest: original(labels, change(keypoints.copy()), *rest)


def _exchanged(keypoints: np.ndarray) -> np.ndarray:
    keypoints[:, [1, 2]] = keypoints[:, [2, 1]]
    return keypoints


def _x_and_y(keypoints: np.ndarray) -> np.ndarray:
    keypoints[..., [0, 1]] = keypoints[..., [1, 0]]
    return keypoints


def _logits(original: Callable[..., object]) -> Callable[..., object]:
    """The logit of findable is taken for its probability, cut to what one can be."""

    def cut(point: Keypoint) -> Keypoint:
        return replace(point, score=min(max(float(np.log(point.score / (1 - point.score))), 0.0), 1.0))

    def wrong(*arguments: object) -> object:
        found = original(*arguments)
        assert isinstance(found, list)
        return [own if own is None else tuple(map(cut, own)) for own in found]

    return wrong


def _wrong_sign(original: Callable[..., np.ndarray]) -> Callable[..., object]:
    """σ(log s + w t), of σ(log s - w t)."""

    def wrong(scores: np.ndarray, *rest: object) -> np.ndarray:
        right = original(scores, *rest)
        rising: np.ndarray = 1 / (1 + np.exp(np.log(right / (1 - right)) - 2 * np.log(scores)))
        return rising.astype(np.float32)

    return wrong


def scaled(factor: float, shift: float = 0.0) -> Wrap:
    return lambda original: (
        lambda labels, keypoints, spec, scale, offset: original(
            labels, keypoints, spec, scale * np.float32(factor), offset * np.float32(1 - shift)
        )
    )


def _fractions(original: Callable[..., object]) -> Callable[..., object]:
    return lambda labels, keypoints, spec, scale, offset: original(
        labels, keypoints, spec, np.ones(2, np.float32), np.zeros(2, np.float32)
    )


DECODING: dict[str, tuple[str, Wrap]] = {
    "left and right exchanged": ("to_keypoints", points(_exchanged)),
    "x and y exchanged": ("to_keypoints", points(_x_and_y)),
    "fractions for pixels": ("to_keypoints", _fractions),
    "half of the scale": ("to_keypoints", scaled(0.5)),
    "the letterbox's offset forgotten": ("to_keypoints", scaled(1.0, 1.0)),
    "another query's": ("to_keypoints", points(lambda keypoints: np.roll(keypoints, 1, axis=0))),
    "another class's slots": ("to_keypoints", points(lambda keypoints: np.roll(keypoints, 3, axis=1))),
    "no sigmoid of findable": ("to_keypoints", _logits),
    "visible for findable": ("to_keypoints", points(lambda keypoints: keypoints[..., [0, 1, 3, 2, 4, 5, 6]])),
    "scores not weighted": ("weighted_scores", lambda original: lambda scores, *rest: scores),
    "a class without keypoints weighted": (
        "weighted_scores",
        lambda original: (
            lambda scores, labels, keypoints, spec: np.where(
                labels == 2, scores / (1 + scores), original(scores, labels, keypoints, spec)
            )
        ),
    ),
    "weighted by another query's": (
        "weighted_scores",
        lambda original: lambda scores, labels, keypoints, spec: original(scores, labels, np.roll(keypoints, 1, axis=0), spec),
    ),
    "the weight of the wrong sign": ("weighted_scores", _wrong_sign),
}


def test_without_a_fault_the_detections_agree() -> None:
    found = decoded()
    assert verdict(found, decoded()) is Verdict.PASSED
    assert len(found) == QUERIES and sum(item.keypoints is not None for item in found) == 8


@pytest.mark.plants
@pytest.mark.parametrize("name", DECODING)
def test_a_fault_in_the_decoding_is_seen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    reference = decoded()
    function, wrap = DECODING[name]
    monkeypatch.setattr(decoding, function, wrap(getattr(decoding, function)))
    assert verdict(decoded(), reference) is Verdict.FAILED


@pytest.mark.plants
def test_a_trace_without_the_share_of_findable_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    reference = decoded()
    trace = runtime._log_mean_trace

    def unweighted(own: np.ndarray) -> np.ndarray:
        return trace(np.concatenate([own[..., :2], np.zeros_like(own[..., 2:3]), own[..., 3:]], axis=-1))

    monkeypatch.setattr(runtime, "_log_mean_trace", unweighted)
    assert verdict(decoded(), reference) is Verdict.FAILED


@pytest.mark.plants
def test_a_manifest_with_classes_in_another_order_is_seen() -> None:
    assert verdict(decoded(replace(SPEC, classes=SPEC.classes[::-1])), decoded()) is Verdict.FAILED


@pytest.mark.plants
def test_a_placement_of_another_fit_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    reference, original = decoded(), Placement.to_picture
    monkeypatch.setattr(Placement, "to_picture", lambda self: (original(self)[0], np.zeros(4, np.float32)))
    assert verdict(decoded(), reference) is Verdict.FAILED


SIMILARITY: dict[str, Callable[..., np.ndarray]] = {
    "sigmas doubled": lambda d, a, box, area, sigmas: _ORIGINAL(d, a, box, area, 2 * sigmas),
    "sigmas of another order": lambda d, a, box, area, sigmas: _ORIGINAL(d, a, box, area, sigmas[::-1]),
    "the box's area": lambda d, a, box, area, sigmas: _ORIGINAL(d, a, box, float((box[2:] - box[:2]).prod()), sigmas),
    "keypoints nobody annotated count": lambda d, a, box, area, sigmas: _ORIGINAL(
        d, np.concatenate([a[:, :2], np.ones_like(a[:, 2:])], axis=1), box, area, sigmas
    ),
}
_ORIGINAL = judge.similarity


@pytest.mark.plants
@pytest.mark.parametrize("name", SIMILARITY)
def test_a_fault_in_the_judge_is_seen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from detr2litert.verify.accuracy import average_precision as module

    truths, answers = drawn(1)
    wanted = pycocotools(truths, answers)
    assert average_precision(match_pictures(truths, answers, sigmas={0: SIGMAS, 1: SIGMAS})).ap[0] == pytest.approx(wanted[0])
    monkeypatch.setattr(module, "similarity", SIMILARITY[name])
    found = average_precision(match_pictures(truths, answers, sigmas={0: SIGMAS, 1: SIGMAS}))
    assert abs(found.ap[0] - wanted[0]) > 1e-3
