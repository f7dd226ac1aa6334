"""``detr2litert bench --phone``: the benchmark part of ``detr2litert device``, on a phone over adb."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from detr2litert.convert.cli.base import BAD_INPUT, GATE_FAILED, exit_code, refuse
from detr2litert.convert.cli.bench_display import print_table
from detr2litert.host_runtime.errors import UserError
from detr2litert.verify.printable import printable

if TYPE_CHECKING:
    from detr2litert.verify.device.parity import DeviceRow
    from detr2litert.verify.device.protocol import Request

NOT_ON_A_PHONE = (
    "images",
    "form",
    "threads",
    "against",
    "weights",
    "despite_differences",
    "batch",
    "preload",
    "seed",
    "out",
)
"""The options of ``bench`` whose contenders, pictures or page a phone does not have."""


def bench_on_phones(
    bundles: tuple[Path, ...], serials: tuple[str, ...], package: str, request: Request, budget: str | None
) -> tuple[int, Path]:
    """Times a bundle on the connected phone, or on those named, prints the times, and returns the exit code.

    The phone is checked as by ``detr2litert device``: times of a bundle that computes something else are worth nothing.

    Args:
        bundles: exactly one.
        serials: devices, as adb lists them; empty for the only one.
        package: of the app.
        request: what to run.
        budget: time such as ``33ms`` for the p95 from A to B; None for none.

    Returns:
        The exit code, and the folder of the device's report.

    Raises:
        UserError: there are several bundles, or see ``convert.commands.device.run_on_devices``.
    """
    from detr2litert.convert.commands.device import run_on_devices
    from detr2litert.verify.bench.budget import parse_budget

    if len(bundles) != 1:
        raise UserError(f"--phone times one bundle at a time, and {len(bundles)} are given; give one")
    limit = None if budget is None else parse_budget(budget)
    report, folder = run_on_devices(bundles[0], serials, False, package, request, None)
    codes = [_print_phone(row, request, limit) for row in report.rows]
    return max(codes), folder


def _print_phone(row: DeviceRow, request: Request, limit: float | None) -> int:
    if row.error:
        refuse(row.error)
        return BAD_INPUT
    gates = {gate.gate: gate for gate in row.gates}
    latency = gates["latency"]
    model = row.facts.get("device", {}).get("model")
    click.echo(printable(f"{row.serial}  {model}: {request.runs} runs on the {request.accelerator.upper()}"))
    # An emulator is named in every summary of a gate.
    click.echo(printable(latency.summary))
    times = latency.data.get("milliseconds", {}) if latency.data else {}
    if times:
        names = ("median", "p95", "p99")
        print_table(("milliseconds", *names), ((stage, *(f"{of[name]:.2f}" for name in names)) for stage, of in times.items()))
    for gate in row.gates:
        if gate.gate != "latency" and gate.verdict != "passed":
            click.echo(printable(f"{gate.gate} {gate.verdict}: {gate.summary}"))
    code = exit_code(row.gates, False)
    if limit is None or not times:
        return code
    p95 = times["whole chain"]["p95"]
    click.echo(f"budget {limit:g} ms: {'kept' if p95 <= limit else 'not kept'}, p95 {p95:.2f} ms, from A to B without decoding")
    return code if p95 <= limit else max(code, GATE_FAILED)
