"""Faults in what the runtime makes of masks' logits, and in how it calls their graph: the gates that must fail."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from detr2litert.convert.models.configuration import settings_of
from detr2litert.convert.models.reference import Reference
from detr2litert.convert.models.settings.picture import preprocess_of
from detr2litert.convert.models.variants import VARIANTS, Variant
from detr2litert.convert.proof.host import RUN_LENGTHS, compare_masks
from detr2litert.convert.proof.reference_path import ReferencePath
from detr2litert.host_runtime import masks, runner
from detr2litert.host_runtime.decode import Detection, Detections
from detr2litert.host_runtime.manifest import Graphs, GraphSpec, Manifest, Masks, TensorSpec
from detr2litert.host_runtime.masks import Mask
from detr2litert.host_runtime.runner import Runner
from detr2litert.verify.gates import Verdict
from detr2litert.verify.parity.detections import DetectionCase, DetectionLimits, check_detections
from tests.host_runtime.tiny_bundle import manifest as tiny_manifest

sys.path.append(str(Path(__file__).parents[2] / "host_runtime"))

import masks_bundle

Array = np.ndarray


@dataclass(frozen=True)
class WithoutWeights:
    """A reference of which only the settings and the family are used."""

    settings: Any
    variant: Variant
    size = Reference.size
    channels = Reference.channels


def _judge(fit: str = "stretch", name: str = "tiny-seg") -> list[str]:
    """The gate host's comparisons of masks: what is wrong with each."""
    row = VARIANTS[name]
    settings = settings_of(row, None, {"fit": fit})
    path = ReferencePath(WithoutWeights(settings, row), ["a"])  # type: ignore[arg-type]
    cells, base = path.reference.size.height // 4, tiny_manifest()
    m = GraphSpec("graph_m.tflite", (), (TensorSpec("masks", (1, cells, cells, 4)),))
    masks = Masks(activation=row.family.masks_activation, within_box=row.family.masks_within_box)
    manifest: Manifest = replace(
        base,
        graphs=Graphs(base.graphs.a, base.graphs.b, m),
        preprocess=preprocess_of(settings),
        postprocess=replace(base.postprocess, masks=masks),
    )
    return [item.wrong for item in compare_masks(manifest, path)]


@pytest.mark.parametrize("name", ["tiny-seg", "dfine-seg-n"])
@pytest.mark.parametrize("fit", ["stretch", "letterbox", "letterbox_top_left"])
def test_without_a_fault_the_gate_host_accepts_masks(fit: str, name: str) -> None:
    assert _judge(fit, name) == ["", "", ""]


