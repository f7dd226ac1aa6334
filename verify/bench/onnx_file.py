"""An ONNX file as a contender, on ONNX Runtime's CPU provider.

The input is ``input``, ``[batch, channels, height, width]``; the outputs are ``dets``, boxes ``[batch, Q, 4]``, and ``labels``,
logits ``[batch, Q, C]``, as rfdetr's own export names them. Pre- and post-processing are in the file's metadata
(``preprocess`` and ``postprocess`` as in a manifest, ``classes`` as a list), or else those of a bundle of the same detector.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from detr2litert.host_runtime.activity import doing
from detr2litert.host_runtime.bundle import file_sha256
from detr2litert.host_runtime.decode import decode
from detr2litert.host_runtime.errors import UserError, readable
from detr2litert.host_runtime.foreign_json import OWN, conform, parse_json
from detr2litert.host_runtime.manifest import CHANNEL_COUNT, Manifest, Postprocess, Preprocess, load_schema
from detr2litert.host_runtime.placement import place
from detr2litert.verify.bench.contender import THRESHOLD, Inferred, Picture, Prepared, stack
from detr2litert.verify.bench.pictures import prepare_picture
from detr2litert.verify.bench.setup import ONNX_RUNTIME, Setup
from detr2litert.verify.bench.stages import DETECTOR, POSTPROCESS

INPUT, BOXES, LOGITS = "input", "dets", "labels"
_PARTS = ("preprocess", "postprocess", "classes")
BESIDE = "its metadata has no pre-processing: that of the bundle {bundle} is used"


@dataclass(frozen=True)
class Processing:
    """What surrounds the detector: pre- and post-processing, and the names of the logit columns."""

    preprocess: Preprocess
    postprocess: Postprocess
    classes: tuple[str | None, ...]

    @classmethod
    def of_manifest(cls, manifest: Manifest) -> Processing:
        """Returns a bundle's."""
        return cls(manifest.preprocess, manifest.postprocess, manifest.classes)

    @classmethod
    def of_metadata(cls, metadata: Mapping[str, str], where: str) -> Processing | None:
        """Returns that of an ONNX file's metadata; None if it has none.

        Raises:
            UserError: it has some that is incomplete or no JSON of a manifest's layout.
        """
        if not any(name in metadata for name in _PARTS):
            return None
        schema = load_schema()
        parts: dict[str, Any] = {}
        for name in _PARTS:
            if name not in metadata:
                raise UserError(f"{where}: its metadata has no '{name}'; export the file again with `detr2litert export`")
            try:
                own = {"$defs": schema["$defs"], **schema["properties"][name]}
                parts[name] = conform(parse_json(metadata[name], OWN), own)
            except ValueError as error:
                raise UserError(f"{where}: its metadata's '{name}' cannot be used ({error}); export the file again") from error
        pre, post = parts["preprocess"], parts["postprocess"]
        made = Preprocess(**{**pre, **{name: tuple(pre.get(name, ())) for name in ("mean", "std", "fill")}})
        channels = CHANNEL_COUNT[made.channels]
        if {len(made.mean), len(made.std)} != {channels} or len(made.fill) != (0 if made.fit == "stretch" else channels):
            raise UserError(f"{where}: its metadata's 'preprocess' does not fit {channels} channels; export the file again")
        return cls(
            made,
            Postprocess(**{**post, "ignored_classes": tuple(post.get("ignored_classes", ()))}),
            tuple(parts["classes"]),
        )


