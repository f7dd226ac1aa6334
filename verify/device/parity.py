"""Checks a bundle on one device from end to end: installs, runs and judges it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from detr2litert.host_runtime.bundle import Bundle
from detr2litert.host_runtime.compiled_graph import CompiledGraph
from detr2litert.host_runtime.decode import Detections, decode_outputs
from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.host_step import HostStep
from detr2litert.host_runtime.manifest import Golden, Graphs, Manifest
from detr2litert.host_runtime.preprocess import load_image, taken_inputs
from detr2litert.verify.adb.app import App
from detr2litert.verify.adb.client import Device
from detr2litert.verify.adb.errors import CommandFailedError
from detr2litert.verify.adb.install import Progress, install_bundle
from detr2litert.verify.device.drive import DeviceRun, ParityRuns
from detr2litert.verify.device.judge import (
    check_delegated,
    check_fallback,
    check_latency,
    check_one_graph,
    check_ran,
    check_stages,
    detection_limits,
    stage_limits,
)
from detr2litert.verify.device.masks import MaskSource
from detr2litert.verify.device.protocol import STAGES, Array, Request, given
from detr2litert.verify.gates import GateResult, Verdict, overall
from detr2litert.verify.parity.detections import DetectionCase, DetectionLimits, check_detections
from detr2litert.verify.precision import detection_limits as of_precision

EMULATOR = "EMULATOR, NOT A PHONE"
_EMULATED = re.compile(
    r"emulator|simulator|goldfish|ranchu|sdk_gphone|google_sdk|sdk_x86|built for x86|^generic|cutf_|vsoc_|vbox86|genymotion",
    re.IGNORECASE,
)
_CPU_RUNS = 1
Report = Callable[[str], None]


@dataclass(frozen=True)
class DeviceRow:
    """One device's part of a report.

    Attributes:
        serial: as adb names it.
        emulator: it reports that it is one, so that no figure here applies to a phone.
        facts: the properties it reports.
        gates: in order.
        error: why there are no gates, "" if there are.
    """

    serial: str
    emulator: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)
    gates: tuple[GateResult, ...] = ()
    error: str = ""

    @property
    def verdict(self) -> Verdict:
        """Failed where a gate failed; not run where the device could not be used."""
        return Verdict.NOT_RUN if self.error or not self.gates else overall(self.gates)


def is_emulator(properties: Mapping[str, str]) -> bool:
    """Returns whether a device's properties identify it as an emulator.

    Android's emulators set ``ro.kernel.qemu`` or ``ro.boot.qemu``; the names are theirs, Cuttlefish's and Genymotion's.
    """
    product = tuple(f"ro.product.{name}" for name in ("manufacturer", "model", "device", "name"))
    named = (*product, "ro.hardware", "ro.build.fingerprint")
    matched = any(_EMULATED.search(properties.get(name, "")) for name in named)
    return matched or any(properties.get(name) == "1" for name in ("ro.kernel.qemu", "ro.boot.qemu"))


def check_device(
    device: Device,
    package: str,
    bundle: Bundle,
    request: Request,
    report: Report = lambda text: None,
    sending: Progress | None = None,
) -> DeviceRow:
    """Runs a bundle on a device and judges it; the bundle stays on the device, everything else is removed.

    Args:
        device: ready.
        package: of the app.
        bundle: with golden vectors.
        request: what to run.
        report: called with a description of each step.
        sending: called with the progress of sending the bundle.

    Raises:
        UserError: the bundle has no golden vectors, or its golden vectors lack a tensor.
        DeviceError: the device, the app or the connection failed.
    """
    golden, tensors = _golden(bundle)
    app = App(device, package)
    report("install the bundle")
    installed = install_bundle(app, bundle, sending or (lambda name, done, total: None))
    properties = device.properties()
    emulator = is_emulator(properties)
    named = f" of an {EMULATOR}" if emulator else ""
    with ParityRuns(app, installed, _inputs(bundle, tensors), _outputs(bundle, tensors)) as runs:
        report(f"run on the {request.accelerator.upper()}{named}")
        run = runs.run(request)
        cpu = None
        if run.ended.status == "ok" and request.accelerator == "gpu":
            report(f"run on the CPU{named}, to compare")
            cpu = runs.run(replace(request, accelerator="cpu", runs=_CPU_RUNS, warmup=0))
    report("judge")
    gates = _judge(bundle, golden, tensors, run, cpu)
    if emulator:
        gates = tuple(replace(gate, summary=f"[{EMULATOR}] {gate.summary}") for gate in gates)
    return DeviceRow(device.serial, emulator, _facts(properties, run), gates)


def _golden(bundle: Bundle) -> tuple[Golden, dict[str, Array]]:
    manifest = bundle.manifest
    if manifest.golden is None:
        raise UserError(f"{bundle.root} has no golden vectors to compare with; make it again with `convert run`")
    tensors: dict[str, Array] = dict(bundle.golden_tensors())
    graphs = manifest.graphs_by_name.values()
    names = {spec.name for graph in graphs for spec in (*graph.inputs, *graph.outputs)} | set(manifest.host_step.outputs)
    lacking = sorted(names - set(tensors))
    if lacking:
        raise UserError(f"the golden vectors of {bundle.root} lack {', '.join(lacking)}; make it again with `convert run`")
    return manifest.golden, tensors


def _inputs(bundle: Bundle, tensors: Mapping[str, Array]) -> dict[str, bytes]:
    """Returns the golden inputs of every stage, as files of a run's folder; graph A's of both forms: the app says which ran."""
    manifest = bundle.manifest
    return {
        **given([spec.name for spec in taken_inputs(manifest)], tensors, "a"),
        **given(manifest.host_step.inputs, tensors, "host"),
        **given([] if manifest.graphs.b is None else [spec.name for spec in manifest.graphs.b.inputs], tensors, "b"),
        **given([] if manifest.graphs.m is None else [spec.name for spec in manifest.graphs.m.inputs], tensors, "m"),
    }


def _outputs(bundle: Bundle, tensors: Mapping[str, Array]) -> dict[str, dict[str, tuple[int, ...]]]:
    """Returns the shape of every output that the app has to write, by stage and name."""
    manifest = bundle.manifest
    names = {name[-1]: [spec.name for spec in graph.outputs] for name, graph in manifest.graphs.by_name.items()}
    names["host"] = list(manifest.host_step.outputs)
    stages = _stages(manifest)
    return {
        stage: {name: tensors[name].shape for name in names[of]}
        for stage in STAGES
        if (of := stage.removesuffix("_given")) in stages
    }


def _judge(
    bundle: Bundle, golden: Golden, tensors: Mapping[str, Array], run: DeviceRun, cpu: DeviceRun | None
) -> tuple[GateResult, ...]:
    manifest = bundle.manifest
    ran = check_ran(run)
    if ran.verdict is not Verdict.PASSED:
        names = ("residency", "stages", "fallback", "detections", "latency")
        return ran, *(GateResult(name, Verdict.NOT_RUN, "the run did not complete", ran.advice) for name in names)
    graphs = {name: spec.file for name, spec in _graphs_run(manifest, run).by_name.items()}
    limits = of_precision(manifest, detection_limits(run.request, golden.threshold))
    size = load_image(bundle.path(golden.image)).size
    allowed, chain = stage_limits(manifest), _chain(bundle, run)
    masks = MaskSource(bundle, size) if manifest.graphs.m is not None else None
    with masks or nullcontext():
        detections = _detections(manifest, tensors, run, size, limits, masks)
        if masks is not None and manifest.postprocess.masks is not None:
            # Last, as the app runs it: with the device's embeddings, and the queries that it was given.
            kept, last = tensors[manifest.postprocess.masks.kept], run.tensors[_last(manifest)]
            chain["m"] = {manifest.postprocess.masks.output: masks.logits(last, kept)}
    if manifest.graphs.b is None:
        stages = check_one_graph(run, tensors, chain, allowed, by_query=manifest.postprocess.outputs)
    else:
        stages = check_stages(run, tensors, chain, allowed)
    gates = [ran, check_delegated(run, graphs), stages]
    if run.request.accelerator == "gpu":
        gates.append(check_fallback(run, cpu))
    return *gates, detections, check_latency(run)


def _detections(
    manifest: Manifest,
    tensors: Mapping[str, Array],
    run: DeviceRun,
    size: tuple[int, int],
    limits: DetectionLimits,
    masks: MaskSource | None,
) -> GateResult:
    """Compares what the device's outputs decode to with what the golden ones do; with masks, those too."""

    def decoded(outputs: Mapping[str, Array], own: tuple[Array, Array] | None) -> Detections:
        masks_of = None if masks is None else lambda queries: masks.masks_of(outputs, queries, own)
        return decode_outputs(manifest, outputs, size, threshold=limits.floor, masks_of=masks_of)

    spec = manifest.postprocess.masks
    own = None if spec is None else (tensors[spec.kept], run.tensors["m"][spec.output])
    try:
        reference, candidate = decoded(tensors, None), decoded(run.tensors[_last(manifest)], own)
    except ValueError as error:
        return GateResult("detections", Verdict.FAILED, f"the device's outputs cannot be decoded: {error}", "see stages")
    result = check_detections([DetectionCase("golden picture", reference.items, candidate.items)], limits)
    if masks is not None and masks.computed_here:
        here = f"{masks.computed_here} masks computed here from the device's embeddings, since its graph M had other queries"
        result = replace(result, summary=f"{result.summary}; {here}")
    return result


