"""The query selection between the two graphs: a small program, given as data in the manifest, executed in NumPy.

Each op is one function in `OPS`; a runtime in another language implements the same table. Tensors are row-major float32, int32,
int64 (or bool masks) of rank <= 4. Ties in topk go to the lower index: see `host_runtime.selection` for what was measured.

Measured on two shared x86 cores: topk + gather [1, N, 256] + gather [1, N, 4] with k = 300 takes 0.2 to 0.4 ms, for N = 576 as
for N = 8400 (top-k alone 0.04 and 0.06 ms; a stable argsort of all 8400 would take 0.7 ms).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.manifest import REMAKE, HostProgram, TensorSpec
from detr2litert.host_runtime.selection import topk_indices

Array = NDArray[Any]

MAX_RANK = 4
_DTYPES = frozenset({"float32", "int32", "int64", "bool"})


def topk(x: Array, *, k: int, axis: int) -> Array:
    """int32 indices of the k largest along `axis`, in descending order, ties by lower index, NaN first."""
    rows = np.moveaxis(x, axis, -1)
    found = [topk_indices(row, k) for row in rows.reshape(-1, rows.shape[-1])]
    return np.moveaxis(np.asarray(found, np.int32).reshape(*rows.shape[:-1], k), -1, axis)


def gather(x: Array, indices: Array, *, axis: int) -> Array:
    """x [B, N, ...] and indices [B, K] -> [B, K, ...] for axis 1 (each batch by its own row); indices [K] serve any axis."""
    if indices.dtype.kind not in "iu":
        raise ValueError(f"indices are {indices.dtype}, not integers")
    axis = axis % x.ndim
    if indices.size and (indices.min() < 0 or indices.max() >= x.shape[axis]):
        raise ValueError(f"an index is outside 0..{x.shape[axis] - 1}")
    if indices.ndim == 1:
        return np.take(x, indices, axis=axis)
    if indices.ndim != 2 or indices.shape[0] != x.shape[0] or axis == 0:
        raise ValueError(f"indices of shape {list(indices.shape)} do not index axis {axis} of {list(x.shape)}")
    if x.shape[0] == 1:  # the usual case, without np.stack's second copy
        return np.expand_dims(np.take(x[0], indices[0], axis=axis - 1), 0)
    return np.stack([np.take(item, row, axis=axis - 1) for item, row in zip(x, indices, strict=True)])


def linear(x: Array, weight: Array, bias: Array | None = None) -> Array:
    """y = x W^T + b, with x [..., I], W [O, I], b [O], as torch.nn.functional.linear."""
    y: Array = x @ weight.T
    return y if bias is None else np.add(y, bias)


def layer_norm(x: Array, weight: Array | None = None, bias: Array | None = None, *, eps: float) -> Array:
    """(x - mean) / sqrt(variance + eps) * weight + bias over the last axis, with the population variance."""
    centred = x - x.mean(axis=-1, keepdims=True)
    y: Array = centred / np.sqrt(np.square(centred).mean(axis=-1, keepdims=True) + np.float32(eps))
    if weight is not None:
        y = y * weight
    return y if bias is None else y + bias


def relu(x: Array) -> Array:
    """max(x, 0)."""
    return np.maximum(x, 0)


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)); exp overflows to inf for x below -88, which gives the right 0."""
    y: Array = 1 / (1 + np.exp(-x))
    return y


def silu(x: Array) -> Array:
    """x * sigmoid(x)."""
    return x * sigmoid(x)


def gelu(x: Array, *, approximate: str = "none") -> Array:
    """x * Phi(x); `approximate="tanh"` gives torch's tanh form."""
    if approximate == "tanh":
        phi: Array = 0.5 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    elif approximate == "none":
        # NumPy has no erf; 300 queries of 256 channels take some milliseconds through math.erf, exact to float32's last bit.
        erf = np.asarray(np.frompyfunc(math.erf, 1, 1)(x * np.float32(math.sqrt(0.5)))).astype(np.float32)
        phi = 0.5 * (1 + erf)
    else:
        raise ValueError(f"approximate is {approximate!r}, not 'none' or 'tanh'")
    y: Array = x * phi
    return y


