"""Runs a bundle: picture -> graph A -> host step -> graph B -> detections; or picture -> graph A -> detections."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

from numpy.typing import NDArray
from PIL import Image

from detr2litert.host_runtime.bundle import Bundle, load_bundle
from detr2litert.host_runtime.compiled_graph import Accelerator, CompiledGraph
from detr2litert.host_runtime.decode import Detections, decode_outputs
from detr2litert.host_runtime.errors import BusyError, UserError
from detr2litert.host_runtime.host_step import HostStep
from detr2litert.host_runtime.manifest import Graphs, GraphSpec, Manifest
from detr2litert.host_runtime.mask_graph import batches, masks_of_calls
from detr2litert.host_runtime.masks import Mask
from detr2litert.host_runtime.preprocess import load_image, prepare

Array = NDArray[Any]
T = TypeVar("T")
Form = Literal["native", "portable"]

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class StageOutputs:
    """Every stage's tensors by name, and the time of each stage.

    Attributes:
        graph_a: graph A's outputs, all or those that the next stage reads.
        host_step: the host step's outputs; empty where there is one graph.
        graph_b: graph B's outputs; None where there is one graph.
        milliseconds: wall time of `graph_a`, `host_step` and `graph_b`, or of `graph_a` alone, copies in and out included.
    """

    graph_a: Mapping[str, Array]
    host_step: Mapping[str, Array]
    graph_b: Mapping[str, Array] | None
    milliseconds: Mapping[str, float]

    @property
    def last(self) -> Mapping[str, Array]:
        """The outputs of the graph that gives boxes, logits and keypoints."""
        return self.graph_a if self.graph_b is None else self.graph_b

    def tensors(self) -> dict[str, Array]:
        """Returns all tensors by name, as in the golden vectors."""
        return {**self.graph_a, **self.host_step, **(self.graph_b or {})}


class Runner:
    """A compiled bundle, for one thread at a time: while one runs it, another gets a `BusyError`. Each thread may have its own.

    LiteRT logs to standard error while it compiles; see `quiet.silence_native_log`.

    On a GPU the native form of the graphs is tried first, if the bundle has one, and the portable one if the delegate does not
    accept it; the two are never mixed. Graph A's outputs that graph B reads stay in their buffers.

    Args:
        bundle: a loaded bundle, or the path of one.
        accelerator: "cpu" or "gpu"; both graphs run entirely on it.
        threads: CPU threads; by default as many as there are cores, at most 4.
        enforce_f32: whether the GPU computes in fp32 instead of fp16.
        form: the one form to use; by default, which is tried first depends on the accelerator.

    Attributes:
        form: of the graphs that were compiled.

    Raises:
        UserError: as `load_bundle`, `CompiledGraph` and `HostStep`, or the bundle lacks the form.
    """

    def __init__(
        self,
        bundle: Bundle | str | Path,
        accelerator: Accelerator = "cpu",
        *,
        threads: int | None = None,
        enforce_f32: bool = False,
        form: Form | None = None,
    ) -> None:
        self._owns_bundle = not isinstance(bundle, Bundle)
        self.bundle = bundle if isinstance(bundle, Bundle) else load_bundle(bundle)
        self.accelerator = accelerator
        self._in_use = threading.Lock()
        self._closed = False
        manifest = self.bundle.manifest

        def compiled(spec: GraphSpec, shared: Mapping[str, Any]) -> CompiledGraph:
            return CompiledGraph(
                self.bundle.path(spec.file),
                spec,
                accelerator=accelerator,
                threads=threads or min(4, os.cpu_count() or 1),
                enforce_f32=enforce_f32,
                shared=shared,
            )

        try:
            self.host_step = HostStep(manifest.host_step, self.bundle.host_constants(), manifest.graphs.a.outputs)
            self.form, graphs = _compile_first(_forms(manifest, accelerator, form), compiled)
            self.graph_a, self.graph_b, self.graph_m = graphs["graph_a"], graphs.get("graph_b"), graphs.get("graph_m")
        except BaseException:
            if self._owns_bundle:
                self.bundle.close()
            raise

    def prepare(self, picture: Image.Image) -> Array:
        """Converts a picture to the input of the form that was compiled, see `preprocess.prepare`."""
        return prepare(picture, self.bundle.manifest.preprocess, self.graph_a.spec.inputs[0])

    def run(self, image: Array, *, all_outputs: bool = True) -> StageOutputs:
        """Runs all stages on one input tensor.

        Args:
            image: of graph A's input shape and dtype, as `prepare` returns it.
            all_outputs: whether to read outputs that only the next graph reads, which takes longer than the host step: graph
                A's for graph B, and the embeddings that masks are computed from; of one graph, those that are not decoded.

        Raises:
            BusyError: another thread is using this runner.
            UserError: it is closed, or LiteRT could not run a graph.
            ValueError: the tensor has another shape or dtype.
        """
        with self._alone():
            return self._run(image, all_outputs)

    def _run(self, image: Array, all_outputs: bool) -> StageOutputs:
        manifest = self.bundle.manifest

        def graph_a() -> dict[str, Array]:
            self.graph_a.run({self.graph_a.spec.inputs[0].name: image})
            read = decoded if self.graph_b is None else manifest.host_step.inputs
            return self.graph_a.read(None if all_outputs else read)

        def graph_b(host: Mapping[str, Array]) -> dict[str, Array]:
            assert self.graph_b is not None
            self.graph_b.run(host)
            return self.graph_b.read(None if all_outputs else decoded)

        decoded = manifest.postprocess.outputs
        a, a_time = _timed(graph_a)
        if self.graph_b is None:
            return StageOutputs(a, {}, None, {"graph_a": a_time})
        host, host_time = _timed(lambda: self.host_step(a))
        b, b_time = _timed(lambda: graph_b(host))
        return StageOutputs(a, host, b, {"graph_a": a_time, "host_step": host_time, "graph_b": b_time})

    def detect(
        self,
        image: Image.Image | str | Path,
        *,
        threshold: float = 0.5,
        nms_iou: float | None = None,
        nms_across_classes: bool = False,
    ) -> Detections:
        """Returns the detections in a picture, in its own pixels.

        Args:
            image: a file (turned upright by its EXIF orientation) or a Pillow image (used without a turn).
            threshold: scores must be strictly above it.
            nms_iou, nms_across_classes: see `decode`; by default there is no NMS, as in the original.

        Raises:
            BusyError: another thread is using this runner.
            UserError: the picture cannot be read, or is neither a path nor a Pillow image, or the runner is closed.
            ValueError: a graph's output contains NaN.
        """
        spec = self.bundle.manifest.preprocess
        picture = image if isinstance(image, Image.Image) else load_image(_path(image), channels=spec.channels)
        tensor = self.prepare(picture)
        with self._alone():
            # In one turn: the masks are computed from what the run left in the graphs' buffers.
            return decode_outputs(
                self.bundle.manifest,
                self._run(tensor, all_outputs=False).last,
                picture.size,
                threshold=threshold,
                nms_iou=nms_iou,
                nms_across_classes=nms_across_classes,
                masks_of=None if self.graph_m is None else partial(self._masks_of, self.graph_m, picture.size),
            )

    def _masks_of(self, graph_m: CompiledGraph, size: tuple[int, int], queries: Sequence[int]) -> list[Mask]:
        """Computes the masks of queries of the last run, for a picture of (width, height) pixels: as many at a time as fit."""
        manifest = self.bundle.manifest
        masks = manifest.postprocess.masks
        assert masks is not None
        calls = [(kept, graph_m({masks.kept: kept})[masks.output]) for kept in batches(manifest, queries)]
        return masks_of_calls(manifest, calls, queries, size)

    def decode(
        self,
        outputs: StageOutputs,
        image_size: tuple[int, int],
        *,
        threshold: float = 0.5,
        nms_iou: float | None = None,
        nms_across_classes: bool = False,
    ) -> Detections:
        """Returns the detections of a run's outputs, for a picture of (width, height) pixels; raises ValueError on NaN.

        Without masks, which only `detect` computes.
        """
        return decode_outputs(
            self.bundle.manifest,
            outputs.last,
            image_size,
            threshold=threshold,
            nms_iou=nms_iou,
            nms_across_classes=nms_across_classes,
        )

    def close(self) -> None:
        """Frees the graphs, and removes the temporary folder of a bundle that this runner unzipped; once closed, does nothing.

        Raises:
            BusyError: another thread is using this runner, which stays open.
        """
        if self._closed:
            return
        with self._alone():
            self._closed = True
            for graph in (self.graph_m, self.graph_b, self.graph_a):
                if graph is not None:
                    graph.close()
            if self._owns_bundle:
                self.bundle.close()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keeps other threads out of the graphs' buffers, of which there is one set."""
        if not self._in_use.acquire(blocking=False):
            raise BusyError(
                "this Runner is in use by another thread, and its buffers hold one picture; give each thread a Runner of its "
                "own, or hold a lock while you call it"
            )
        try:
            if self._closed:
                raise UserError("this Runner is closed; make another one for the bundle")
            yield
        finally:
            self._in_use.release()

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _path(image: object) -> Path:
    """Returns a picture's path; raises UserError for what is neither a path nor a Pillow image."""
    if isinstance(image, (str, os.PathLike)):
        return Path(image)
    given = type(image).__name__
    if hasattr(image, "shape") and hasattr(image, "dtype"):
        given = f"{given} of {image.dtype}{list(image.shape)}"
    raise UserError(
        f"detect takes a picture's path or a Pillow image, not {given}; give PIL.Image.fromarray(array) for 8-bit pixels "
        "[height, width, 3] in the order red, green, blue, or PIL.Image.open(stream) for an encoded picture"
    )


