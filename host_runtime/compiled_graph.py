"""One .tflite file compiled by LiteRT, called with named NumPy arrays."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import ai_edge_litert
import numpy as np
from ai_edge_litert import compiled_model as litert
from numpy.typing import NDArray

from detr2litert.host_runtime.activity import doing
from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.manifest import REMAKE, GraphSpec, TensorSpec
from detr2litert.host_runtime.quiet import NativeLog, native_log
from detr2litert.host_runtime.tflite.verify_file import verify_file

Accelerator = Literal["cpu", "gpu"]
Array = NDArray[Any]

# LiteRT: "The entire Environment APIs are not verified to support multi-threading" (litert/c/litert_environment.cc). All graphs
# share one environment, so they are compiled and freed one at a time; they may run at the same time.
_environment_in_use = threading.RLock()


@functools.cache
def shared_environment() -> Any:
    """Returns the process's LiteRT environment, created at the first call; graphs can share buffers only within one."""
    with native_log():
        folder = os.path.dirname(ai_edge_litert.__file__)  # noqa: PTH120, the library needs its own folder as a string
        return litert.Environment.create(options=litert.EnvironmentOptions(runtime_path=folder))


class CompiledGraph:
    """A graph with its input and output buffers, which are created once and used for every call.

    Args:
        path: the .tflite file.
        spec: the manifest's names, shapes and types.
        accelerator: "cpu" (XNNPACK) or "gpu" (the ML Drift delegate alone: compiling fails if it does not accept the whole
            graph).
        threads: CPU threads.
        enforce_f32: whether the GPU computes in fp32 instead of fp16.
        shared: output buffers of another graph by the names of the inputs that read them: what crosses in one stays where it
            is, on the GPU too.

    Some graphs make the GPU delegate kill the process at compile time, and a file that is valid but senseless may kill it on
    any accelerator: run an unverified graph in a child process, as `convert detect` does.

    Raises:
        UserError: the file is damaged (`verify_file`), LiteRT cannot load or compile it or does not accept its path, no GPU is
            found, or its signature lacks a name of the manifest or has another shape or type for it.
    """

    def __init__(
        self,
        path: Path,
        spec: GraphSpec,
        *,
        accelerator: Accelerator = "cpu",
        threads: int = 1,
        enforce_f32: bool = False,
        shared: Mapping[str, Any] | None = None,
    ) -> None:
        verify_file(path, runnable=True)
        self.path = path
        self.spec = spec
        hardware = litert.HardwareAccelerator.GPU if accelerator == "gpu" else litert.HardwareAccelerator.CPU
        options = litert.Options(
            hardware_accelerators=hardware,
            cpu_options=litert.CpuOptions(num_threads=threads),
            gpu_options=litert.GpuOptions(enforce_f32=enforce_f32),
        )
        log = NativeLog()
        try:
            str(path).encode()
        except UnicodeEncodeError as error:
            raise UserError(f"{path}: LiteRT accepts UTF-8 paths only; rename the file or folder") from error
        with _environment_in_use:
            try:
                environment = shared_environment()
                with doing(f"LiteRT compiles {path}"), native_log(log):
                    self._model = litert.CompiledModel.from_file(str(path), environment=environment, options=options)
            except RuntimeError as error:
                raise UserError(_compile_failure(path, accelerator, error, log)) from error
            with _litert(path):
                self._check_signature()
                self._create_buffers(dict(shared or {}))

    def _create_buffers(self, shared: dict[str, Any]) -> None:
        spec, name = self.spec, self.spec.signature
        with native_log():
            self._shared = shared
            own = [item for item in spec.inputs if item.name not in self._shared]
            self._inputs = {item.name: self._model.create_input_buffer_by_name(name, item.name) for item in own}
            self._outputs = {item.name: self._model.create_output_buffer_by_name(name, item.name) for item in spec.outputs}
            # The first write of a process makes LiteRT create another environment and log it: captured here.
            for item in own:
                self._inputs[item.name].write(np.zeros(item.shape, item.dtype))

    def __call__(self, tensors: Mapping[str, Array]) -> dict[str, Array]:
        """Runs the graph and returns every output by name; arguments and errors as for `run`."""
        self.run(tensors)
        return self.read()

    def run(self, tensors: Mapping[str, Array]) -> None:
        """Runs the graph, which on a GPU may continue until an output is read.

        Args:
            tensors: at least the graph's inputs that are not shared, by signature name, with exactly the manifest's shapes;
                int64 is narrowed to a graph's int32.

        Raises:
            ValueError: an input is missing or of another shape or dtype.
            UserError: LiteRT could not run the graph.
        """
        for spec in self.spec.inputs:
            if spec.name in self._inputs:
                self._inputs[spec.name].write(_checked_input(spec, tensors, self.path.name))
        with _litert(self.path):
            self._model.run_by_name(self.spec.signature, {**self._inputs, **self._shared}, self._outputs)

    def read(self, names: Collection[str] | None = None) -> dict[str, Array]:
        """Copies outputs out of their buffers: those of these names, or all; raises UserError if LiteRT cannot."""
        with _litert(self.path):
            return {
                spec.name: self._outputs[spec.name].read(int(np.prod(spec.shape)), np.dtype(spec.dtype)).reshape(spec.shape)
                for spec in self.spec.outputs
                if names is None or spec.name in names
            }

    @property
    def output_buffers(self) -> Mapping[str, Any]:
        """The buffers of the outputs by name, for another graph of the same process to read."""
        return self._outputs

    def close(self) -> None:
        """Frees the buffers and the compiled model; the graph cannot be called afterwards."""
        with _environment_in_use, native_log():
            for buffer in (*self._inputs.values(), *self._outputs.values()):
                buffer.destroy()
            self._inputs, self._outputs = {}, {}
            self._model.close()

    def _check_signature(self) -> None:
        signatures: dict[str, dict[str, list[str]]] = self._model.get_signature_list()
        name = self.spec.signature
        if name not in signatures:
            raise UserError(f"{self.path} has no signature '{name}', only {_listed(list(signatures))}; {REMAKE}")
        sides = (
            ("input", self.spec.inputs, self._model.get_input_tensor_details(name)),
            ("output", self.spec.outputs, self._model.get_output_tensor_details(name)),
        )
        for side, specs, details in sides:
            for spec in specs:
                found = details.get(spec.name)
                if found is None:
                    raise UserError(f"{self.path} has no {side} '{spec.name}', only {_listed(list(details))}; {REMAKE}")
                if tuple(found["shape"]) != spec.shape or found["dtype"] != spec.dtype:
                    raise UserError(
                        f"the {side} '{spec.name}' of {self.path} is {found['dtype']}{list(found['shape'])} "
                        f"but the manifest has {spec.dtype}{list(spec.shape)}; {REMAKE}"
                    )
            if side == "input" and len(details) != len(specs):
                extra = sorted(set(details) - {spec.name for spec in specs})
                raise UserError(f"{self.path} needs the input {_listed(extra)}, which the manifest does not list; {REMAKE}")