def clamp(x: Array, *, min: float | None = None, max: float | None = None) -> Array:  # noqa: A002, the attributes' names
    """Limit x to [min, max]; NaN stays."""
    return x if min is None and max is None else np.clip(x, min, max)


def slice_(x: Array, *, axis: int, start: int, end: int) -> Array:
    """x[start:end] along `axis`."""
    index = [slice(None)] * x.ndim
    index[axis] = slice(start, end)
    return x[tuple(index)]


def concat(*tensors: Array, axis: int) -> Array:
    """Join along `axis`."""
    return np.concatenate(tensors, axis=axis)


def reshape(x: Array, *, shape: Sequence[int]) -> Array:
    """Row-major reshape; one extent may be -1."""
    return x.reshape(tuple(shape))


def where(mask: Array, x: Array, y: Array) -> Array:
    """x where mask is true (or not 0), else y."""
    return np.where(mask.astype(bool), x, y)


def reduce_max(x: Array, *, axis: int, keepdims: bool = False) -> Array:
    """The largest value along `axis`; NaN wins."""
    return np.asarray(x.max(axis=axis, keepdims=keepdims))


# The op table: function, how many inputs it takes at least and at most, the attributes it must have and those it may have.
@dataclass(frozen=True)
class _Op:
    call: Callable[..., Array]
    least: int
    most: int
    required: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()


OPS: dict[str, _Op] = {
    "topk": _Op(topk, 1, 1, frozenset({"k", "axis"})),
    "gather": _Op(gather, 2, 2, frozenset({"axis"})),
    "linear": _Op(linear, 2, 3),
    "layer_norm": _Op(layer_norm, 1, 3, frozenset({"eps"})),
    "relu": _Op(relu, 1, 1),
    "silu": _Op(silu, 1, 1),
    "gelu": _Op(gelu, 1, 1, optional=frozenset({"approximate"})),
    "sigmoid": _Op(sigmoid, 1, 1),
    "exp": _Op(np.exp, 1, 1),
    "log": _Op(np.log, 1, 1),
    "add": _Op(np.add, 2, 2),
    "sub": _Op(np.subtract, 2, 2),
    "mul": _Op(np.multiply, 2, 2),
    "div": _Op(np.divide, 2, 2),
    "maximum": _Op(np.maximum, 2, 2),
    "minimum": _Op(np.minimum, 2, 2),
    "clamp": _Op(clamp, 1, 1, optional=frozenset({"min", "max"})),
    "slice": _Op(slice_, 1, 1, frozenset({"axis", "start", "end"})),
    "concat": _Op(concat, 1, 64, frozenset({"axis"})),
    "reshape": _Op(reshape, 1, 1, frozenset({"shape"})),
    "where": _Op(where, 3, 3),
    "reduce_max": _Op(reduce_max, 1, 1, frozenset({"axis"}), frozenset({"keepdims"})),
}


@dataclass(frozen=True)
class _Step:
    label: str
    call: Callable[..., Array]
    inputs: tuple[str, ...]
    output: str


