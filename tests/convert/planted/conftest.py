"""The score: how many of the planted faults were caught; and one export for all that is planted behind it."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import pytest
from torch import Tensor, fx, nn

from convert import compiler
from rewrites.program import export


@pytest.fixture(autouse=True, scope="module")
def exported_once() -> Iterator[None]:
    """No fault is planted in the export, which takes most of a compilation's time."""
    exports: dict[nn.Module, fx.GraphModule] = {}

    def cached(module: nn.Module, inputs: tuple[Tensor, ...]) -> fx.GraphModule:
        if module not in exports:
            exports[module] = export(module, inputs)
        return copy.deepcopy(exports[module])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiler, "export", cached)
        yield


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    planted = [
        (outcome, report)
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, [])
        if report.when == "call" and "plants" in report.keywords
    ]
    if planted:
        caught = sum(outcome == "passed" for outcome, _ in planted)
        terminalreporter.write_line(f"planted faults: {caught} of {len(planted)} caught")
