"""Runs an ONNX file with onnxruntime, and a copy of it in which the query selection can be read and changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detr2litert.convert.models.backbone import INPUT

Array = NDArray[np.generic]

_PREFIX = "detr2litert_"
_SCORES, _ORDER, _GIVEN, _USE = (f"{_PREFIX}{name}" for name in ("scores", "order", "given", "use"))
_ERRORS_ONLY = 3
_WIDTH = 1
_ERROR_SHOWN = 500


class UnreadableSelectionError(Exception):
    """The query selection cannot be found in a file; the message says why."""


@dataclass(frozen=True)
class SelectedRun:
    """A run of the copy.

    Attributes:
        outputs: the file's, by name.
        scores: of all tokens ``[B, T]``, as the file computes them.
        order: the tokens that were selected ``[B, Q]``.
    """

    outputs: dict[str, Array]
    scores: Array
    order: Array


class OnnxFile:
    """A file, loaded by onnxruntime on the CPU.

    Args:
        path: of the file.

    Raises:
        the errors of onnxruntime, if it does not load the file.
    """

    def __init__(self, path: Path) -> None:
        self._session = _session(str(path))

    def run(self, images: Array) -> dict[str, Array]:
        """Computes the outputs by name for images ``[B, channels, H, W]``."""
        return _run(self._session, {INPUT: images})


class OpenedSelection:
    """A copy of a file in memory that gives the scores and the order of its query selection and can select by others.

    Between the scores and TopK there is ``Where(use, given, scores)``; all else is the file's.

    Args:
        path: of the file.

    Raises:
        UnreadableSelectionError: there is not exactly one TopK whose indices are used, or it has another form.
    """

    def __init__(self, path: Path) -> None:
        import onnx
        from onnx import TensorProto, helper

        model = onnx.load(str(path))
        graph = model.graph
        used = {name for node in graph.node for name in node.input}
        # Heads use TopK elsewhere too, for its values alone.
        selecting = [node for node in graph.node if node.op_type == "TopK" and len(node.output) > 1 and node.output[1] in used]
        if len(selecting) != 1:
            raise UnreadableSelectionError(f"{len(selecting)} TopK operators select by indices, not one")
        top = selecting[0]
        scores = top.input[0]
        if scores not in {name for node in graph.node for name in node.output}:
            raise UnreadableSelectionError(f"TopK reads {scores}, which no operator computes")
        graph.input.append(helper.make_tensor_value_info(_GIVEN, TensorProto.FLOAT, None))
        graph.input.append(helper.make_tensor_value_info(_USE, TensorProto.BOOL, []))
        place = list(graph.node).index(top)
        top.input[0] = f"{_PREFIX}selected_by"
        graph.node.insert(place, helper.make_node("Where", [_USE, _GIVEN, scores], [top.input[0]]))
        for name, source in ((_SCORES, scores), (_ORDER, top.output[1])):
            graph.node.append(helper.make_node("Identity", [source], [name]))
        graph.output.append(helper.make_tensor_value_info(_SCORES, TensorProto.FLOAT, None))
        graph.output.append(helper.make_tensor_value_info(_ORDER, TensorProto.INT64, None))
        self._session = _session(model.SerializeToString())

    def run(self, images: Array, scores: Array | None = None) -> SelectedRun:
        """Computes images ``[B, channels, H, W]``, selecting by ``scores`` ``[B, T]`` if they are given."""
        given = np.zeros((len(images), _WIDTH), np.float32) if scores is None else np.asarray(scores, np.float32)
        outputs = _run(self._session, {INPUT: images, _GIVEN: given, _USE: np.asarray(scores is not None)})
        own, order = outputs.pop(_SCORES), outputs.pop(_ORDER)
        return SelectedRun(outputs, own, order)


def runtime_errors() -> tuple[type[Exception], ...]:
    """Returns the errors that onnxruntime raises for a file that it does not load or cannot run, for ``except``."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    own = (state.Fail, state.InvalidArgument, state.InvalidGraph, state.InvalidProtobuf, state.NotImplemented)
    return (*own, state.RuntimeException, ValueError)


def one_line(error: Exception) -> str:
    """Returns an error's message as one line of bounded length."""
    return " ".join(str(error).split())[:_ERROR_SHOWN]


def _session(model: str | bytes) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    # Threads that spin while they wait take the cores from whatever else runs, see ``convert.cli.process``.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _run(session: Any, inputs: Mapping[str, Array]) -> dict[str, Array]:
    names: Sequence[str] = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, dict(inputs)), strict=True))
