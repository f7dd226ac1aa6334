"""The gate structure, on the right file and on changed ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import onnx
import pytest

from detr2litert.convert.models.reference import Reference
from detr2litert.convert.onnx_export.request import OnnxOptions
from detr2litert.convert.onnx_export.structure import Interface, check_structure, interface
from detr2litert.verify.gates import Verdict
from tests.convert.onnx_export import edits
from tests.convert.onnx_export.edits import Edit, edited

# The export that they share takes 25 s.
pytestmark = pytest.mark.ci

OPTIONS = OnnxOptions(batch=None)


@pytest.fixture(scope="module")
def asked(tiny_reference: Reference) -> Interface:
    outputs = {"dets": (40, 4), "labels": (40, tiny_reference.logit_columns)}
    return interface(OPTIONS, (3, 160, 160), outputs, sampled=True, metadata={"weights_sha256": tiny_reference.sha256})


def test_the_file_passes(tiny_file: Path, asked: Interface) -> None:
    result = check_structure(tiny_file, asked, OPTIONS.opset)
    assert result.verdict is Verdict.PASSED, result.summary
    # Of the two decoder layers, one level each.
    assert result.data["operators"]["GridSample"] == 2 and result.data["operators"]["TopK"] == 1
    assert "2 GridSample and 1 TopK" in result.summary


@pytest.mark.parametrize(
    ("edit", "rule", "words"),
    [
        (edits.use_own_domain, "custom-domain", "planted"),
        (edits.fix_batch, "input-shape", "[2, 3, 160, 160], not ['batch', 3, 160, 160]"),
        (edits.rename_output, "output", "boxes, labels"),
        (edits.change_hash, "metadata", "weights_sha256"),
        (edits.remove_sampling, "missing-operator", "GridSample"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_difference_is_found(
    tmp_path: Path, tiny_file: Path, asked: Interface, edit: Edit, rule: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted = edited(tiny_file, tmp_path / "planted.onnx", edit)
    # The checker itself refuses some of these; that the gate finds them does not depend on it.
    monkeypatch.setattr(onnx.checker, "check_model", lambda *_, **__: None)
    result = check_structure(planted, asked, OPTIONS.opset)
    assert result.verdict is Verdict.FAILED
    found = [finding for finding in result.findings if finding.rule == rule]
    assert found and words in f"{found[0].place}: {found[0].message}"


def test_the_checker_is_asked(tmp_path: Path, tiny_file: Path, asked: Interface) -> None:
    planted = edited(tiny_file, tmp_path / "planted.onnx", edits.remove_sampling)
    result = check_structure(planted, asked, OPTIONS.opset)
    assert result.verdict is Verdict.FAILED and result.findings[0].rule == "invalid-file"


def test_another_opset(tiny_file: Path, asked: Interface) -> None:
    result = check_structure(tiny_file, asked, 21)
    assert result.verdict is Verdict.FAILED and "18: is not the opset that was asked for, 21" in result.summary


def test_a_file_that_is_none(tmp_path: Path, asked: Interface) -> None:
    (tmp_path / "text.onnx").write_text("no model")
    result = check_structure(tmp_path / "text.onnx", asked, 18)
    assert result.verdict is Verdict.FAILED and result.findings[0].rule == "invalid-file"


def test_a_backbone_needs_no_selection(asked: Interface) -> None:
    options = replace(OPTIONS, backbone_only=True, batch=3)
    one = interface(options, (3, 8, 8), {"features": (4, 2, 2)}, sampled=True, metadata={})
    assert one == Interface({"input": (3, 3, 8, 8)}, {"features": (3, 4, 2, 2)}, (), {})