class HostStep:
    """A host program made ready once; call it with graph A's outputs.

    Args:
        program: the manifest's host step.
        constants: the arrays of program.constants by name.
        input_specs: shapes and dtypes that the inputs must have (graph A's outputs); unchecked where not given.

    Raises:
        UserError: an unknown op, wrong inputs or attributes, a name used before it is computed, a missing constant. The program
            comes from the bundle, so that is a bundle this version cannot run; the message names the op and the tensor.
    """

    def __init__(
        self, program: HostProgram, constants: Mapping[str, Array] | None = None, input_specs: Sequence[TensorSpec] = ()
    ) -> None:
        self.program = program
        self._specs = {spec.name: spec for spec in input_specs if spec.name in program.inputs}
        self._constants = _check_constants(program, constants or {})
        self._steps = _compile(program)

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
        return {name: np.ascontiguousarray(known[name]) for name in self.program.outputs}

    def trace(self, tensors: Mapping[str, Array]) -> dict[str, Array]:
        """As calling, but returns every tensor of the program by name, to compare intermediates; raises the same."""
        known: dict[str, Array] = dict(self._constants)
        for name in self.program.inputs:
            known[name] = self._check_input(name, tensors)
        with np.errstate(all="ignore"):  # inf and NaN flow on as in torch
            for step in self._steps:
                known[step.output] = _run(step, known)
        return known

    def _check_input(self, name: str, tensors: Mapping[str, Array]) -> Array:
        tensor = tensors.get(name)
        if tensor is None:
            raise ValueError(f"the host step needs '{name}' but was given {', '.join(sorted(tensors)) or 'nothing'}")
        spec = self._specs.get(name)
        if spec is not None and (tensor.shape != spec.shape or str(tensor.dtype) != spec.dtype):
            raise ValueError(
                f"the host step's '{name}' is {tensor.dtype}{list(tensor.shape)}, not {spec.dtype}{list(spec.shape)}"
            )
        if tensor.ndim > MAX_RANK or str(tensor.dtype) not in _DTYPES:
            raise ValueError(f"the host step's '{name}' is {tensor.dtype}{list(tensor.shape)}: rank or dtype is not supported")
        return tensor


def _check_constants(program: HostProgram, constants: Mapping[str, Array]) -> dict[str, Array]:
    checked = {}
    for spec in program.constants:
        constant = constants.get(spec.name)
        if constant is None or constant.shape != spec.shape or str(constant.dtype) != spec.dtype:
            found = "missing" if constant is None else f"{constant.dtype}{list(constant.shape)}"
            raise UserError(f"the host step's constant '{spec.name}' is {found}, not {spec.dtype}{list(spec.shape)}; {REMAKE}")
        checked[spec.name] = constant
    return checked


def _compile(program: HostProgram) -> tuple[_Step, ...]:
    known = {*program.inputs, *(spec.name for spec in program.constants)}
    steps = []
    for number, item in enumerate(program.ops):
        label = f"op {number} '{item.op}' giving '{item.output}'"
        op = OPS.get(item.op)
        if op is None:
            raise UserError(f"host step {label} is not an op this runtime knows; upgrade the runtime, or {REMAKE}")
        if not op.least <= len(item.inputs) <= op.most:
            raise UserError(f"host step {label} has {len(item.inputs)} inputs, not {op.least} to {op.most}; {REMAKE}")
        given = frozenset(item.attributes)
        wrong = (op.required - given) | (given - op.required - op.optional)
        if wrong:
            raise UserError(f"host step {label} lacks or does not know the attribute {', '.join(sorted(wrong))}; {REMAKE}")
        for name in item.inputs:
            if name not in known:
                raise UserError(f"host step {label} reads '{name}', which is not computed before it; {REMAKE}")
        if item.output in known:
            raise UserError(f"host step {label} assigns that name a second time; {REMAKE}")
        known.add(item.output)
        steps.append(_Step(label, partial(op.call, **item.attributes), item.inputs, item.output))
    for name in program.outputs:
        if name not in known:
            raise UserError(f"the host step's output '{name}' is never computed; {REMAKE}")
    return tuple(steps)


def _run(step: _Step, known: Mapping[str, Array]) -> Array:
    tensors = [known[name] for name in step.inputs]
    try:
        result = step.call(*tensors)
    except (ValueError, TypeError, IndexError) as error:
        shapes = ", ".join(f"'{name}' {list(tensor.shape)}" for name, tensor in zip(step.inputs, tensors, strict=True))
        raise ValueError(f"host step {step.label} cannot take {shapes}: {error}") from error
    if result.ndim > MAX_RANK:
        raise ValueError(f"host step {step.label} gives rank {result.ndim}, more than {MAX_RANK}")
    # NumPy widens int division and float-int mixtures to float64; the program's type is float32.
    return result.astype(np.float32) if result.dtype == np.float64 else result
