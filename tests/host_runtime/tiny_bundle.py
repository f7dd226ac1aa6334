"""A whole bundle small enough to check by hand: "the brightest cells of a picture are objects".

Graph A averages the 8 x 8 picture over 2 x 2 cells: `memory` [1, 16, 3] holds each cell's red, green and blue, `enc_scores` [1,
16] their sum. The host step picks the 4 brightest cells and gathers their memory and their boxes (a constant grid). Graph B
gives logits 20 * colour - 10 and passes the boxes on. So a pure red cell is a detection of "red" with score sigmoid(10) and the
cell's own box.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import safetensors.numpy
from ai_edge_litert import schema_py_generated as schema
from PIL import Image

from detr2litert.host_runtime.bundle import file_sha256
from detr2litert.host_runtime.compiled_graph import CompiledGraph
from detr2litert.host_runtime.manifest import (
    PIXELS_VERSION,
    FileRecord,
    Golden,
    Graphs,
    GraphSpec,
    HostOp,
    HostProgram,
    Manifest,
    NativeFiles,
    Postprocess,
    Preprocess,
    TensorSpec,
    Weights,
)
from detr2litert.host_runtime.preprocess import preprocess, resized_pixels
from detr2litert.host_runtime.runner import Runner

SIDE, CELLS, QUERIES = 8, 16, 4
Ops = schema.BuiltinOperator
_TYPES = {
    "float32": schema.TensorType.FLOAT32,
    "int32": schema.TensorType.INT32,
    "uint8": schema.TensorType.UINT8,
}


class TfliteBuilder:
    """Just enough of the .tflite format for the two graphs, so that these tests need neither torch nor the converter."""

    def __init__(self) -> None:
        self.graph = schema.SubGraphT()
        self.graph.tensors, self.graph.operators = [], []
        self.model = schema.ModelT()
        self.model.version = 3
        self.model.subgraphs, self.model.operatorCodes, self.model.buffers = [self.graph], [], [schema.BufferT()]

    def tensor(self, name: str, shape: tuple[int, ...], data: np.ndarray | None = None, dtype: str | None = None) -> int:
        item = schema.TensorT()
        item.name, item.shape, item.buffer = name.encode(), list(shape), 0
        kind = np.dtype(np.float32 if data is None else data.dtype) if dtype is None else np.dtype(dtype)
        item.type = _TYPES[kind.name]
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(data.tobytes(), np.uint8)
            self.model.buffers.append(buffer)
            item.buffer = len(self.model.buffers) - 1
        self.graph.tensors.append(item)
        return len(self.graph.tensors) - 1

    def constant(self, name: str, data: Any) -> int:
        array = np.asarray(data)
        array = array.astype(np.int32 if array.dtype.kind == "i" else np.float32)
        return self.tensor(name, array.shape, array)

    def op(self, code: int, inputs: list[int], output: int, kind: int = 0, options: Any = None) -> int:
        op_code = schema.OperatorCodeT()
        op_code.builtinCode, op_code.deprecatedBuiltinCode, op_code.version = code, min(code, 127), 1
        self.model.operatorCodes.append(op_code)
        item = schema.OperatorT()
        item.opcodeIndex = len(self.model.operatorCodes) - 1
        item.inputs, item.outputs = inputs, [output]
        item.builtinOptionsType, item.builtinOptions = kind, options
        self.graph.operators.append(item)
        return output

    def finish(self, inputs: dict[str, int], outputs: dict[str, int]) -> bytes:
        self.graph.inputs, self.graph.outputs = list(inputs.values()), list(outputs.values())
        signature = schema.SignatureDefT()
        signature.signatureKey, signature.subgraphIndex = b"serving_default", 0
        signature.inputs = [_named(name, index) for name, index in inputs.items()]
        signature.outputs = [_named(name, index) for name, index in outputs.items()]
        self.model.signatureDefs = [signature]
        builder = flatbuffers.Builder(4096)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def _named(name: str, index: int) -> Any:
    item = schema.TensorMapT()
    item.name, item.tensorIndex = name.encode(), index
    return item


def graph_a(image_name: str = "image") -> bytes:
    b = TfliteBuilder()
    image = b.tensor("nchw", (1, 3, SIDE, SIDE))
    nhwc = b.op(
        Ops.TRANSPOSE,
        [image, b.constant("perm", [0, 2, 3, 1])],
        b.tensor("nhwc", (1, SIDE, SIDE, 3)),
        schema.BuiltinOptions.TransposeOptions,
        schema.TransposeOptionsT(),
    )
    return _cells(b, image_name, image, nhwc)


def graph_a_of_pixels(pixels_name: str = "pixels") -> bytes:
    """Graph A of a native form that takes pixels."""
    b = TfliteBuilder()
    pixels = b.tensor("taken", (1, SIDE, SIDE, 3), dtype="uint8")
    cast = schema.CastOptionsT()
    cast.inDataType, cast.outDataType = schema.TensorType.UINT8, schema.TensorType.FLOAT32
    levels = b.op(Ops.CAST, [pixels], b.tensor("levels", (1, SIDE, SIDE, 3)), schema.BuiltinOptions.CastOptions, cast)
    scale = b.constant("scale", np.full((1, 1, 1, 1), 1 / 255))
    nhwc = b.op(
        Ops.MUL,
        [levels, scale],
        b.tensor("nhwc", (1, SIDE, SIDE, 3)),
        schema.BuiltinOptions.MulOptions,
        schema.MulOptionsT(),
    )
    return _cells(b, pixels_name, pixels, nhwc)


def _cells(b: TfliteBuilder, name: str, taken: int, nhwc: int) -> bytes:
    """Finishes a graph A that takes a tensor, from its image with channels last."""
    pool = schema.Pool2DOptionsT()
    pool.strideH = pool.strideW = pool.filterHeight = pool.filterWidth = 2
    pool.padding = schema.Padding.VALID
    cells = b.op(Ops.AVERAGE_POOL_2D, [nhwc], b.tensor("cells", (1, 4, 4, 3)), schema.BuiltinOptions.Pool2DOptions, pool)
    memory = b.op(
        Ops.RESHAPE,
        [cells, b.constant("shape", [1, CELLS, 3])],
        b.tensor("tokens", (1, CELLS, 3)),
        schema.BuiltinOptions.ReshapeOptions,
        schema.ReshapeOptionsT(),
    )
    total = b.op(
        Ops.SUM,
        [memory, b.constant("axis", [2])],
        b.tensor("sum", (1, CELLS)),
        schema.BuiltinOptions.ReducerOptions,
        schema.ReducerOptionsT(),
    )
    return b.finish({name: taken}, {"enc_scores": total, "memory": memory})


def graph_b(memory: str = "selected_memory", queries: int = QUERIES) -> bytes:
    b = TfliteBuilder()
    chosen = b.tensor("chosen", (1, queries, 3))
    cells = b.tensor("cells", (1, queries, 4))
    options = schema.FullyConnectedOptionsT()
    options.keepNumDims = True
    logits = b.op(
        Ops.FULLY_CONNECTED,
        [chosen, b.constant("weight", np.eye(3) * 20.0), b.constant("bias", np.full(3, -10.0))],
        b.tensor("scores", (1, queries, 3)),
        schema.BuiltinOptions.FullyConnectedOptions,
        options,
    )
    boxes = b.op(
        Ops.MUL,
        [cells, b.constant("one", np.ones((1, 1, 1)))],
        b.tensor("corners", (1, queries, 4)),
        schema.BuiltinOptions.MulOptions,
        schema.MulOptionsT(),
    )
    return b.finish({memory: chosen, "selected_cells": cells}, {"boxes": boxes, "logits": logits})


def cell_grid() -> np.ndarray:
    """[1, 16, 4]: each cell's box as fractions, centre x, centre y, width, height, row by row."""
    centres = (np.arange(4) + 0.5) / 4
    y, x = np.meshgrid(centres, centres, indexing="ij")
    return np.stack((x, y, np.full_like(x, 0.25), np.full_like(x, 0.25)), axis=-1).reshape(1, CELLS, 4).astype(np.float32)