class OnnxContender:
    """An ONNX file.

    Args:
        name: of the contender.
        path: of the file.
        threads: of ONNX Runtime's operators.
        beside: a bundle of the same detector and its name, for a file without metadata.

    Raises:
        UserError: ONNX Runtime is not installed; it cannot load the file; the file has other inputs or outputs, a fixed batch
            other than 1, or no metadata and there is no bundle beside it.
    """

    def __init__(self, name: str, path: Path, *, threads: int, beside: tuple[str, Manifest] | None = None) -> None:
        with readable(path):
            if not path.is_file():
                raise UserError(f"no file at {path}; give an ONNX file")
        self.name = name
        self._session = _load(path, threads)
        self._check_interface(path)
        metadata = self._session.get_modelmeta().custom_metadata_map
        own = Processing.of_metadata(metadata, str(path))
        if own is None and beside is None:
            raise UserError(
                f"{path} says nothing of its pre-processing; put it into the folder of its bundle, name the bundle before it, "
                "or export it with `detr2litert export`"
            )
        self.notes: tuple[str, ...] = ()
        self.variant = metadata.get("variant", "")
        if own is None and beside is not None:
            self.variant = beside[1].variant
            own = Processing.of_manifest(beside[1])
            self.notes = (BESIDE.format(bundle=beside[0]),)
        assert own is not None
        self._processing = own
        pre = own.preprocess
        wanted = (CHANNEL_COUNT[pre.channels], pre.height, pre.width)
        found = tuple(self._session.get_inputs()[0].shape[1:])
        if any(isinstance(side, int) and side != want for side, want in zip(found, wanted, strict=True)):
            raise UserError(f"{path} reads pictures of {list(found)}, but its pre-processing makes {list(wanted)}")
        self.setup = Setup.on_cpu(ONNX_RUNTIME, threads, pre, file_sha256(path))

    @property
    def fixed_batch(self) -> int | None:
        """See ``BatchContender``."""
        batch = self._session.get_inputs()[0].shape[0]
        return batch if isinstance(batch, int) else None

    def prepare(self, picture: Picture) -> Prepared:
        """See ``Contender``."""
        return prepare_picture(picture, self._processing.preprocess)

    def infer(self, prepared: Prepared) -> Inferred:
        """See ``Contender``."""
        return self.infer_batch([prepared])

    def infer_batch(self, prepared: Sequence[Prepared]) -> Inferred:
        """See ``BatchContender``."""
        start = time.perf_counter()
        boxes, logits = self._outputs(stack(list(prepared)))
        computed = time.perf_counter()
        found = sum(self._decode(boxes[i : i + 1], logits[i : i + 1], one.size) for i, one in enumerate(prepared))
        end = time.perf_counter()
        return Inferred({DETECTOR: (computed - start) * 1e3, POSTPROCESS: (end - computed) * 1e3}, found)

    def close(self) -> None:
        """See ``Contender``."""
        del self._session

    def _outputs(self, tensor: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        try:
            boxes, logits = self._session.run([BOXES, LOGITS], {INPUT: tensor})
        except Exception as error:  # its errors have no common base
            raise UserError(f"{self.name}: ONNX Runtime cannot run it ({_line(error)}); export the file again") from error
        return np.asarray(boxes, np.float32), np.asarray(logits, np.float32)

    def _decode(self, boxes: np.ndarray, logits: np.ndarray, size: tuple[int, int]) -> int:
        own = self._processing
        placement = place(size, own.preprocess)
        try:
            found = decode(boxes, logits, size, own.postprocess, own.classes, threshold=THRESHOLD, placement=placement)
        except ValueError as error:
            raise UserError(f"{self.name}: {error}; export the file again") from error
        return len(found)

    def _check_interface(self, path: Path) -> None:
        inputs = {item.name: item for item in self._session.get_inputs()}
        outputs = {item.name for item in self._session.get_outputs()}
        if set(inputs) != {INPUT} or not {BOXES, LOGITS} <= outputs:
            raise UserError(
                f"{path} has inputs {sorted(inputs)} and outputs {sorted(outputs)}, not '{INPUT}', '{BOXES}' and '{LOGITS}'; "
                "export it with `detr2litert export`"
            )
        if self.fixed_batch not in (None, 1):
            raise UserError(
                f"{path} computes batches of {self.fixed_batch} only, and a frame is one picture; export it with "
                "--dynamic-batch"
            )
        if len(inputs[INPUT].shape) != 4 or inputs[INPUT].type != "tensor(float)":
            raise UserError(
                f"{path}: its input is {inputs[INPUT].type} of rank {len(inputs[INPUT].shape)}, not float32 [batch, channels, "
                "height, width]; export it with `detr2litert export`"
            )


def _load(path: Path, threads: int) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise UserError(f"{path}: ONNX Runtime is not installed; pip install 'detr2litert[onnx]'") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors
    try:
        with doing(f"ONNX Runtime loads {path}"):
            return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no common base
        raise UserError(f"{path}: ONNX Runtime cannot load it ({_line(error)}); give an ONNX file") from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
