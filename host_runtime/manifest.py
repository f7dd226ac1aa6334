"""The bundle's manifest as typed data: the converter writes it and every runtime (Python, Kotlin, JavaScript) reads it.

`manifest.schema.json` beside this file is the JSON layout; the dataclasses mirror it field by field, so that
`Manifest.from_dict(manifest.to_dict()) == manifest`. `Manifest.check()` checks what a JSON Schema cannot express (matching
names, one class per logit column).
"""

from __future__ import annotations

import dataclasses
import importlib.resources
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from detr2litert.host_runtime.errors import REMAKE as REMAKE
from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.foreign_json import OWN, check_values, conform, parse_json
from detr2litert.host_runtime.host_program import HostOp as HostOp
from detr2litert.host_runtime.host_program import HostProgram as HostProgram
from detr2litert.host_runtime.manifest_keypoints import ClassKeypoints as ClassKeypoints
from detr2litert.host_runtime.manifest_keypoints import Keypoints as Keypoints
from detr2litert.host_runtime.tensor_spec import TensorSpec as TensorSpec

SCHEMA_VERSION = 6
"""Since 2 a bundle may have a native form, since 3 one graph instead of two, since 4 masks, since 5 keypoints, and masks of
probabilities or within boxes, since 6 a native form that takes pixels; this runtime reads all of them."""
PIXELS_VERSION = 6
"""Of a bundle whose native form takes pixels, see `NativeFiles`."""
KEYPOINTS_VERSION = 5
"""Of a bundle with keypoints."""
MASKS_OF_BOXES_VERSION = 5
"""Of a bundle whose masks are not plain, see `Masks.is_plain`."""
MASKS_VERSION = 4
"""Of a bundle with masks, which a runtime without keypoints can run too."""
ONE_GRAPH_VERSION = 3
"""Of a bundle of one graph without either, which an older runtime can run too."""
TWO_GRAPHS_VERSION = 2
"""Of a bundle of two graphs without either, likewise."""
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

MaskActivation = Literal["none", "sigmoid"]
"""What becomes of a mask's logits before the resize: nothing, or their probability less a half."""

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

    Without `b` there is one graph, `a`, from the image to boxes and logits, and the host step is empty. `m` computes the masks
    of some queries, from what the graph before it gives and those queries' indices; None for a detector without masks.
    """

    a: GraphSpec
    b: GraphSpec | None = None
    m: GraphSpec | None = None

    @property
    def by_name(self) -> dict[str, GraphSpec]:
        """All by the names that reports use, in the order of execution."""
        graphs = {"graph_a": self.a, "graph_b": self.b, "graph_m": self.m}
        return {name: graph for name, graph in graphs.items() if graph is not None}

    @property
    def last(self) -> GraphSpec:
        """The graph that gives boxes and logits."""
        return self.a if self.b is None else self.b


@dataclass(frozen=True)
class NativeFiles:
    """The graphs in the GPU delegate's own operators: other files with the same signatures, to be tried first on a GPU.

    All or none: the files of the two forms are not mixed. A graph that has no such operator is the same file in both. `b` is
    None where there is one graph, `m` where there are no masks.

    `pixels` is the name of graph A's input where that is the resized picture itself, uint8 [1, height, width, channels], and
    not `graphs.a`'s normalised floats: a quarter of the bytes to bring to the GPU. Only of a pre-processing whose pixels are
    whole numbers (`Preprocess.in_whole_pixels`); None where both forms take the same.
    """

    a: str
    b: str | None = None
    m: str | None = None
    pixels: str | None = None


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

    @property
    def in_whole_pixels(self) -> bool:
        """Returns whether the resized and padded picture is of whole numbers from 0 to 255, before it is scaled."""
        return self.resize == "bilinear_8bit" and all(value in range(256) for value in self.fill)


@dataclass(frozen=True)
class Masks:
    """How graph `m` is called: `kept` is its input of K queries' indices, int32 [K]; `output` their logits, [1, h, w, K].

    h and w cells cover the detector's input; see `host_runtime.masks`. `activation` is applied to them before they are resized,
    and with `within_box` no pixel outside of a detection's box is of its mask.
    """

    output: str = "masks"
    kept: str = "kept"
    kind: Literal["bilinear_above_zero"] = "bilinear_above_zero"
    activation: MaskActivation = "none"
    within_box: bool = False

    @property
    def is_plain(self) -> bool:
        """Returns whether a runtime of schema version 4 reads them."""
        return self.activation == "none" and not self.within_box


@dataclass(frozen=True)
class Postprocess:
    """How boxes [1, Q, 4] and logits [1, Q, C] become detections; `ignored_classes` are logit columns never reported.

    A detector has masks, or keypoints, or neither.
    """

    num_select: int
    boxes: str = "boxes"
    logits: str = "logits"
    kind: Literal["topk_sigmoid"] = "topk_sigmoid"
    box_format: Literal["cxcywh"] = "cxcywh"
    ignored_classes: tuple[int, ...] = ()
    masks: Masks | None = None
    keypoints: Keypoints | None = None

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of the tensors that detections are decoded from."""
        return (self.boxes, self.logits) if self.keypoints is None else (self.boxes, self.logits, self.keypoints.output)


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
        files = {"graph_a": self.native.a, "graph_b": self.native.b, "graph_m": self.native.m}
        own = {
            name.removeprefix("graph_"): dataclasses.replace(graph, file=file)
            for name, graph in self.graphs.by_name.items()
            if (file := files[name]) is not None
        }
        if self.native.pixels is not None:
            pre = self.preprocess
            shape = (1, pre.height, pre.width, CHANNEL_COUNT[pre.channels])
            own["a"] = dataclasses.replace(own["a"], inputs=(TensorSpec(self.native.pixels, shape, "uint8"),))
        return Graphs(**own)

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
            for name in ("b", "m", "pixels"):
                if pair.get(name, "") is None:
                    del pair[name]
        for name in ("masks", "keypoints"):
            if data["postprocess"][name] is None:
                del data["postprocess"][name]
        masks = data["postprocess"].get("masks", {})
        if masks.get("activation") == "none":
            del masks["activation"]
        if masks.get("within_box") is False:
            del masks["within_box"]
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
        from detr2litert.host_runtime.manifest_problems import problems

        for problem in problems(self):
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
        postprocess=Postprocess(
            **{
                **post,
                "ignored_classes": tuple(post.get("ignored_classes", ())),
                "masks": Masks(**post["masks"]) if "masks" in post else None,
                "keypoints": Keypoints.from_dict(post["keypoints"]) if "keypoints" in post else None,
            }
        ),
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
