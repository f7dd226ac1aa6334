"""``am instrument`` on the emulator, and the app's process: the same protocol with LiteRT on this machine's CPU.

Started as ``python -m tests.device.app_process ROOT [-w] [-r] -e NAME VALUE ... PACKAGE/CLASS``, it starts itself again as the
app, in a separate session, so that the app outlives a client that disconnects, as on a phone. Its GPU is this machine's CPU
with rounded outputs: to float16, or for ``fp32`` in the last digits, since a GPU never agrees bit by bit.

Faults, from faults.json: ``crash`` or ``hang`` (a stage), ``no_line`` (logcat lacks the delegate's), ``partial`` (nodes left
out of the delegate's count), ``wrong`` (``a``, ``host``, ``b`` or ``m``: that stage's outputs are wrong; or the name of the
only wrong output), ``silent_cpu`` (no rounding), ``schema`` (the newest version that the app reads), ``refused`` (the delegate
accepts no graph), ``old_result`` (result.json is another run's), ``truncated`` (a truncated tensor), ``reshaped`` (a stage
whose outputs are reported flat), ``clock_back`` (seconds by which the clock is set back as the app starts), ``record`` (entries
of result.json, which replace the right ones), ``more_tensors`` (how often it lists its first tensor again).
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

NODES = {"a": 120, "b": 45, "m": 9}
"""The node count that the emulated delegate reports; not the graph's."""
_AS_APP = "--app"
_COMPONENT = "org.detr2litert.sample.parity.ParityInstrumentation"


