"""The score: how many of the planted faults were caught."""

from __future__ import annotations

import pytest


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
