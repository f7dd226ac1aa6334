"""``python -m tools.litert_js``: runs the probe suite in LiteRT.js, in a headless Chromium on WebGPU in software.

LiteRT.js has a delegate of its own version, newer than the Python runtime's: what it refuses or computes wrong, a phone's next
runtime may as well. Needs Node 20, the web demo's packages, which ``bash web_demo/check.sh`` fetches, and a Chromium, which is
fetched if the machine has none.
"""

from __future__ import annotations

import datetime
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from safetensors.numpy import save_file

from detr2litert.convert.commands.probe import choose
from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.scratch import scratch_folder
from detr2litert.host_runtime.tflite.graph import read_graph
from detr2litert.verify.delegate.run import Job
from detr2litert.verify.probe.difference import compare
from detr2litert.verify.probe.measure import judge_outputs, references_of
from detr2litert.verify.probe.probe import Behaviour, Probe, Values
from detr2litert.verify.probe.suite import SUITE
from detr2litert.verify.probe.table import FOLDER, Measured, Result, read_measured, write_measured
from tests.web.chromium import chromium

WEB_DEMO = Path(__file__).parents[1] / "web_demo"
RECORDED = FOLDER / "litert_js"
BACKEND = "litert.js"
_ADAPTER = "SwiftShader"
_BAD_INPUT = 2
_TIME_LIMIT = 1200


@click.command()
@click.option("--only", multiple=True, help="A probe, or a lint rule's probes; repeatable.")
@click.option("--write", "written", type=click.Path(path_type=Path), help="Folder for the measurement.")
def main(only: tuple[str, ...], written: Path | None) -> None:
    """Run the probe suite in LiteRT.js and compare it with the recorded measurement.

    Exits with 1 if something differs.
    """
    try:
        sys.exit(run(only, written))
    except UserError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(_BAD_INPUT)


def run(only: Sequence[str], written: Path | None) -> int:
    """Measures, prints what differs from the record, and returns the exit code."""
    if only and written is not None:
        raise UserError("--write records a measurement of the whole suite; leave out --only, or --write")
    now = measure(choose(SUITE, only))
    counts = Counter(result.behaviour for result in now.results.values())
    click.echo(f"LiteRT.js {now.runtime}: {', '.join(f'{number} {kind}' for kind, number in counts.most_common())}")
    if written is not None:
        write_measured(now, written / now.file_name)
    records = sorted(RECORDED.glob("*.json"))
    if not records:
        return 0
    changes = compare(read_measured(records[-1]), now, {probe.name: probe for probe in SUITE}, whole=not only)
    for change in changes:
        before, after = (result.behaviour if result else "none" for result in (change.before, change.after))
        click.echo(f"{change.kind}: {change.probe}: {before} -> {after}")
    return int(bool(changes))


def measure(probes: Sequence[Probe]) -> Measured:
    """Runs probes in LiteRT.js and judges them as ``verify.probe.measure`` does.

    Raises:
        UserError: Node or LiteRT.js is missing, or the browser did not run to the end.
    """
    package = WEB_DEMO / "node_modules/@litertjs/core/package.json"
    if not package.is_file():
        raise UserError("LiteRT.js is not installed; `bash web_demo/check.sh` fetches it")
    with scratch_folder() as folder:
        jobs = [_written(probe, folder) for probe in probes]
        ran = _run([probe.name for probe in probes], folder)
        references = references_of(probes, jobs, [ran[probe.name]["outcome"] == "ran" for probe in probes])
        results = {
            probe.name: _judged(probe, job, ran[probe.name], reference)
            for probe, job, reference in zip(probes, jobs, references, strict=True)
        }
    version = json.loads(package.read_text(encoding="utf-8"))["version"]
    return Measured(version, BACKEND, _ADAPTER, "fp32", datetime.datetime.now(datetime.UTC).date().isoformat(), results)


def _written(probe: Probe, folder: Path) -> Job:
    model = probe.write(folder)
    inputs = probe.inputs(model)
    save_file({name: np.ascontiguousarray(value) for name, value in inputs.items()}, folder / f"{probe.name}.safetensors")
    return Job(model, (inputs,))


def _run(names: Sequence[str], folder: Path) -> Mapping[str, Any]:
    """Returns what the page said of each probe (``web_demo/probe/page.js``)."""
    command = ["node", str(WEB_DEMO / "probe/main.js"), str(chromium()), str(folder), *names]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_TIME_LIMIT)
    except FileNotFoundError as error:
        raise UserError("node is not installed; install Node 20 with npm") from error
    except subprocess.TimeoutExpired as error:
        raise UserError(f"Chromium did not run the probes within {_TIME_LIMIT} s; run them on an idle machine") from error
    if done.returncode:
        raise UserError(f"the probes did not run to the end in Chromium: {done.stderr.strip()[-400:]}")
    found: Mapping[str, Any] = json.loads(done.stdout)
    return found


def _judged(probe: Probe, job: Job, ran: Mapping[str, Any], reference: Values | None) -> Result:
    """Judges one probe. A program that LiteRT.js took may fail WebGPU's validation: the message is kept as the reason."""
    if ran["outcome"] != "ran":
        died = ran["outcome"] == "died"
        return Result(Behaviour(ran["outcome"]), refusal="" if died else ran["reason"], death=ran["reason"] if died else "")
    graph = read_graph(job.model)
    shapes = {name: graph.tensors[index].shape for name, index in graph.signature_outputs.items()}
    outputs = {name: np.array(values, np.float64) for name, values in ran["outputs"].items()}
    if any(outputs[name].size != np.prod(shape) for name, shape in shapes.items()):
        return Result(Behaviour.WRONG, float("inf"), refusal="an output has another number of values")
    result = judge_outputs(probe, {name: outputs[name].reshape(shape) for name, shape in shapes.items()}, reference)
    return Result(result.behaviour, result.max_abs_diff, refusal=ran["reason"] or result.refusal)


if __name__ == "__main__":
    main()