def _last(manifest: Manifest) -> str:
    """Returns the stage that gives boxes and logits."""
    return "a" if manifest.graphs.b is None else "b"


def _stages(manifest: Manifest) -> tuple[str, ...]:
    """Returns the stages whose outputs the app writes in the chain."""
    stages = ("a",) if manifest.graphs.b is None else ("a", "host", "b")
    return stages if manifest.graphs.m is None else (*stages, "m")


def _chain(bundle: Bundle, run: DeviceRun) -> dict[str, Mapping[str, Array]]:
    """Computes here what the host step and graph B give for the inputs that the device itself gave them; empty for one graph.

    Graph B is compiled alone: a ``Runner``'s reads graph A's output buffers, and ignores other values for those inputs. Its
    outputs are NaN, which nothing agrees with, if LiteRT refuses the device's inputs: indices outside of what they index.
    """
    manifest = bundle.manifest
    spec_b = manifest.graphs.b
    if spec_b is None:
        return {}
    device_a = run.tensors["a"]
    host_step = HostStep(manifest.host_step, bundle.host_constants(), manifest.graphs.a.outputs)
    graph_b = CompiledGraph(bundle.path(spec_b.file), spec_b)
    b: Mapping[str, Array]
    try:
        b = graph_b({**device_a, **run.tensors["host"]})
    except RuntimeError:
        b = {spec.name: np.full(spec.shape, np.nan, np.float32) for spec in spec_b.outputs}
    finally:
        graph_b.close()
    return {"host": host_step(device_a), "b": b}