class App:
    """One instrumentation."""

    def __init__(self, root: Path, package: str, arguments: dict[str, str], verbose: bool) -> None:
        self.state = root / ".emulator"
        self.files = root / "data/data" / package / "files"
        self.package, self.arguments, self.verbose = package, arguments, verbose
        self.faults = json.loads((self.state / "faults.json").read_text(encoding="utf-8"))
        self.stage = "arguments"
        self.record: dict[str, Any] = {"protocol": 1}
        self.tensors: list[dict[str, Any]] = []
        self.gpu = arguments.get("accelerator", "gpu") == "gpu"

    def enter(self, stage: str) -> None:
        """Starts the next stage, and causes its fault if one is set."""
        self.stage = stage
        if self.verbose:
            print(f"INSTRUMENTATION_STATUS: stage={stage}\nINSTRUMENTATION_STATUS_CODE: 1", flush=True)
        if self.faults.get("crash") == stage and self.gpu:
            self.log("F", "libc", "Fatal signal 11 (SIGSEGV), code 1 (SEGV_MAPERR), fault addr 0x0 [emulated]")
            os.kill(os.getpid(), signal.SIGKILL)
        while self.faults.get("hang") == stage:
            time.sleep(1)

    def log(self, level: str, tag: str, text: str) -> None:
        """A line of logcat, as ``-v threadtime`` prints it."""
        now = time.strftime("%m-%d %H:%M:%S.000", time.localtime(time.time() - self.faults.get("clock_back", 0)))
        with (self.state / "logcat").open("a", encoding="utf-8") as stream:
            stream.write(f"{now} {os.getpid():5d} {os.getpid():5d} {level} {tag}: {text}\n")

    def run(self) -> dict[str, str]:
        """The values of ``INSTRUMENTATION_RESULT``."""
        folder = self.files / self.arguments["run"]
        if not folder.is_dir() or (folder / "result.json").exists():
            return {"status": "failed", "stage": "arguments", "kind": "argument", "message": "no fresh run folder"}
        outcome = {"status": "ok"}
        try:
            self.measure(folder)
            self.record |= {"status": "ok", "error": None}
        except Refused as error:
            outcome = {"status": "failed", "kind": error.kind, "message": str(error)}
            self.record |= {"status": "failed", "error": {"stage": self.stage, "kind": error.kind, "message": str(error)}}
        if self.faults.get("old_result"):
            self.record["request"]["run"] = "runs/of-another-day"
        (folder / "result.json.part").write_text(self.result(), encoding="utf-8")
        (folder / "result.json.part").rename(folder / "result.json")
        return {**outcome, "stage": self.stage}

    def result(self) -> str:
        """The text of result.json."""
        text = json.dumps(self.record | self.faults.get("record", {}))
        if more := self.faults.get("more_tensors"):
            text = text.replace('"tensors": [', '"tensors": [' + f"{json.dumps(self.tensors[0])}, " * int(more))
        return text

    def measure(self, folder: Path) -> None:
        """Runs the bundle."""
        import numpy as np

        from detr2litert.host_runtime.bundle import file_sha256, load_bundle
        from detr2litert.host_runtime.compiled_graph import CompiledGraph
        from detr2litert.host_runtime.errors import UserError
        from detr2litert.host_runtime.host_step import HostStep

        runs, warmup = int(self.arguments.get("runs", 20)), int(self.arguments.get("warmup", 5))
        numbers = {"runs": runs, "warmup": warmup, "threads": int(self.arguments.get("threads", 4))}
        self.record["request"] = {"accelerator": "gpu", "precision": "default", "cache": False, **self.arguments, **numbers}
        self.record["device"] = {
            "manufacturer": "detr2litert", "model": "test emulator (not a phone)", "device": "emulator", "hardware": "emulator",
            "soc_manufacturer": "none", "soc_model": "emulated on a CPU", "abis": [], "cores": os.cpu_count(),
            "fingerprint": "detr2litert/test_emulator/emulator:not-a-phone",
        }  # fmt: skip
        self.record["android"] = {"release": "0", "sdk": 0, "security_patch": ""}
        self.record["app"] = {
            "package": self.package, "version": "emulated", "litert": "emulated", "debuggable": True, "pid": os.getpid(),
        }  # fmt: skip
        self.enter("bundle")
        try:
            bundle = load_bundle(self.files / self.arguments["bundle"])
        except UserError as error:
            raise Refused("bundle_damaged", str(error)) from error
        manifest = bundle.manifest
        newest = self.faults.get("schema", manifest.schema_version)
        if manifest.schema_version > newest:
            message = (
                f"manifest.json has schema version {manifest.schema_version} but this app reads up to {newest}; update the app"
            )
            raise Refused("bundle_manifest", message)
        self.record["bundle"] = {
            "variant": manifest.variant,
            "target": manifest.target,
            "manifest_sha256": file_sha256(bundle.root / "manifest.json"),
        }
        self.enter("compile")
        start = time.perf_counter()
        graphs = {}
        for name, spec in manifest.graphs.by_name.items():
            key = name[-1]
            self.log("I", "DetrSample", f"compiling {spec.file} for the {'GPU' if self.gpu else 'CPU'}")
            self.delegate(key, spec.file)
            graphs[key] = CompiledGraph(bundle.path(spec.file), spec)
        host = HostStep(manifest.host_step, bundle.host_constants(), manifest.graphs.a.outputs)
        self.record["milliseconds"] = {"open": (time.perf_counter() - start) * 1000}
        self.enter("run")

        def graph(key: str, tensors: dict[str, Any]) -> dict[str, Any]:
            return {name: self.corrupted(key, name, self.rounded(value)) for name, value in graphs[key](tensors).items()}

        def host_step(tensors: dict[str, Any]) -> dict[str, Any]:
            return {name: self.corrupted("host", name, value) for name, value in host(tensors).items()}

        def given(stage: str, specs: Any) -> dict[str, Any]:
            read = {}
            for spec in specs:
                data = (folder / "in" / stage / f"{file_stem(spec.name)}.{SUFFIX[spec.dtype]}").read_bytes()
                read[spec.name] = np.frombuffer(data, DTYPE[spec.dtype]).reshape(spec.shape)
            return read

        image = given("a", manifest.graphs.a.inputs)
        stages = ("write_a", "run_a", "read_a", *(("host", "write_b", "run_b", "read_b") if "b" in graphs else ()))
        if manifest.graphs.m is not None:
            kept = [spec for spec in manifest.graphs.m.inputs if spec.name == manifest.postprocess.masks.kept]
            chosen = given("m", kept)
            stages += ("write_m", "run_m", "read_m")
        times: dict[str, list[float]] = {stage: [] for stage in stages}
        for number in range(warmup + runs):
            marks = [time.perf_counter()]
            a = graph("a", image)
            marks.append(time.perf_counter())
            written = {"a": a}
            if "b" in graphs:
                written["host"] = host_step(a)
                marks.append(time.perf_counter())
                written["b"] = graph("b", {**a, **written["host"]})
                marks.append(time.perf_counter())
            if "m" in graphs:
                written["m"] = graph("m", {**written["b" if "b" in graphs else "a"], **chosen})
                marks.append(time.perf_counter())
            if number >= warmup:
                took = [(end - begin) * 1000 for begin, end in itertools.pairwise(marks)]
                spread = (0.0, took[0], 0.0, *((took[1], 0.0, took[2], 0.0) if "b" in graphs else ()))
                spread += (0.0, took[-1], 0.0) if "m" in graphs else ()
                for stage, value in zip(stages, spread, strict=True):
                    times[stage].append(value)
        self.record["milliseconds"] |= times
        self.record["thermal"] = {"before": 0, "after": 0}
        for stage, outputs in written.items():
            self.write(folder, stage, outputs)
        if (folder / "in/host").is_dir():
            names = [spec for spec in manifest.graphs.a.outputs if spec.name in manifest.host_step.inputs]
            self.write(folder, "host_given", host_step(given("host", names)))
        if (folder / "in/b").is_dir():
            self.write(folder, "b_given", graph("b", given("b", manifest.graphs.b.inputs)))
        if manifest.graphs.m is not None:
            self.write(folder, "m_given", graph("m", given("m", manifest.graphs.m.inputs)))
        self.record["tensors"] = self.tensors
        self.enter("done")

    def delegate(self, key: str, file: str) -> None:
        """Logs the delegate's line, or raises its refusal."""
        if not self.gpu:
            return
        self.log("I", "litert", "GPU accelerator registered. [emulated on a CPU]")
        if self.faults.get("refused"):
            raise Refused("engine_gpu_refused", f"{file}: the GPU delegate refuses it (GATHER_ND: not supported) [emulated]")
        left, partitions = (int(self.faults.get("partial", 0)), 2) if self.faults.get("partial") else (0, 1)
        if not self.faults.get("no_line"):
            self.log(
                "I", "tflite",
                f"Replacing {NODES[key] - left} out of {NODES[key]} node(s) with delegate (EMULATED_ON_CPU) node, yielding "
                f"{partitions} partitions for subgraph 0.",
            )  # fmt: skip

    def rounded(self, value: Any) -> Any:
        """Rounds outputs, as a GPU's differ from the CPU's."""
        import numpy as np

        if not self.gpu or self.faults.get("silent_cpu") or value.dtype != np.float32:
            return value
        if self.arguments.get("precision") == "fp32":
            return value * np.float32(1 + 2**-20)
        return value.astype(np.float16).astype(np.float32)

    def corrupted(self, stage: str, name: str, value: Any) -> Any:
        """An output of a stage, negated if a fault names either: every metric except the magnitude detects it.

        Indices are reversed instead, so that graph B can gather by them.
        """
        if self.faults.get("wrong") not in (stage, name):
            return value
        return value[..., ::-1] if value.dtype.kind == "i" else -value

    def write(self, folder: Path, stage: str, outputs: dict[str, Any]) -> None:
        """Tensors as raw files."""
        import numpy as np

        for name, value in outputs.items():
            dtype = str(value.dtype)
            file = f"out/{stage}/{file_stem(name)}.{SUFFIX[dtype]}"
            data = np.ascontiguousarray(value, DTYPE[dtype]).tobytes()
            place = folder / file
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data[:-4] if self.faults.get("truncated") == stage else data)
            digest = hashlib.sha256(data).hexdigest()
            shape = [value.size] if self.faults.get("reshaped") == stage else list(value.shape)
            self.tensors.append({"stage": stage, "name": name, "dtype": dtype, "shape": shape, "file": file, "sha256": digest})


