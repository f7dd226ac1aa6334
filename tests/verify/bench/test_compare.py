"""Refuses to compare what did not run on the same set-up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from detr2litert.host_runtime.errors import UserError
from detr2litert.verify.bench.compare import compare_in_turns, compare_with_saved, require_comparable
from detr2litert.verify.bench.record import DETECTOR_ALONE
from detr2litert.verify.bench.stages import FRAME
from tests.verify.bench.fakes import MACHINE, SETUP, contender, record

SAVED = Path("old.json")


@pytest.mark.parametrize(
    "changed",
    [
        {"threads": 4},
        {"accelerator": "gpu"},
        {"device": "Mali"},
        {"driver": "system, Vulkan 1.3.0"},
        {"precision": "fp16"},
        {"form": "native"},
    ],
    ids=str,
)
def test_contenders_of_other_set_ups_are_refused_before_anything_runs(changed: dict[str, Any]) -> None:
    (name,) = changed
    setups = [("a", SETUP), ("b", replace(SETUP, **changed))]
    with pytest.raises(UserError, match=f"{name}: .*--despite-differences"):
        require_comparable(setups, (), despite=False)
    require_comparable(setups, (), despite=True)
    require_comparable(setups, (name,), despite=False)


def test_another_form_has_the_advice_to_choose_one() -> None:
    with pytest.raises(UserError, match="--form portable"):
        require_comparable([("a", SETUP), ("b", replace(SETUP, form="native"))], (), despite=False)


def test_other_engines_detectors_and_inputs_are_what_a_comparison_is_about() -> None:
    other = replace(SETUP, engine="PyTorch eager", form="", sha256="1" * 64, height=16, width=16)
    require_comparable([("a", SETUP), ("b", other)], (), despite=False)


def test_the_first_is_compared_with_each_other_one() -> None:
    found = compare_in_turns([contender("a", (10.0, 12.0)), contender("b", (20.0, 24.0)), contender("c", (5.0, 6.0))], (), 0)
    assert [(c.first, c.second, c.part) for c in found] == [
        ("a", "b", FRAME), ("a", "b", DETECTOR_ALONE), ("a", "c", FRAME), ("a", "c", DETECTOR_ALONE),
    ]  # fmt: skip
    assert [c.ratio.value for c in found] == [0.5, 10 / 21, 2.0, 10 / 4.5]
    assert all(c.ratio.paired and not c.saved and not c.differences for c in found)


def test_two_detectors_are_compared_and_named_as_two() -> None:
    large, small = (replace(contender(name), variant=name) for name in ("large", "small"))
    assert {c.differences for c in compare_in_turns([large, small], (), 0)} == {("detector: large and small",)}
    assert not compare_in_turns([large, replace(small, variant="large")], (), 0)[0].differences
    assert not compare_in_turns([large, replace(small, variant="")], (), 0)[0].differences


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"machine": replace(MACHINE, cpu="other")}, "cpu: CPU and other"),
        ({"machine": replace(MACHINE, cores=8)}, "cores: 2 and 8"),
        ({"machine": replace(MACHINE, memory_bytes=16 * 10**9)}, "memory: 8 GB and 16 GB"),
        ({"machine": replace(MACHINE, system="Ubuntu")}, "system: Debian and Ubuntu"),
        ({"machine": replace(MACHINE, governor="powersave")}, "governor: performance and powersave"),
        ({"machine": replace(MACHINE, versions={"Python": "3.12.0", "numpy": "2.4.6"})}, "Python: 3.11.7 and 3.12.0"),
        ({"machine": replace(MACHINE, versions={"Python": "3.11.7"})}, "numpy: 2.4.6 and none"),
        ({"pictures_sha256": "cd" * 32}, "pictures: abababababab and cdcdcdcdcdcd"),
        ({"contenders": (contender(threads=4),)}, "threads: 2 and 4"),
        ({"contenders": (contender(form="native"),)}, "form: portable and native"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_saved_results_of_another_set_up_are_refused(changed: dict[str, Any], words: str) -> None:
    saved = record(**changed)
    with pytest.raises(UserError) as error:
        compare_with_saved(record(), saved, SAVED, despite=False)
    assert words in str(error.value) and "old.json" in str(error.value) and "\n" not in str(error.value)
    for comparison in compare_with_saved(record(), saved, SAVED, despite=True):
        assert words in comparison.differences


def test_the_day_and_the_load_are_not_the_set_up() -> None:
    other = replace(MACHINE, date="2027-01-01", load=1.5)
    assert compare_with_saved(record(), record(machine=other), SAVED, despite=False)


def test_saved_contenders_are_found_by_name() -> None:
    saved = record(contender("other"), contender("tiny", (20.0, 24.0, 22.0)))
    frame, _ = compare_with_saved(record(), saved, SAVED, despite=False)
    assert (frame.first, frame.second, frame.ratio.value) == ("tiny", "tiny in old.json", 0.5)
    assert frame.saved and not frame.ratio.paired


def test_one_contender_is_compared_with_one_of_another_name() -> None:
    assert (
        compare_with_saved(record(), record(contender("tiny-int8")), SAVED, despite=False)[0].second == "tiny-int8 in old.json"
    )
    with pytest.raises(UserError, match="has the times of a, b, not of tiny"):
        compare_with_saved(record(), record(contender("a"), contender("b")), SAVED, despite=False)