def _graphs_run(manifest: Manifest, run: DeviceRun) -> Graphs:
    """Returns the graphs in the form that ran; raises CommandFailedError if the bundle lacks the form that the app names."""
    if run.result is None or run.result.form == "portable":
        return manifest.graphs
    if manifest.native_graphs is None:
        message = "the app reports that it ran the native form of the graphs, which the bundle lacks"
        raise CommandFailedError(f"{message}; install the app's build of this version")
    return manifest.native_graphs


def _facts(properties: Mapping[str, str], run: DeviceRun) -> dict[str, Any]:
    """Returns device, SoC, Android, runtime and the form of the graphs; without the app's report, the system's properties."""
    if run.result is not None:
        result = run.result
        graphs = {"form": result.form, "native_refused": result.refusal}
        return {"device": dict(result.device), "android": dict(result.android), "app": dict(result.app), "graphs": graphs}
    named = {"manufacturer": "ro.product.manufacturer", "model": "ro.product.model", "hardware": "ro.hardware"}
    named |= {"soc_model": "ro.soc.model", "fingerprint": "ro.build.fingerprint"}
    android = {"release": properties.get("ro.build.version.release"), "sdk": properties.get("ro.build.version.sdk")}
    return {"device": {key: properties.get(name) for key, name in named.items()}, "android": android, "app": {}}