SUFFIX = {"float32": "f32", "int32": "i32"}
DTYPE = {"float32": "<f4", "int32": "<i4"}


class Refused(Exception):  # noqa: N818, the protocol's word
    """A failure that the app reports."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def file_stem(name: str) -> str:
    """A tensor's name as INSTRUMENTATION.md writes it."""
    return "".join(
        chr(byte)
        if chr(byte).isascii() and (chr(byte).isalnum() or chr(byte) in "_-" or (chr(byte) == "." and place))
        else f"%{byte:02X}"
        for place, byte in enumerate(name.encode())
    )


def main(words: list[str]) -> int:
    """``am instrument``, or the app itself."""
    as_app = words[0] == _AS_APP
    words = words[1:] if as_app else words
    root, component = Path(words[0]), words[-1]
    package = component.partition("/")[0]
    options = words[1:-1]
    arguments = {options[i + 1]: options[i + 2] for i, word in enumerate(options) if word == "-e"}
    if as_app:
        from detr2litert.host_runtime.quiet import silence_native_log

        silence_native_log()
        outcome = App(root, package, arguments, "-r" in options).run()
        for key, value in outcome.items():
            print(f"INSTRUMENTATION_RESULT: {key}={value}")
        print("INSTRUMENTATION_CODE: -1")
        return 0
    if component != f"{package}/{_COMPONENT}" or not (root / ".emulator" / f"{package}.debug").exists():
        print(f"android.util.AndroidException: INSTRUMENTATION_FAILED: {component}", file=sys.stderr)
        print("INSTRUMENTATION_STATUS: id=ActivityManagerService")
        print(f"INSTRUMENTATION_STATUS: Error=Unable to find instrumentation info for: ComponentInfo{{{component}}}")
        print("INSTRUMENTATION_STATUS_CODE: -1")
        return 1
    app = subprocess.Popen([sys.executable, "-m", "tests.device.app_process", _AS_APP, *words], start_new_session=True)
    pid_file = root / ".emulator" / f"{package}.pid"
    pid_file.write_text(str(app.pid), encoding="utf-8")
    code = app.wait()
    pid_file.unlink(missing_ok=True)
    if code != 0:
        print("INSTRUMENTATION_RESULT: shortMsg=Process crashed.\nINSTRUMENTATION_CODE: 0")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
