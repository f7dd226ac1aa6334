"""Published sizes through the fp16 gate; minutes each on a software GPU."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.convert.command import spawn, verdicts
from verify.delegate.adapters import Driver


@pytest.mark.gpu
@pytest.mark.slow
@pytest.mark.parametrize("name", ["nano", "dfine-s"])
def test_random_weights_pass_in_fp16(driver: Driver, fp16_driver: Driver, tmp_path: Path, name: str) -> None:
    outcome = spawn(
        *("run", "--variant", name, "--target", "pixel", "--weights", "random", "--out", name, "--json"), cwd=tmp_path
    )
    assert outcome.code == 0, outcome.stderr
    assert verdicts(outcome.json["gates"])["fp16"] == "passed"
