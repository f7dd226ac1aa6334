"""The bundle's manifest as typed data: the converter writes it and every runtime (Python, Kotlin, JavaScript) reads it.

`manifest.schema.json` beside this file is the JSON layout; the dataclasses mirror it field by field, so that
`Manifest.from_dict(manifest.to_dict()) == manifest`. `Manifest.check()` checks what a JSON Schema cannot express (matching
names, one class per logit column).
"""

from __future__ import annotations

import dataclasses
import importlib.resources
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any, Literal

from detr2litert.host_runtime.errors import REMAKE as REMAKE
from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.foreign_json import OWN, check_values, conform, parse_json
from detr2litert.host_runtime.host_program import HostOp as HostOp
from detr2litert.host_runtime.host_program import HostProgram as HostProgram
from detr2litert.host_runtime.host_table import host_table
from detr2litert.host_runtime.tensor_spec import TensorSpec as TensorSpec

SCHEMA_VERSION = 3
"""Since 2 a bundle may have a native form, since 3 one graph instead of two; this runtime reads every version."""
TWO_GRAPHS_VERSION = 2
"""Of a bundle of two graphs, which an older runtime can run too."""
MANIFEST_NAME = "manifest.json"
NATIVE_SUFFIX = ".native"
"""Of the name of a graph's native form in reports."""
HOST_PARAMS_NAME = "host_params.safetensors"
MAX_CLASS_NAME = 256
"""Characters of a class name, as in the schema: a label of thousands cannot be drawn."""

Resize = Literal["bilinear_antialias", "bilinear", "bilinear_8bit"]
"""Interpolation of the pre-processing's resize: antialiased, not, or antialiased as Pillow resizes 8-bit pictures."""

Fit = Literal["stretch", "letterbox", "letterbox_top_left"]
"""How a picture of another aspect ratio gets into the input; see `host_runtime.placement`."""

Channels = Literal["RGB", "L", "RGBA"]
"""Channels of the input, as Pillow's `convert` makes them: colour, grey, or colour and opacity."""

CHANNEL_COUNT: Mapping[str, int] = {"L": 1, "RGB": 3, "RGBA": 4}


@dataclass(frozen=True)
class GraphSpec:
    """One .tflite file and the names of its signature's tensors."""

    file: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    signature: str = "serving_default"


@dataclass(frozen=True)
class Graphs:
    """The graphs: `a` from the image to the query selection, `b` from the selected queries to boxes and logits.

    Without `b` there is one graph, `a`, from the image to boxes and logits, and the host step is empty.
    """

    a: GraphSpec
    b: GraphSpec | None = None

    @property
    def by_name(self) -> dict[str, GraphSpec]:
        """All by the names that reports use, in the order of execution."""
        return {"graph_a": self.a} if self.b is None else {"graph_a": self.a, "graph_b": self.b}

    @property
    def last(self) -> GraphSpec:
        """The graph that gives boxes and logits."""
        return self.a if self.b is None else self.b


@dataclass(frozen=True)
class NativeFiles:
    """The graphs in the GPU delegate's own operators: other files with the same signatures, to be tried first on a GPU.

    All or none: the files of the two forms are not mixed. A graph that has no such operator is the same file in both. `b` is
    None where there is one graph.
    """

    a: str
    b: str | None = None


@dataclass(frozen=True)
class Weights:
    """Where the weights came from; `sha256` is over the loaded tensors, `random` marks seeded random weights."""

    source: str
    sha256: str
    random: bool = False


