"""Faults in the masks of a detector of instances: the gate that must fail, and what it names."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch import fx

from detr2litert.convert.compiler import CompiledDetector, compile_detector
from detr2litert.convert.models.reference import Reference, build_reference
from detr2litert.convert.proof.equivalence import check_rewrites
from detr2litert.convert.proof.host import compare_masks
from detr2litert.convert.proof.reference_path import ReferencePath
from detr2litert.convert.targets import find_target
from detr2litert.graphs import mask_product
from detr2litert.graphs.native_ops import GATHER_ROWS
from detr2litert.graphs.toolbox import Emitter, aten, calls
from detr2litert.host_runtime import masks
from detr2litert.host_runtime.decode import Detection
from detr2litert.host_runtime.manifest import Graphs, GraphSpec, Manifest, TensorSpec
from detr2litert.host_runtime.masks import Mask
from detr2litert.verify.gates import Verdict
from detr2litert.verify.parity.detections import DetectionCase, DetectionLimits, check_detections
from tests.convert.planted.fault import Mutation
from tests.convert.shrunken import shrunken
from tests.host_runtime.tiny_bundle import manifest as tiny_manifest

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


@dataclass(frozen=True)
class Runtime:
    """A fault in ``host_runtime.masks``: the function and what replaces it."""

    name: str
    wrong: Callable[..., object]


def _half_a_pixel(pixels: int, resized: int, offset: int, whole: int, cells: int) -> tuple[np.ndarray, ...]:
    centres = np.clip(np.arange(pixels) * (resized / pixels) * (cells / whole), 0, cells - 1)
    low = np.floor(centres).astype(np.intp)
    return low, np.minimum(low + 1, cells - 1), (centres - low).astype(np.float32)


def _corners_aligned(pixels: int, resized: int, offset: int, whole: int, cells: int) -> tuple[np.ndarray, ...]:
    centres = np.linspace(0, cells - 1, pixels)
    low = np.floor(centres).astype(np.intp)
    return low, np.minimum(low + 1, cells - 1), (centres - low).astype(np.float32)


def _nearest(values: np.ndarray, low: np.ndarray, high: np.ndarray, share: np.ndarray) -> np.ndarray:
    return values[np.where(share < 0.5, low, high)]


RUNTIME = {
    "half a pixel in upsampling": Runtime("_positions", _half_a_pixel),
    "aligned corners": Runtime("_positions", _corners_aligned),
    "the nearest cell": Runtime("_between", _nearest),
}


def _judge(reference: Reference) -> list[str]:
    side = reference.size.height
    cells, base = side // 4, tiny_manifest()
    m = GraphSpec("graph_m.tflite", (), (TensorSpec("masks", (1, cells, cells, 4)),))
    pre = replace(base.preprocess, height=side, width=side)
    manifest: Manifest = replace(base, graphs=Graphs(base.graphs.a, base.graphs.b, m), preprocess=pre)
    return [item.wrong for item in compare_masks(manifest, ReferencePath(reference, reference.variant.classes))]


def test_without_a_fault_the_gate_host_accepts_masks(reference: Reference) -> None:
    assert _judge(reference) == ["", ""]


@pytest.mark.plants
@pytest.mark.parametrize("name", RUNTIME)
def test_the_gate_host_sees_a_wrong_resize(name: str, reference: Reference, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masks, RUNTIME[name].name, RUNTIME[name].wrong)
    assert all("of the pixels differ" in wrong for wrong in _judge(reference))


@pytest.mark.plants
def test_the_gate_host_sees_a_threshold_for_probabilities(reference: Reference, monkeypatch: pytest.MonkeyPatch) -> None:
    """Logits above 0.5, and probabilities above 0."""
    resize = masks._between
    for shift in (-0.5, 10.0):
        monkeypatch.setattr(masks, "_between", lambda *arguments, by=shift: resize(*arguments) + np.float32(by))
        assert all("of the pixels differ" in wrong for wrong in _judge(reference))


def test_the_gate_detections_compares_masks() -> None:
    pixels = torch.zeros(40, 60, dtype=torch.bool)
    pixels[10:30, 10:50] = True
    right = Detection(0, "kind", 0.9, (10, 10, 50, 30), Mask.of(pixels.numpy()))
    shifted = replace(right, mask=Mask.of(pixels.roll(1, 1).numpy()))
    case = DetectionCase("scene", [right], [right])
    assert check_detections([case], DetectionLimits()).verdict is Verdict.PASSED
    assert "of masks 1.0000" in check_detections([case], DetectionLimits()).summary
    for wrong in (shifted, replace(right, mask=None), replace(right, mask=Mask.of(pixels.T.contiguous().numpy()))):
        result = check_detections([replace(case, candidate=[wrong])], DetectionLimits())
        assert result.verdict is Verdict.FAILED and "mask IoU 0." in result.findings[0].message
    assert check_detections([replace(case, candidate=[shifted])], DetectionLimits(mask_iou=None)).verdict is Verdict.PASSED
