"""Writes a graph's model, and its source in the form of the probe suite."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from detr2litert.host_runtime.tflite.writer import ModelWriter
from detr2litert.verify.fuzz.operator import Writer
from detr2litert.verify.fuzz.operators import OPERATORS
from detr2litert.verify.fuzz.spec import Constant, IllFormedError, Node, Operand, Shape, Spec

_LARGEST = 20_000  # elements of a tensor
_QUANTISED = ("FULLY_CONNECTED", "CONV_2D", "DEPTHWISE_CONV_2D")


class _Build(Writer):
    """Writes to a ``ModelWriter`` and notes each call as a line of Python."""

    def __init__(self) -> None:
        self.model = ModelWriter()
        self.shapes: dict[str, Shape] = {}
        self.floats: list[str] = []
        self.lines: list[str] = []
        self._node = Node("", (), "")
        self._count = 0

    def add_input(self, name: str, shape: Shape) -> None:
        self.model.input(name, shape)
        self.shapes[name] = shape
        self.floats.append(name)
        self.lines.append(f"w.input({name!r}, {shape!r})")

    def add(self, node: Node) -> None:
        self._node = node
        OPERATORS[node.kind].write(self, node.kind, node.operands, node.attributes)

    def shape(self, operand: Operand) -> Shape:
        if isinstance(operand, Constant):
            return operand.shape
        if operand not in self.shapes or operand not in self.floats:
            raise IllFormedError
        return self.shapes[operand]

    def whole(self, *values: Any, scalar: bool = False) -> str:
        array = np.asarray(values[0] if scalar else values, np.int32)
        name = self._name()
        self.model.constant(name, array)
        self.lines.append(f"w.constant({name!r}, np.array({array.tolist()!r}, np.int32))")
        return name

    def number(self, value: float) -> str:
        name = self._name()
        self.model.constant(name, np.array(value, np.float32))
        self.lines.append(f"w.constant({name!r}, np.array({value!r}, np.float32))")
        return name

    def op(self, kind: str, operands: Sequence[Operand | None], shapes: Sequence[Shape], **options: Any) -> None:
        cast, dtype = options.pop("cast", False), options.pop("dtype", "float32")
        if any(not 0 < np.prod(shape, dtype=np.int64) <= _LARGEST or len(shape) > 4 for shape in shapes):
            raise IllFormedError
        inputs = [self._operand(kind, operand) if isinstance(operand, Constant) else operand for operand in operands]
        name = self._node.name
        outputs = {name if not i else f"{name}_{i}": tuple(int(d) for d in shape) for i, shape in enumerate(shapes)}
        if cast:
            (shape,) = outputs.values()
            self._write(kind, inputs, {f"{name}_bool": shape}, dtype="bool", **options)
            self._write("CAST", [f"{name}_bool"], outputs, outDataType=0)
        else:
            version = 5 if any(str(i).endswith("_q") for i in inputs) else 1
            extra = {"version": version} if version > 1 else {}
            self._write(kind, inputs, outputs, dtype=dtype, **options, **extra)
        types = [dtype] * len(outputs) if isinstance(dtype, str) else list(dtype)
        self.shapes |= outputs
        self.floats += [each for each, type_ in zip(outputs, types, strict=True) if type_ == "float32"]

    def _write(self, kind: str, inputs: Sequence[str | None], outputs: dict[str, Shape], **options: Any) -> None:
        options = {key: value for key, value in options.items() if (key, value) != ("dtype", "float32")}
        self.model.op(kind, inputs, outputs, **options)
        rest = "".join(f", {key}={value!r}" for key, value in options.items())
        self.lines.append(f"w.op({kind!r}, {list(inputs)!r}, {outputs!r}{rest})")

    def _operand(self, kind: str, constant: Constant) -> str:
        values, name = constant.values(), self._name()
        drawn = f"Constant({constant.shape!r}, {constant.seed}).values()"
        if constant.style == "half":
            self.model.constant(f"{name}_h", values.astype(np.float16))
            self.model.op("DEQUANTIZE", [f"{name}_h"], {name: constant.shape})
            self.lines += [f"w.constant({name + '_h'!r}, {drawn}.astype(np.float16))",
                           f"w.op('DEQUANTIZE', [{name + '_h'!r}], {{{name!r}: {constant.shape!r}}})"]  # fmt: skip
            return name
        if constant.style == "int8" and kind in _QUANTISED:
            scale = float(np.abs(values).max(initial=1e-3) / 127)
            axis = 3 if kind == "DEPTHWISE_CONV_2D" else 0
            scales = [scale] * (1 if kind == "FULLY_CONNECTED" else constant.shape[axis])
            name = f"{name}_q"
            self.model.constant(name, np.round(values / scale).astype(np.int8), scales=scales, axis=axis)
            self.lines.append(
                f"w.constant({name!r}, np.round({drawn} / {scale!r}).astype(np.int8), scales={scales!r}, axis={axis})"
            )
            return name
        self.model.constant(name, values)
        self.lines.append(f"w.constant({name!r}, {drawn})")
        return name

    def _name(self) -> str:
        self._count += 1
        return f"c{self._count}"


def _built(spec: Spec) -> _Build:
    build = _Build()
    for name, shape in spec.inputs.items():
        build.add_input(name, shape)
    for node in spec.nodes:
        build.add(node)
    if not spec.outputs or not spec.nodes or any(name not in build.shapes or name in spec.inputs for name in spec.outputs):
        raise IllFormedError
    return build


def values_of(spec: Spec) -> dict[str, Shape]:
    """Returns the float values of a graph that may have no outputs yet, in order.

    Raises:
        IllFormedError: operands do not fit.
    """
    build = _Build()
    for name, shape in spec.inputs.items():
        build.add_input(name, shape)
    for node in spec.nodes:
        build.add(node)
    return {name: build.shapes[name] for name in build.floats}


def all_values(spec: Spec) -> dict[str, Shape]:
    """Returns every value that operators compute, whole numbers too."""
    build = _Build()
    for name, shape in spec.inputs.items():
        build.add_input(name, shape)
    for node in spec.nodes:
        build.add(node)
    return {name: shape for name, shape in build.shapes.items() if name not in spec.inputs}


def write(spec: Spec, path: Path) -> Path:
    """Writes the model.

    Raises:
        IllFormedError: operands do not fit.
    """
    return _built(spec).model.write(path, spec.outputs)


def source(spec: Spec, name: str, about: str, does: str) -> str:
    """Returns a candidate for the suite: a function that builds the model, and its probe."""
    lines = "\n    ".join(_built(spec).lines)
    return (
        f"def _{name}(w: ModelWriter) -> Sequence[str]:\n    {lines}\n    return {list(spec.outputs)!r}\n\n\n"
        f'Probe("{name}", "{about}", {does}, _{name}, triggers="")\n'
    )