def _forms(manifest: Manifest, accelerator: Accelerator, wanted: Form | None) -> list[tuple[Form, Graphs]]:
    """Returns the forms to try, in order; raises UserError if the bundle lacks the wanted one."""
    forms: dict[Form, Graphs | None] = {"native": manifest.native_graphs, "portable": manifest.graphs}
    if wanted is not None:
        graphs = forms[wanted]
        if graphs is None:
            raise UserError("the bundle has no native form; convert it again without --no-native")
        return [(wanted, graphs)]
    return [
        (form, graphs) for form, graphs in forms.items() if graphs is not None and (accelerator == "gpu" or form != "native")
    ]


def _compile_first(
    forms: Sequence[tuple[Form, Graphs]], compiled: Callable[[GraphSpec, Mapping[str, Any]], CompiledGraph]
) -> tuple[Form, dict[str, CompiledGraph]]:
    """Compiles the graphs of the first form that the accelerator accepts, by name; raises UserError of the last."""
    for number, (form, graphs) in enumerate(forms):
        made: dict[str, CompiledGraph] = {}
        try:
            for name, spec in graphs.by_name.items():
                read = {tensor.name for tensor in spec.inputs}
                given = {n: buffer for graph in made.values() for n, buffer in graph.output_buffers.items() if n in read}
                made[name] = compiled(spec, given)
            return form, made
        except BaseException as error:
            for graph in made.values():
                graph.close()
            if not isinstance(error, UserError) or number + 1 == len(forms):
                raise
            _LOG.warning("the %s form does not run here, so the %s one is used: %s", form, forms[number + 1][0], error)
    raise AssertionError("there is always a form")


def _timed(stage: Callable[[], T]) -> tuple[T, float]:
    start = time.perf_counter()
    result = stage()
    return result, (time.perf_counter() - start) * 1000
