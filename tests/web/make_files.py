"""Writes the files that the web demo's browser test opens: `python tests/web/make_files.py OUT BUNDLE`.

- partly, wholly: bundles that no GPU takes whole, `tests/host_runtime/tiny_bundle.py`'s with another graph B. `partly` keeps
  one operator that the delegate takes, `wholly` has none. The delegate refuses RELU_0_TO_1; the CPU computes it.
- refused.tflite, wrong.native.tflite: a graph that no GPU takes whole, and a native graph B whose logits are wrong, to be
  planted in a bundle's native form.
- bundle.zip: BUNDLE in one file.
- other.png: a picture for the hand-made bundle, with one blue cell at its right upper corner, and not square.
- masks.png: for the bundle with masks: two blue cells, each with the mask of both, and a weaker one.
- keypoints.png: for the bundle with keypoints: a green cell, and a yellow one, which is red and green.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "host_runtime"))
sys.path.insert(0, str(Path(__file__).parents[1] / "android"))

import native_bundle
import tiny_bundle
from tiny_bundle import QUERIES, Ops


def refused_graph_b(*, wholly: bool) -> bytes:
    b = tiny_bundle.TfliteBuilder()
    chosen = b.tensor("chosen", (1, QUERIES, 3))
    cells = b.tensor("cells", (1, QUERIES, 4))
    logits = b.tensor("scores", (1, QUERIES, 3))
    if wholly:
        b.op(Ops.RELU_0_TO_1, [chosen], logits)
    else:
        kind, options = tiny_bundle.schema.BuiltinOptions.MulOptions, tiny_bundle.schema.MulOptionsT()
        b.op(Ops.MUL, [chosen, b.constant("twenty", np.full((1, 1, 1), 20.0))], logits, kind, options)
    boxes = b.op(Ops.RELU_0_TO_1, [cells], b.tensor("corners", (1, QUERIES, 4)))
    return b.finish({"selected_memory": chosen, "selected_cells": cells}, {"boxes": boxes, "logits": logits})


def make(out: Path, bundle: Path) -> None:
    for name in ("partly", "wholly"):
        tiny_bundle.write_bundle(out / name, {"graph_b.tflite": refused_graph_b(wholly=name == "wholly")})
    (out / "refused.tflite").write_bytes(refused_graph_b(wholly=False))
    (out / "wrong.native.tflite").write_bytes(native_bundle.graph_b(native=True, steepness=10.0))
    shutil.make_archive(str(out / "bundle"), "zip", bundle)
    pixels = np.zeros((20, 40, 3), np.uint8)
    pixels[:5, 30:, 2] = 255
    Image.fromarray(pixels).save(out / "other.png")
    pixels = np.zeros((240, 320, 3), np.uint8)
    pixels[60:180, 160:240, 2] = 255
    pixels[60:120, :80, 2] = 132
    Image.fromarray(pixels).save(out / "masks.png")
    pixels = np.zeros((240, 320, 3), np.uint8)
    pixels[120:180, 160:240] = (30, 255, 0)
    pixels[180:, 240:] = (180, 165, 0)
    Image.fromarray(pixels).save(out / "keypoints.png")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python tests/web/make_files.py OUT BUNDLE")
    make(Path(sys.argv[1]), Path(sys.argv[2]))
