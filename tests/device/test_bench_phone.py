"""``detr2litert bench --phone`` with the real adb, on an emulated device."""

from __future__ import annotations

from pathlib import Path

import pytest

from detr2litert.verify.device.parity import EMULATOR
from tests.convert.command import assert_refused, invoke
from tests.device.commands import assert_clean
from tests.device.conftest import Plug
from tests.device.faults import Faults


def test_the_stages_times_and_a_budget(plug: Plug, bundle: Path) -> None:
    device = plug()
    outcome = invoke("bench", bundle, "--phone", "--runs", 5, "--budget", "10s")
    assert outcome.code == 0, outcome
    lines = outcome.stdout.splitlines()
    assert f"[{EMULATOR}]" in outcome.stdout and lines[0].endswith("5 runs on the GPU")
    for stage in ("whole chain", "graph_a (write, run, read)", "host step", "graph_b (write, run, read)"):
        (line,) = (line for line in lines if line.startswith(stage))
        median, p95, p99 = map(float, line.split()[-3:])
        assert 0 < median <= p95 <= p99
    assert "budget 10000 ms: kept, p95 " in outcome.stdout
    assert_clean(device)


def test_a_budget_that_is_not_kept_is_exit_code_1(plug: Plug, bundle: Path) -> None:
    plug()
    outcome = invoke("bench", bundle, "--phone", "--runs", 2, "--budget", "0.001ms", "--accelerator", "cpu")
    assert outcome.code == 1 and "budget 0.001 ms: not kept" in outcome.stdout and "2 runs on the CPU" in outcome.stdout


def test_a_phone_that_computes_something_else_is_not_timed_in_silence(plug: Plug, bundle: Path) -> None:
    plug(Faults(app={"wrong": "b"}))
    outcome = invoke("bench", bundle, "--phone", "--runs", 2)
    assert outcome.code == 1 and "stages failed: " in outcome.stdout


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--phone", "--images", "."), ("--images does not apply to --phone",)),
        (("--phone", "--against", "pytorch"), ("--against does not apply to --phone",)),
        (("--phone", "--json"), ("--json does not apply to --phone",)),
        (("--phone", "--budget", "soon"), ("soon",)),
        (("--phone", "other"), ("one bundle at a time", "2 are given")),
        (("--serial", "x"), ("--serial is of --phone",)),
        (("--package", "org.example"), ("--package is of --phone",)),
    ],
)
def test_options_that_do_not_fit_are_refused(tmp_path: Path, options: tuple[str, ...], words: tuple[str, ...]) -> None:
    assert_refused(invoke("bench", tmp_path, *options), *words)
