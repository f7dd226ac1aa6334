"""The query selection between the two graphs: a small program, given as data in the manifest, executed in NumPy.

The program is a `host_program.HostProgram`, its ops are the rows of `host_ops.json`, and `host_kernels` computes them. Runtimes
in Kotlin and JavaScript execute the same programs; tests compare the three on 300 random ones. Tensors are row-major float32 of
rank <= 4, and int32 indices. Of tied scores topk takes the lower index; `host_runtime.selection` has the measurements.

Measured on two shared x86 cores: topk + gather [1, N, 256] + gather [1, N, 4] with k = 300 takes 0.2 to 0.4 ms, for N = 576 as
for N = 8400 (top-k alone 0.04 and 0.06 ms; a stable argsort of all 8400 would take 0.7 ms).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detr2litert.host_runtime.errors import REMAKE, UserError
from detr2litert.host_runtime.host_kernels import KERNELS
from detr2litert.host_runtime.host_program import CheckedOp, HostProgram, Kind, supported
from detr2litert.host_runtime.tensor_spec import TensorSpec

Array = NDArray[Any]


class HostStep:
    """A host program that was checked once; call it with graph A's outputs.

    Args:
        program: the manifest's host step.
        constants: the arrays of program.constants by name.
        input_specs: shapes and dtypes that the inputs must have (graph A's outputs); inputs without one are not checked.
            If all are given, every shape in the program is checked here, and a run can only fail on an index.

    Raises:
        UserError: an unknown op, wrong inputs, attributes, dtypes or shapes, a name used before it is computed, a missing
            constant. The program is part of the bundle, so this version cannot run that bundle; the message names the op and
            the tensor.
    """

    def __init__(
        self, program: HostProgram, constants: Mapping[str, Array] | None = None, input_specs: Sequence[TensorSpec] = ()
    ) -> None:
        self.program = program
        self._specs = {spec.name: spec for spec in input_specs if spec.name in program.inputs}
        checked = program.check(input_specs)
        self._ops = checked.ops
        self._all_known = None not in checked.kinds.values()
        self._constants = _check_constants(program, constants or {})

    def __call__(self, tensors: Mapping[str, Array]) -> dict[str, Array]:
        """Run the program.

        Args:
            tensors: at least program.inputs, by name.

        Returns:
            program.outputs by name, contiguous, float32 or int32.

        Raises:
            ValueError: an input is missing or of another shape or dtype, or an op cannot take its tensors; names op and tensor.
        """
        known = self.trace(tensors)
        return {name: np.asarray(known[name], order="C") for name in self.program.outputs}

    def trace(self, tensors: Mapping[str, Array]) -> dict[str, Array]:
        """As calling, but returns every tensor of the program by name, to compare intermediates; raises the same."""
        known: dict[str, Array] = dict(self._constants)
        for name in self.program.inputs:
            known[name] = self._check_input(name, tensors)
        with np.errstate(all="ignore"):  # inf and NaN flow on as in torch
            for op in self._ops:
                known[op.output] = self._run(op, [known[name] for name in op.inputs])
        return known

    def _run(self, op: CheckedOp, tensors: Sequence[Array]) -> Array:
        if not self._all_known:
            op.result([_kind(tensor) for tensor in tensors])
        try:
            return np.asarray(KERNELS[op.rule.name](*tensors, **op.attributes))
        except ValueError as error:
            raise ValueError(f"host step {op.label} cannot {op.rule.verb} '{op.inputs[0]}': {error}") from error

    def _check_input(self, name: str, tensors: Mapping[str, Array]) -> Array:
        tensor = tensors.get(name)
        if tensor is None:
            raise ValueError(f"the host step needs '{name}' but was given {', '.join(sorted(tensors)) or 'nothing'}")
        spec = self._specs.get(name)
        if spec is not None and (tensor.shape != spec.shape or str(tensor.dtype) != spec.dtype):
            raise ValueError(
                f"the host step's '{name}' is {tensor.dtype}{list(tensor.shape)}, not {spec.dtype}{list(spec.shape)}"
            )
        if not supported(_kind(tensor)):
            raise ValueError(f"the host step's '{name}' is {tensor.dtype}{list(tensor.shape)}: rank or dtype is not supported")
        return tensor


def _kind(tensor: Array) -> Kind:
    return str(tensor.dtype), tensor.shape


def _check_constants(program: HostProgram, constants: Mapping[str, Array]) -> dict[str, Array]:
    checked = {}
    for spec in program.constants:
        constant = constants.get(spec.name)
        if constant is None or constant.shape != spec.shape or str(constant.dtype) != spec.dtype:
            found = "missing" if constant is None else f"{constant.dtype}{list(constant.shape)}"
            raise UserError(f"the host step's constant '{spec.name}' is {found}, not {spec.dtype}{list(spec.shape)}; {REMAKE}")
        checked[spec.name] = constant
    return checked
