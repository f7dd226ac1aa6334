"""The app's parity protocol as typed data; android_sample/INSTRUMENTATION.md describes it."""

from __future__ import annotations

import importlib.resources
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from detr2litert.host_runtime.foreign_json import OWN, JsonLimits, check_values, conform, parse_json
from detr2litert.host_runtime.runner import Form
from detr2litert.verify.adb.errors import CommandFailedError
from detr2litert.verify.printable import printable

PROTOCOL = 1
COMPONENT = "org.detr2litert.sample.parity.ParityInstrumentation"
STAGES = ("a", "host", "b", "m", "host_given", "b_given", "m_given")
TIMED_ONE = ("write_a", "run_a", "read_a")
"""The timed stages of a bundle of one graph."""
TIMED = (*TIMED_ONE, "host", "write_b", "run_b", "read_b")
TIMED_MASKS = ("write_m", "run_m", "read_m")
"""The further ones of a bundle with masks: of one call of graph M."""

Array = NDArray[Any]
Accelerator = Literal["gpu", "cpu"]
Precision = Literal["default", "fp16", "fp32"]

_RESULTS = re.compile(r"^INSTRUMENTATION_RESULT: (status|stage|kind|message|shortMsg)=(.*)", re.MULTILINE)
_STAGE = re.compile(r"^INSTRUMENTATION_STATUS: stage=(\S{1,100})", re.MULTILINE)
RESULT_LIMIT = 8 * 2**20
"""Bytes of a result.json: ten thousand timed runs, the most that can be requested, take two million."""
_LIMITS = JsonLimits(RESULT_LIMIT, text=2**16, lines=True)
"""Of result.json: the delegate's refusal has several lines."""
_TEXT = 1000  # characters shown of what an app says in words
_FORMS: tuple[Form, ...] = get_args(Form)
_SUFFIX = {"float32": "f32", "int32": "i32", "uint8": "u8"}
_STORED = {"float32": "<f4", "int32": "<i4", "uint8": "u1"}


@dataclass(frozen=True)
class Request:
    """What to run.

    Attributes:
        accelerator: ``"gpu"`` or ``"cpu"``, exclusively.
        precision: of the GPU.
        runs: timed runs of the chain, after ``warmup`` others.
        seconds: how long the instrumentation may take.
    """

    accelerator: Accelerator = "gpu"
    precision: Precision = "default"
    runs: int = 50
    warmup: int = 5
    seconds: float = 600.0


@dataclass(frozen=True)
class TensorFile:
    """One tensor that the app wrote; ``file`` is relative to the run's folder."""

    stage: str
    name: str
    dtype: str
    shape: tuple[int, ...]
    file: str
    sha256: str

    @property
    def length(self) -> int:
        """Bytes of the file."""
        return int(np.prod(self.shape, dtype=np.int64)) * np.dtype(_STORED[self.dtype]).itemsize

    def decode(self, data: bytes) -> Array:
        """Decodes the file's bytes into the tensor's values."""
        return np.frombuffer(data, _STORED[self.dtype]).reshape(self.shape)


@dataclass(frozen=True)
class Result:
    """The result.json of a successful run.

    Attributes:
        pid: of the app's process.
        device, android, app: facts, as the app reports them.
        milliseconds: one number per timed run, by stage of ``TIMED`` or ``TIMED_ONE``, and of ``TIMED_MASKS``.
        thermal: status before and after, 0 (none) to 6 (shutdown); None where Android does not report it.
        tensors: what it wrote.
        form: of the graphs that ran; an app that does not record it is older than the native form, and ran the portable one.
        refusal: why the bundle's native form did not run there; "" if it did, or was not tried.
    """

    pid: int
    device: Mapping[str, Any]
    android: Mapping[str, Any]
    app: Mapping[str, Any]
    milliseconds: Mapping[str, tuple[float, ...]]
    thermal: tuple[int | None, int | None]
    tensors: tuple[TensorFile, ...]
    form: Form = "portable"
    refusal: str = ""


@dataclass(frozen=True)
class Ended:
    """How the instrumentation ended, as ``am instrument`` reports it.

    Attributes:
        status: ``"ok"``, ``"failed"``, or ``"crashed"`` if the process died.
        stage: the last one entered.
        kind, message: of a failure.
    """

    status: str
    stage: str
    kind: str = ""
    message: str = ""
    results: Mapping[str, str] = field(default_factory=dict)


