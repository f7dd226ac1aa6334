"""How results look."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from convert.cli.output import print_result
from verify.gates import GateResult, Measurement, Verdict


def test_json_has_no_number_that_json_does_not_have(capsys: pytest.CaptureFixture[str]) -> None:
    figures = tuple(
        Measurement("graph_a", "max_abs_diff", value, 1.0, at_least=False) for value in (float("inf"), float("nan"), 0.5)
    )
    data = {"worst": np.float32("-inf"), "file": Path("x"), "verdict": Verdict.FAILED, "count": np.int64(3)}
    print_result([GateResult("numerics", Verdict.FAILED, "off", measurements=figures, data=data)], as_json=True)

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    (gate,) = json.loads(capsys.readouterr().out, parse_constant=refuse)
    assert [figure["value"] for figure in gate["measurements"]] == ["inf", "nan", 0.5]
    assert gate["data"] == {"worst": "-inf", "file": "x", "verdict": "failed", "count": 3}