def manifest() -> Manifest:
    """The manifest without its files."""
    return Manifest(
        variant="cells",
        target="test",
        weights=Weights("by hand", "0" * 64),
        versions={"none": "0"},
        preprocess=Preprocess(SIDE, SIDE, "bilinear_antialias", mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)),
        graphs=Graphs(
            a=GraphSpec(
                "graph_a.tflite",
                (TensorSpec("image", (1, 3, SIDE, SIDE)),),
                (TensorSpec("enc_scores", (1, CELLS)), TensorSpec("memory", (1, CELLS, 3))),
            ),
            b=GraphSpec(
                "graph_b.tflite",
                (TensorSpec("selected_memory", (1, QUERIES, 3)), TensorSpec("selected_cells", (1, QUERIES, 4))),
                (TensorSpec("boxes", (1, QUERIES, 4)), TensorSpec("logits", (1, QUERIES, 3))),
            ),
        ),
        host_step=HostProgram(
            inputs=("enc_scores", "memory"),
            constants=(TensorSpec("cells", (1, CELLS, 4)),),
            ops=(
                HostOp("topk", ("enc_scores",), "indices", {"k": QUERIES, "axis": 1}),
                HostOp("gather", ("memory", "indices"), "selected_memory", {"axis": 1}),
                HostOp("gather", ("cells", "indices"), "selected_cells", {"axis": 1}),
            ),
            outputs=("selected_memory", "selected_cells"),
        ),
        postprocess=Postprocess(num_select=QUERIES),
        classes=("red", "green", "blue"),
        files={},
    )