def parse_instrument(text: str) -> Ended:
    """Parses the standard output of ``am instrument -w -r``, complete or cut off."""
    results = {name: printable(value[:_TEXT].strip("\r")) for name, value in _RESULTS.findall(text)}
    stages = _STAGE.findall(text)
    stage = results.get("stage") or (stages[-1] if stages else "start")
    if results.get("status") in ("ok", "failed"):
        return Ended(results["status"], stage, results.get("kind", ""), results.get("message", ""), results)
    return Ended("crashed", stage, "crash", results.get("shortMsg", "the process died"), results)


def parse_result(data: bytes, run: str, manifest_sha256: str) -> Result:
    """Parses a result.json, which must belong to this run and this bundle.

    Raises:
        CommandFailedError: it does not, or it is not of protocol 1.
    """
    try:
        record = parse_json(data, _LIMITS)
        protocol = record["protocol"]
        if protocol != PROTOCOL:
            message = f"the app uses parity protocol {ascii(protocol)[:40]}, not {PROTOCOL}"
            raise CommandFailedError(f"{message}; install its build of this version")
        record = conform(record, _schema())
        # The report prints them.
        check_values([record["device"], record["android"], record["app"]], OWN)
        if record["request"]["run"] != run:
            message = f"result.json is of another run ({record['request']['run'][:200]}, not {run})"
            raise CommandFailedError(f"{message}; run the same again")
        if record["bundle"]["manifest_sha256"] != manifest_sha256:
            raise CommandFailedError("result.json is of another bundle; `convert push` this one, then run the same again")
        thermal = record.get("thermal") or {}
        graphs = record.get("graphs") or {}
        reported = set(record["milliseconds"])
        timed: tuple[str, ...] = TIMED if (set(TIMED) - set(TIMED_ONE)) & reported else TIMED_ONE
        timed += TIMED_MASKS if reported & set(TIMED_MASKS) else ()
        return Result(
            pid=int(record["app"]["pid"]),
            device=dict(record["device"]),
            android=dict(record["android"]),
            app=dict(record["app"]),
            milliseconds={stage: tuple(map(float, record["milliseconds"][stage])) for stage in timed},
            thermal=(_status(thermal.get("before")), _status(thermal.get("after"))),
            tensors=tuple(map(_tensor_file, record["tensors"])),
            form=_form(graphs.get("form", "portable")),
            refusal=printable(" ".join(str(graphs.get("native_refused") or "")[:_TEXT].split())),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        message = f"result.json is not of protocol {PROTOCOL} ({error!r}); install the app's build of this version"
        raise CommandFailedError(message) from error


def _schema() -> dict[str, Any]:
    """The JSON Schema of what is read of result.json."""
    text = importlib.resources.files(__package__).joinpath("result.schema.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def _tensor_file(record: Mapping[str, Any]) -> TensorFile:
    """Parses one entry of ``tensors``; raises KeyError, TypeError or ValueError if it is malformed."""
    shape = tuple(int(side) for side in record["shape"])
    parts = str(record["file"]).split("/")
    if record["stage"] not in STAGES or record["dtype"] not in _STORED or min(shape, default=0) < 0:
        raise ValueError(f"a tensor of stage {record['stage']}, {record['dtype']}{list(shape)}")
    if parts[0] != "out" or any(part in ("", ".", "..") for part in parts):
        raise ValueError(f"the file {record['file']!r}")
    return TensorFile(record["stage"], str(record["name"]), record["dtype"], shape, "/".join(parts), str(record["sha256"]))


def _form(value: Any) -> Form:
    """Parses the form of the graphs; raises ValueError if there is none of that name."""
    for form in _FORMS:
        if form == value:
            return form
    raise ValueError(f"the form {value!r} of the graphs")


def _status(value: Any) -> int | None:
    return None if value is None else int(value)


def file_name(name: str, dtype: str) -> str:
    """Names a tensor's file: bytes of the name other than ASCII letters, digits, ``_``, ``-`` and inner dots become ``%XX``."""
    plain = re.compile(rb"[A-Za-z0-9_-]")
    stem = "".join(
        chr(byte) if plain.fullmatch(bytes([byte])) or (byte == ord(".") and place) else f"%{byte:02X}"
        for place, byte in enumerate(name.encode())
    )
    return f"{stem}.{_SUFFIX[dtype]}"


def encode(values: Array) -> bytes:
    """Encodes a tensor as the app reads it: raw, little-endian, row-major."""
    return np.ascontiguousarray(values, _STORED[str(values.dtype)]).tobytes()


def given(names: Sequence[str], tensors: Mapping[str, Array], folder: str) -> dict[str, bytes]:
    """Returns the files of the run folder's ``in/FOLDER`` for the named tensors."""
    return {f"in/{folder}/{file_name(name, str(tensors[name].dtype))}": encode(tensors[name]) for name in names}