@pytest.mark.parametrize("fault", ["logits in place of probabilities", "not cut", "cut at another box"])
def test_the_gate_host_finds_faults_in_masks_of_boxes(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    within = Mask.within
    if fault == "logits in place of probabilities":
        monkeypatch.setattr(masks, "sigmoid", lambda logits: logits + 0.5)
    elif fault == "not cut":
        monkeypatch.setattr(Mask, "within", lambda mask, box: mask)
    else:
        monkeypatch.setattr(Mask, "within", lambda mask, box: within(mask, (box[0] + 2, *box[1:])))
    assert any(_judge(name="dfine-seg-n")[:2])


def test_the_run_lengths_that_the_gate_knows_are_pycocotools() -> None:
    pixels, coded = RUN_LENGTHS
    assert coco.encode(np.asfortranarray(pixels, np.uint8))["counts"].decode() == coded


def _half_a_pixel(pixels: int, resized: int, offset: int, whole: int, cells: int) -> tuple[Array, ...]:
    centres = np.clip(np.arange(pixels) * (resized / pixels) * (cells / whole), 0, cells - 1)
    low = np.floor(centres).astype(np.intp)
    return low, np.minimum(low + 1, cells - 1), (centres - low).astype(np.float32)


def _corners_aligned(pixels: int, resized: int, offset: int, whole: int, cells: int) -> tuple[Array, ...]:
    centres = np.linspace(0, cells - 1, pixels)
    low = np.floor(centres).astype(np.intp)
    return low, np.minimum(low + 1, cells - 1), (centres - low).astype(np.float32)


_positions, _between, _runs = masks._positions, masks._between, masks._runs


def _no_offset(pixels: int, resized: int, offset: int, whole: int, cells: int) -> tuple[Array, ...]:
    return _positions(pixels, resized, 0, whole, cells)


def _all_is_picture(pixels: int, resized: int, offset: int, whole: int, cells: int) -> tuple[Array, ...]:
    return _positions(pixels, whole, 0, whole, cells)


def _nearest(values: Array, low: Array, high: Array, share: Array) -> Array:
    return values[np.where(share < 0.5, low, high)]


def _above_half(*arguments: Any) -> Array:
    return _between(*arguments) - np.float32(0.5)


def _probability_above_0(*arguments: Any) -> Array:
    return _between(*arguments) + np.float32(10)


@dataclass(frozen=True)
class Resizing:
    """A fault in ``host_runtime.masks``: the function, what replaces it, and how pictures must lie in the input to show it."""

    name: str
    wrong: Callable[..., object]
    fit: str = "stretch"


RESIZING = {
    "half a pixel in upsampling": Resizing("_positions", _half_a_pixel),
    "aligned corners": Resizing("_positions", _corners_aligned),
    "the nearest cell": Resizing("_between", _nearest),
    "logits above one half": Resizing("_between", _above_half),
    "probabilities above 0": Resizing("_between", _probability_above_0),
    "the letterbox's offset is forgotten": Resizing("_positions", _no_offset, "letterbox"),
    "the letterbox's padding counts as picture": Resizing("_positions", _all_is_picture, "letterbox_top_left"),
}


@pytest.mark.plants
@pytest.mark.parametrize("name", RESIZING)
def test_the_gate_host_sees_a_wrong_resize(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fault = RESIZING[name]
    monkeypatch.setattr(masks, fault.name, fault.wrong)
    *resized, run_lengths = _judge(fault.fit)
    assert all("of the pixels differ" in wrong for wrong in resized) and not run_lengths


def _rows_for_columns(pixels: Array) -> list[int]:
    return _runs(pixels.T)


def _read_by_rows(mask: Mask) -> Array:
    runs = masks._decode(mask.counts)
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(mask.height, mask.width)


@pytest.mark.plants
@pytest.mark.parametrize("also_read", [False, True])
def test_the_gate_host_sees_run_lengths_by_rows(also_read: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Written alone they show in every mask; read alike they show only to others, who read COCO's form."""
    monkeypatch.setattr(masks, "_runs", _rows_for_columns)
    if also_read:
        monkeypatch.setattr(Mask, "pixels", property(_read_by_rows))
    *resized, run_lengths = _judge()
    assert "where pycocotools has '021O1'" in run_lengths
    assert all(("of the pixels differ" in wrong) is not also_read for wrong in resized)


PICTURE, OTHER = 8, 3


def _picture(seed: int) -> Image.Image:
    colours = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(colours).resize((90, 62), Image.Resampling.NEAREST)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("masks")
    masks_bundle.write_bundle(folder)
    return folder


_masks_of_calls, _batches = runner.masks_of_calls, runner.batches
Calls = Sequence[tuple[Array, Array]]


def _last_call_dropped(manifest: Manifest, calls: Calls, queries: Sequence[int], size: tuple[int, int]) -> list[Mask]:
    known = {int(query) for kept, _ in calls[:-1] for query in kept}
    first = next(iter(known))
    return _masks_of_calls(manifest, calls[:-1], [query if query in known else first for query in queries], size)


def _in_order_of_the_detections(manifest: Manifest, calls: Calls, queries: Sequence[int], size: tuple[int, int]) -> list[Mask]:
    """The graph's columns are read as if they were in the order of the detections."""
    asked = [int(query) for kept, _ in calls for query in kept]
    places = {query: asked[place] for place, query in enumerate(dict.fromkeys(queries))}
    return _masks_of_calls(manifest, calls, [places[query] for query in queries], size)


def _filled_up_in_front(manifest: Manifest, queries: Sequence[int]) -> list[Array]:
    """The last call is filled up in front, and its columns are read from the first on."""
    *whole, last = _batches(manifest, queries)
    some = len(set(queries)) - len(whole) * len(last)
    return [*whole, np.concatenate((np.zeros(len(last) - some, np.int32), last[:some]))]


def _read_from_the_first(manifest: Manifest, calls: Calls, queries: Sequence[int], size: tuple[int, int]) -> list[Mask]:
    right = _batches(manifest, queries)
    return _masks_of_calls(manifest, [(kept, m) for kept, (_, m) in zip(right, calls, strict=True)], queries, size)


def _columns_reversed(manifest: Manifest, calls: Calls, queries: Sequence[int], size: tuple[int, int]) -> list[Mask]:
    return _masks_of_calls(manifest, [(kept, logits[..., ::-1]) for kept, logits in calls], queries, size)


def _sides_exchanged(manifest: Manifest, calls: Calls, queries: Sequence[int], size: tuple[int, int]) -> list[Mask]:
    return _masks_of_calls(manifest, calls, queries, size[::-1])


CALLS: dict[str, dict[str, Callable[..., object]]] = {
    "the last call is dropped": {"masks_of_calls": _last_call_dropped},
    "columns in the order of the detections": {"masks_of_calls": _in_order_of_the_detections},
    "the last call is filled up at the wrong end": {"batches": _filled_up_in_front, "masks_of_calls": _read_from_the_first},
    "columns in reverse": {"masks_of_calls": _columns_reversed},
    "the picture's sides exchanged": {"masks_of_calls": _sides_exchanged},
}


def _found(bundle: Path, *pictures: int) -> Detections:
    """The detections of the last of some pictures."""
    with Runner(bundle) as detector:
        return [detector.detect(_picture(seed), threshold=0.3) for seed in pictures][-1]


def _judged(wanted: Detections, found: Detections) -> str:
    result = check_detections([DetectionCase("scene", wanted.items, found.items)], DetectionLimits())
    return "" if result.verdict is Verdict.PASSED else result.findings[0].message


def test_without_a_fault_the_gate_detections_accepts_masks(bundle: Path) -> None:
    wanted = _found(bundle, PICTURE)
    # Of queries 1, 0, 1 and 3: two calls, of which the second is filled up.
    assert len(wanted) == 4 and len({item.mask for item in wanted}) == 3 == masks_bundle.ROOM + 1
    assert _judged(wanted, _found(bundle, OTHER, PICTURE)) == ""


@pytest.mark.plants
@pytest.mark.parametrize("name", CALLS)
def test_the_gate_detections_sees_masks_of_other_queries(name: str, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = _found(bundle, PICTURE)
    for function, wrong in CALLS[name].items():
        monkeypatch.setattr(runner, function, wrong)
    assert "mask IoU 0." in _judged(wanted, _found(bundle, PICTURE))


@pytest.mark.plants
def test_the_gate_detections_sees_masks_of_the_picture_before(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = _found(bundle, PICTURE)
    graphs: list[Array] = []

    def late(manifest: Manifest, calls: Calls, queries: Sequence[int], size: tuple[int, int]) -> list[Mask]:
        graphs.extend(logits for _, logits in calls)
        old = [graphs[0] for _ in calls]
        return _masks_of_calls(manifest, [(kept, m) for (kept, _), m in zip(calls, old, strict=True)], queries, size)

    monkeypatch.setattr(runner, "masks_of_calls", late)
    assert "mask IoU 0." in _judged(wanted, _found(bundle, OTHER, PICTURE))


@pytest.mark.plants
def test_the_gate_detections_compares_pixels() -> None:
    pixels = np.zeros((40, 60), bool)
    pixels[10:30, 10:50] = True
    right = Detection(0, "kind", 0.9, (10, 10, 50, 30), Mask.of(pixels))
    shifted = replace(right, mask=Mask.of(np.roll(pixels, 1, 1)))
    case = DetectionCase("scene", [right], [right])
    assert check_detections([case], DetectionLimits()).verdict is Verdict.PASSED
    assert "of masks 1.0000" in check_detections([case], DetectionLimits()).summary
    for wrong in (shifted, replace(right, mask=None), replace(right, mask=Mask.of(pixels.T))):
        result = check_detections([replace(case, candidate=[wrong])], DetectionLimits())
        assert result.verdict is Verdict.FAILED and "mask IoU 0." in result.findings[0].message
    assert check_detections([replace(case, candidate=[shifted])], DetectionLimits(mask_iou=None)).verdict is Verdict.PASSED