def in_pixels(native: NativeFiles) -> dict[str, Any]:
    """The manifest's fields with which the native form takes pixels."""
    spec = dataclasses.replace(manifest().preprocess, resize="bilinear_8bit")
    return {"preprocess": spec, "native": dataclasses.replace(native, pixels="pixels"), "schema_version": PIXELS_VERSION}


def write_bundle(root: Path, changed: dict[str, bytes | None] | None = None, **fields: Any) -> Manifest:
    """Write the bundle into `root`.

    `changed` replaces files before they are hashed, and leaves those out that are None; `fields` replaces manifest fields.
    """
    root.mkdir(parents=True, exist_ok=True)
    (root / "golden").mkdir(exist_ok=True)
    picture().save(root / "golden" / "image.png")
    content = {
        "graph_a.tflite": graph_a(),
        "graph_b.tflite": graph_b(),
        "host_params.safetensors": safetensors.numpy.save({"cells": cell_grid()}),
        "labels.txt": b"red\ngreen\nblue\n",
        "golden/image.png": (root / "golden" / "image.png").read_bytes(),
        "golden/golden.safetensors": safetensors.numpy.save({"enc_scores": np.zeros((1, CELLS), np.float32)}),
        "golden/detections.json": json.dumps({"width": SIDE, "height": SIDE, "detections": []}).encode(),
    }
    content = {name: data for name, data in {**content, **(changed or {})}.items() if data is not None}
    for name, data in content.items():
        (root / name).write_bytes(data)
    files = {name: FileRecord(file_sha256(root / name), len(data)) for name, data in content.items()}
    golden = Golden("golden/image.png", "golden/golden.safetensors", "golden/detections.json", 0.3)
    result = dataclasses.replace(manifest(), files=files, golden=golden, **fields)
    (root / "manifest.json").write_text(result.to_json(), encoding="utf-8")
    return result


def write_recorded_bundle(root: Path, changed: dict[str, bytes | None] | None = None, **fields: Any) -> Manifest:
    """Writes the bundle as `write_bundle` does, with golden vectors and detections recorded by running it on the CPU."""
    manifest = write_bundle(root, changed, **fields)
    assert manifest.golden is not None
    with Runner(root) as runner:
        image = preprocess(picture(), manifest.preprocess)
        outputs = runner.run(image)
        tensors = {"image": image, **outputs.tensors()}
        if manifest.native is not None and manifest.native.pixels is not None:
            tensors[manifest.native.pixels] = resized_pixels(picture(), manifest.preprocess)
        if runner.graph_m is not None:
            assert manifest.postprocess.masks is not None
            kept = {manifest.postprocess.masks.kept: kept_queries(runner.graph_m, outputs.last[manifest.postprocess.logits])}
            tensors |= {**kept, **runner.graph_m(kept)}
        found = runner.detect(picture(), threshold=manifest.golden.threshold)
    recorded = {
        "golden/golden.safetensors": safetensors.numpy.save(tensors),
        "golden/detections.json": json.dumps(found.to_dict()).encode(),
    }
    return write_bundle(root, {**(changed or {}), **recorded}, **fields)


def kept_queries(graph_m: CompiledGraph, logits: np.ndarray) -> np.ndarray:
    """The best queries, as many as the graph of the masks takes: as the converter records them."""
    (room,) = next(spec.shape for spec in graph_m.spec.inputs if spec.dtype == "int32")
    return np.argsort(-logits[0].max(axis=1), kind="stable")[:room].astype(np.int32)


def picture() -> Image.Image:
    """Black, with a red cell in row 1, column 2 and a green one in row 3, column 0."""
    pixels = np.zeros((SIDE, SIDE, 3), np.uint8)
    pixels[2:4, 4:6, 0] = 255
    pixels[6:8, 0:2, 1] = 255
    return Image.fromarray(pixels)
