"""The options of an export."""

from __future__ import annotations

import pytest

from detr2litert.convert.onnx_export import request
from detr2litert.convert.onnx_export.request import OnnxOptions, notes_text, onnx_options, require_packages
from detr2litert.host_runtime.errors import UserError


def test_the_defaults() -> None:
    assert onnx_options() == OnnxOptions(batch=1, opset=18, backbone_only=False, notes=None)
    assert onnx_options().checked_batches == (1,)
    assert onnx_options(batch=3).checked_batches == (3,)
    assert onnx_options(dynamic_batch=True).checked_batches == (1, 2, 4, 8)


@pytest.mark.parametrize("text", ['{"a": [1, 2.5, null]}', '"text"', "0", "[]", '"größer"'])
def test_notes_are_any_json(text: str) -> None:
    import json

    value = onnx_options(notes=text).notes
    assert json.loads(notes_text(value)) == json.loads(text)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"opset": 17}, "choose from 18 to 23"),
        ({"opset": 24}, "choose from 18 to 23"),
        ({"batch": 0}, "from 1 to 256"),
        ({"batch": -1}, "--batch -1"),
        ({"batch": 257}, "from 1 to 256"),
        ({"batch": 2, "dynamic_batch": True}, "one of the two"),
        ({"notes": "spring"}, "--notes is not JSON"),
        ({"notes": '{"a": NaN}'}, "--notes is not JSON"),
        ({"notes": '{"a": 1, "a": 2}'}, "given twice"),
        ({"notes": ""}, "--notes is not JSON"),
    ],
)
def test_what_cannot_be_exported(options: dict[str, object], words: str) -> None:
    with pytest.raises(UserError, match=words) as error:
        onnx_options(**options)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("missing", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.setattr(request, "find_spec", lambda name: None if name == missing else object())
    with pytest.raises(UserError, match=rf"needs {missing}: .*\[onnx\]"):
        require_packages()