@dataclass(frozen=True)
class Preprocess:
    """How a picture becomes the input tensor: x = (pixel * scale - mean) / std after a resize to height x width.

    `mean` and `std` have a number per channel. With a `fit` other than `stretch`, the picture keeps its aspect ratio and the
    rest of the input has the pixel values `fill`, one per channel; the manifest's JSON has neither field for `stretch`.

    `resize` is `bilinear` (torchvision's `F.resize(..., antialias=False)` of a float tensor), `bilinear_antialias`
    (`antialias=True`), or `bilinear_8bit`: the latter of a Pillow image, which has rounded pixels. It has no default, since
    versions of the same model's code differ: see `host_runtime.preprocess`. A model that expects plain 0..1 pixels has mean
    (0, 0, 0) and std (1, 1, 1).
    """

    height: int
    width: int
    resize: Resize
    scale: float = 1 / 255
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    channels: Channels = "RGB"
    layout: Literal["NCHW"] = "NCHW"
    fit: Fit = "stretch"
    fill: tuple[float, ...] = ()


@dataclass(frozen=True)
class Postprocess:
    """How boxes [1, Q, 4] and logits [1, Q, C] become detections; `ignored_classes` are logit columns never reported."""

    num_select: int
    boxes: str = "boxes"
    logits: str = "logits"
    kind: Literal["topk_sigmoid"] = "topk_sigmoid"
    box_format: Literal["cxcywh"] = "cxcywh"
    ignored_classes: tuple[int, ...] = ()


@dataclass(frozen=True)
class SettingRecord:
    """A setting of the detector: its value in JSON's types, where it is from, and whether the user chose it."""

    value: Any
    origin: str
    requested: bool = False