@contextmanager
def _litert(path: Path) -> Iterator[None]:
    """Raises ``UserError`` for what LiteRT reports in its block: of a verified file, that it has no meaning."""
    try:
        with doing(f"LiteRT runs {path}"):
            yield
    except RuntimeError as error:
        text = " ".join(str(error).split())[:600]
        raise UserError(f"LiteRT cannot run {path} ({text}); {REMAKE}") from error


def _checked_input(spec: TensorSpec, tensors: Mapping[str, Array], graph: str) -> Array:
    tensor = tensors.get(spec.name)
    if tensor is None:
        raise ValueError(f"{graph} needs '{spec.name}' but was given {_listed(sorted(tensors))}")
    if spec.dtype == "int32" and tensor.dtype == np.int64:
        tensor = tensor.astype(np.int32)
    if tensor.shape != spec.shape or str(tensor.dtype) != spec.dtype:
        raise ValueError(f"{graph}'s '{spec.name}' is {tensor.dtype}{list(tensor.shape)}, not {spec.dtype}{list(spec.shape)}")
    return tensor


def _compile_failure(path: Path, accelerator: Accelerator, error: RuntimeError, log: NativeLog) -> str:
    """Returns a one-line message: LiteRT's error, from its exception and its log, and what to do."""
    text = " ".join(f"{error} {' | '.join(log.errors)}".split())
    if "No adapters found" in text:
        return f"no GPU was found to run {path} on; install a Vulkan driver (see `convert doctor`) or use the CPU"
    advice = "use the CPU, and look at the report's residency gate" if accelerator == "gpu" else REMAKE
    if not log.captured:
        advice = f"LiteRT's lines on standard error have the reason; {advice}"
        if accelerator == "gpu":
            advice = f"{advice}; if they say that no adapter was found, install a Vulkan driver (see `convert doctor`)"
    return f"LiteRT cannot compile {path} for the {accelerator.upper()} ({text[:600]}); {advice}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names) or "none"
