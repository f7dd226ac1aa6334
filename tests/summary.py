"""Summary of a test run: the planted faults that were caught, and the time of each module."""

from __future__ import annotations

from collections import Counter

import pytest

_SHOWN_SECONDS = 5.0


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Called by pytest in the process that prints the results."""
    outcomes = [
        (outcome, report)
        for outcome, reports in terminalreporter.stats.items()
        for report in reports
        if isinstance(report, pytest.TestReport)
    ]
    _planted(terminalreporter, [(outcome, report) for outcome, report in outcomes if "plants" in report.keywords])
    _modules(terminalreporter, [report for _, report in outcomes])


def _planted(terminal: pytest.TerminalReporter, outcomes: list[tuple[str, pytest.TestReport]]) -> None:
    called = [outcome for outcome, report in outcomes if report.when == "call"]
    if called:
        terminal.write_line(f"planted faults: {called.count('passed')} of {len(called)} caught")


def _modules(terminal: pytest.TerminalReporter, reports: list[pytest.TestReport]) -> None:
    """Prints the time of each module, set-up included: a conversion counts for the module that first uses it."""
    seconds: Counter[str] = Counter()
    tests: Counter[str] = Counter()
    for report in reports:
        module = report.nodeid.partition("::")[0]
        seconds[module] += report.duration
        tests[module] += report.when == "call"
    if not seconds:
        return
    terminal.section("seconds by module, slowest first")
    shown = [(module, spent) for module, spent in seconds.most_common() if spent >= _SHOWN_SECONDS]
    for module, spent in shown:
        terminal.write_line(f"{spent:7.1f} s  {tests[module]:4d} tests  {module}")
    rest = set(seconds) - {module for module, _ in shown}
    if rest:
        spent, count = (sum(counter[module] for module in rest) for counter in (seconds, tests))
        terminal.write_line(f"{spent:7.1f} s  {count:4d} tests  in {len(rest)} modules of less than {_SHOWN_SECONDS:g} s")
    terminal.write_line(f"{seconds.total():7.1f} s  {tests.total():4d} tests  in all, over all workers")