@dataclass(frozen=True)
class FileRecord:
    """A file's sha256 and size."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class Golden:
    """A picture with the outputs of every stage, as the reference for a device."""

    image: str
    tensors: str
    detections: str
    threshold: float


@dataclass(frozen=True)
class Manifest:
    """Everything a runtime needs to know about a bundle.

    Attributes:
        protection: which norms and sums have the fp16-safe form, a ``rewrites.profile.Protection``: for verifying the bundle;
            runtimes ignore it. None if the bundle does not record it.
        settings: what the detector was built with, by name, for verifying the bundle; empty if the bundle does not record it.
        native: the native form's files; None if the bundle has only the graphs that every runtime can run.
        notes: any JSON value of whoever made the bundle; runtimes ignore it. None if there is none.
    """

    variant: str
    target: str
    weights: Weights
    versions: Mapping[str, str]
    preprocess: Preprocess
    graphs: Graphs
    host_step: HostProgram
    postprocess: Postprocess
    classes: tuple[str | None, ...]
    files: Mapping[str, FileRecord]
    golden: Golden | None = None
    protection: str | None = None
    settings: Mapping[str, SettingRecord] = field(default_factory=dict)
    native: NativeFiles | None = None
    notes: Any = None
    schema_version: int = TWO_GRAPHS_VERSION

    @property
    def native_graphs(self) -> Graphs | None:
        """The graphs of the native form."""
        if self.native is None:
            return None
        a = dataclasses.replace(self.graphs.a, file=self.native.a)
        if self.graphs.b is None or self.native.b is None:
            return Graphs(a)
        return Graphs(a, dataclasses.replace(self.graphs.b, file=self.native.b))

    @property
    def graphs_by_name(self) -> dict[str, GraphSpec]:
        """Every file's graph by the name that reports use: ``graph_a``, and ``graph_a.native`` where it is another file."""
        native = {} if self.native_graphs is None else self.native_graphs.by_name
        own = {f"{name}{NATIVE_SUFFIX}": spec for name, spec in native.items() if spec.file != self.graphs.by_name[name].file}
        return {**self.graphs.by_name, **own}

    def to_dict(self) -> dict[str, Any]:
        """Returns the JSON layout of `manifest.schema.json` as plain dicts, lists, strings and numbers."""
        data: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self), allow_nan=False))
        if self.preprocess.fit == "stretch":
            del data["preprocess"]["fit"]
        if not self.preprocess.fill:
            del data["preprocess"]["fill"]
        for pair in (data["graphs"], data["native"] or {}):
            if pair.get("b", "") is None:
                del pair["b"]
        return {name: value for name, value in data.items() if value is not None}

    def to_json(self) -> str:
        """Returns the manifest's text: the same bytes for the same manifest."""
        return json.dumps(self.to_dict(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str, where: str = MANIFEST_NAME) -> Manifest:
        """Parses and checks a manifest's text.

        Raises:
            UserError: it is not JSON, has a newer schema, does not match the schema, or is inconsistent; the message names
                `where`.
        """
        try:
            data = parse_json(text, OWN)
        except ValueError as error:
            raise UserError(f"{where} is not JSON that a bundle may have ({error}); {REMAKE}") from error
        return cls.from_dict(data, where)

    @classmethod
    def from_dict(cls, data: Any, where: str = MANIFEST_NAME) -> Manifest:
        """Builds a manifest from parsed JSON; raises as `from_json` does."""
        version = data.get("schema_version") if isinstance(data, dict) else None
        if isinstance(version, int) and SCHEMA_VERSION < version < 10**6:
            raise UserError(
                f"{where} has schema version {version} but this runtime reads up to {SCHEMA_VERSION}; "
                f"upgrade the runtime (pip install --upgrade detr2litert), or {REMAKE}"
            )
        try:
            check_values(data, OWN)
            manifest = _parse(conform(data, load_schema()))
        except ValueError as error:
            raise UserError(f"{where} is not a bundle manifest: {error}; {REMAKE}") from error
        manifest.check(where)
        return manifest

    def check(self, where: str = MANIFEST_NAME) -> None:
        """Checks what the schema cannot express.

        Raises:
            UserError: naming the first inconsistency.
        """
        for problem in _problems(self):
            raise UserError(f"{where} does not fit together: {problem}; {REMAKE}")
        if self.graphs.b is None:
            return
        try:
            self.host_step.check(self.graphs.a.outputs, self.graphs.b.inputs)
        except UserError as error:
            raise UserError(f"{where} does not fit together: {error}") from error


def load_schema() -> dict[str, Any]:
    """Returns the JSON Schema (draft 2020-12) of manifest.json."""
    text = importlib.resources.files(__package__).joinpath("manifest.schema.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def _parse(data: dict[str, Any]) -> Manifest:
    """Converts schema-valid JSON to dataclasses."""
    pre = data["preprocess"]
    post = data["postprocess"]
    golden = data.get("golden")
    return Manifest(
        schema_version=data["schema_version"],
        variant=data["variant"],
        target=data["target"],
        weights=Weights(**data["weights"]),
        versions=dict(data["versions"]),
        preprocess=Preprocess(**{**pre, **{name: tuple(pre.get(name, ())) for name in ("mean", "std", "fill")}}),
        graphs=Graphs(**{name: _parse_graph(graph) for name, graph in data["graphs"].items()}),
        host_step=HostProgram.from_dict(data["host_step"]),
        postprocess=Postprocess(**{**post, "ignored_classes": tuple(post.get("ignored_classes", ()))}),
        classes=tuple(data["classes"]),
        files={name: FileRecord(**record) for name, record in data["files"].items()},
        golden=None if golden is None else Golden(**golden),
        protection=data.get("protection"),
        settings={name: SettingRecord(**record) for name, record in data.get("settings", {}).items()},
        native=NativeFiles(**data["native"]) if "native" in data else None,
        notes=data.get("notes"),
    )


def _parse_graph(data: dict[str, Any]) -> GraphSpec:
    return GraphSpec(
        file=data["file"],
        signature=data["signature"],
        inputs=_parse_tensors(data["inputs"]),
        outputs=_parse_tensors(data["outputs"]),
    )


def _parse_tensors(items: list[dict[str, Any]]) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(item["name"], tuple(item["shape"]), item["dtype"]) for item in items)


def _problems(manifest: Manifest) -> Iterable[str]:
    """Yields a sentence for each inconsistency, in the order of data flow."""
    a, b, host, post = manifest.graphs.a, manifest.graphs.b, manifest.host_step, manifest.postprocess
    last, label_of_last = manifest.graphs.last, "a" if b is None else "b"
    from_a = {spec.name: spec for spec in a.outputs}
    sides = [("a.inputs", a.inputs), ("a.outputs", a.outputs)]
    if b is not None:
        sides += [("b.inputs", b.inputs), ("b.outputs", b.outputs)]
    elements = sum(prod(spec.shape) for specs in (*(specs for _, specs in sides), host.constants) for spec in specs)
    if elements > host_table().max_elements:
        yield f"its tensors have {elements} elements in all, more than {host_table().max_elements}"
    for label, specs in sides:
        names = [spec.name for spec in specs]
        if len(set(names)) != len(names):
            yield f"graphs.{label} names a tensor twice ({', '.join(names)})"

    if b is None and manifest.schema_version < SCHEMA_VERSION:
        yield f"graph b is missing, which a bundle of schema version {manifest.schema_version} has"
    if b is None and (host.inputs or host.ops or host.outputs or host.constants):
        yield "there is a host step after graph a and no graph b to read it"
    if manifest.native is not None and (manifest.native.b is None) != (b is None):
        yield f"the native form has {'one graph' if manifest.native.b is None else 'two graphs'} and the portable one not"

    needed = [a.file] if b is None else [a.file, b.file]
    if manifest.native is not None:
        needed += [file for file in (manifest.native.a, manifest.native.b) if file is not None]
    if host.constants:
        needed.append(HOST_PARAMS_NAME)
    if manifest.golden is not None:
        needed += [manifest.golden.image, manifest.golden.tensors, manifest.golden.detections]
    for name in needed:
        if name not in manifest.files:
            yield f"{name} is used but not listed under files"

    pre = manifest.preprocess
    channels = CHANNEL_COUNT[pre.channels]
    for label, values in (("mean", pre.mean), ("std", pre.std)):
        if len(values) != channels:
            yield f"preprocess.{label} has {len(values)} numbers for {channels} channels ({pre.channels})"
    if len(pre.fill) != (0 if pre.fit == "stretch" else channels):
        yield f"preprocess.fill has {len(pre.fill)} numbers for {channels} channels and the fit {pre.fit}"
    image = (1, channels, pre.height, pre.width)
    if len(a.inputs) != 1 or a.inputs[0].shape != image:
        yield f"graph a must take one image of shape {image}, as preprocess says"

    for op in host.ops:
        if op.op not in host_table().ops:
            yield f"the host step's op '{op.op}' is not one that this runtime knows: upgrade the runtime"
    known = set()
    for name in host.inputs:
        if name not in from_a:
            yield f"the host step reads '{name}', which graph a does not give"
        known.add(name)
    for name in (*(spec.name for spec in host.constants), *(op.output for op in host.ops)):
        if name in known:
            yield f"the host step assigns '{name}' twice"
        known.add(name)
    for name in host.outputs:
        if name not in known:
            yield f"the host step's output '{name}' is never computed"

    for spec in () if b is None else b.inputs:
        source = from_a.get(spec.name)
        if spec.name not in host.outputs and source is None:
            yield f"graph b reads '{spec.name}', which neither the host step nor graph a gives"
        elif spec.name not in host.outputs and source is not None and source.shape != spec.shape:
            yield f"'{spec.name}' leaves graph a as {source.shape} but graph b wants {spec.shape}"

    given = {spec.name: spec.shape for spec in last.outputs}
    boxes, logits = given.get(post.boxes), given.get(post.logits)
    if boxes is None or logits is None:
        yield f"graph {label_of_last} does not give '{post.boxes if boxes is None else post.logits}', which postprocess reads"
    elif len(boxes) != 3 or len(logits) != 3 or boxes[:2] != logits[:2] or boxes[0] != 1 or boxes[2] != 4:
        yield f"postprocess wants boxes [1, Q, 4] and logits [1, Q, C], not {list(boxes)} and {list(logits)}"
    elif logits[2] != len(manifest.classes):
        yield f"classes has {len(manifest.classes)} entries but there are {logits[2]} logit columns"
    for index in post.ignored_classes:
        if index >= len(manifest.classes):
            yield f"ignored class {index} is not one of the {len(manifest.classes)} classes"
