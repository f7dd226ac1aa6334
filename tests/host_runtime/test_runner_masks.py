"""A bundle with masks: each detection has its own query's, however many there are, and only those are computed."""

from __future__ import annotations

import json
from dataclasses import replace
from io import StringIO
from pathlib import Path

import masks_bundle
import numpy as np
import pytest
import tiny_bundle
from PIL import Image
from pycocotools import mask as coco

from detr2litert.host_runtime.decode import Detections
from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.manifest import MASKS_OF_BOXES_VERSION, Graphs, Manifest, Masks
from detr2litert.host_runtime.masks import mask_of
from detr2litert.host_runtime.placement import place
from detr2litert.host_runtime.predict.detector import Detector
from detr2litert.host_runtime.predict.formats import CocoWriter
from detr2litert.host_runtime.preprocess import preprocess
from detr2litert.host_runtime.runner import Runner


def picture() -> Image.Image:
    """Cells of a few colours, enlarged to another size and shape than the input's."""
    colours = np.random.default_rng(3).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(colours).resize((90, 62), Image.Resampling.NEAREST)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    masks_bundle.write_bundle(tmp_path / "bundle")
    return tmp_path / "bundle"


def test_each_detection_has_the_mask_of_its_query(bundle: Path) -> None:
    image = picture()
    with Runner(bundle) as runner:
        manifest = runner.bundle.manifest
        found = runner.detect(image, threshold=0.0)
        outputs = runner.run(preprocess(image, manifest.preprocess))
        wanted = runner.decode(outputs, image.size, threshold=0.0)
    assert len({item.box for item in found}) > masks_bundle.ROOM, "several calls are needed"
    assert [replace(item, mask=None) for item in found] == list(wanted)
    queries, cells = (outputs.graph_a[name] for name in ("mask_queries", "mask_cells"))
    boxes = {tuple(np.round(box, 4)): query for query, box in enumerate(outputs.graph_a["boxes"][0])}
    where = place(image.size, manifest.preprocess)
    for item in found:
        left, top, right, bottom = item.box
        centre = ((left + right) / 2 / 90, (top + bottom) / 2 / 62, (right - left) / 90, (bottom - top) / 62)
        query = boxes[tuple(np.round(np.array(centre, np.float32), 4))]
        assert item.mask == mask_of(cells[0] @ queries[0, query] + masks_bundle.BIAS, where)
    assert len({item.mask for item in found}) > 1


def test_masks_of_probabilities_end_at_the_boxes(bundle: Path) -> None:
    """Data of the manifest, with the same graphs; the two classes of a query have one mask, cut to one box."""
    image, path = picture(), bundle / "manifest.json"
    with Runner(bundle) as runner:
        whole = runner.detect(image, threshold=0.0)
    data = json.loads(path.read_text())
    data["postprocess"]["masks"].update(activation="sigmoid", within_box=True)
    path.write_text(json.dumps({**data, "schema_version": MASKS_OF_BOXES_VERSION}))
    with Runner(bundle) as runner:
        manifest = runner.bundle.manifest
        found = runner.detect(image, threshold=0.0)
        outputs = runner.run(preprocess(image, manifest.preprocess)).graph_a
    assert Manifest.from_json(manifest.to_json()).postprocess.masks == Masks(activation="sigmoid", within_box=True)
    assert [replace(item, mask=None) for item in found] == [replace(item, mask=None) for item in whole]
    where = place(image.size, manifest.preprocess)
    logits = outputs["mask_cells"][0] @ outputs["mask_queries"][0].T + masks_bundle.BIAS
    masks = {mask_of(logits[..., query], where, "sigmoid") for query in range(logits.shape[-1])}
    for item in found:
        assert item.mask in {mask.within(item.box) for mask in masks}
    assert [item.mask for item in found] != [item.mask for item in whole]


def test_a_schema_before_masks_of_boxes_has_none(bundle: Path) -> None:
    data = json.loads((bundle / "manifest.json").read_text())
    assert {"activation", "within_box"}.isdisjoint(data["postprocess"]["masks"])
    data["postprocess"]["masks"]["within_box"] = True
    with pytest.raises(UserError, match="a bundle of schema version 4 has not"):
        Manifest.from_dict(data)


def test_a_run_that_is_to_be_decoded_reads_no_embedding(bundle: Path) -> None:
    with Runner(bundle) as runner:
        tensor = preprocess(picture(), runner.bundle.manifest.preprocess)
        assert set(runner.run(tensor, all_outputs=False).graph_a) == {"boxes", "logits"}
        assert "mask_cells" in runner.run(tensor).graph_a
        assert runner.graph_m is not None and set(runner.graph_m._inputs) == {"kept"}


def test_masks_in_every_form(bundle: Path) -> None:
    with Detector(bundle) as detector:
        prediction = detector.predict(picture(), threshold=0.3, max_detections=3)
        names = detector.names
    masks = prediction.masks
    assert masks is not None and masks.shape == (3, 62, 90)
    assert Detections.from_dict(prediction.detections.to_dict()) == prediction.detections
    stream = StringIO()
    writer = CocoWriter(stream, names)
    writer.add(prediction, {})
    writer.close()
    for annotation, mask in zip(json.loads(stream.getvalue())["annotations"], masks, strict=True):
        segmentation = {**annotation["segmentation"], "counts": annotation["segmentation"]["counts"].encode()}
        assert np.array_equal(coco.decode(segmentation), mask)
        assert annotation["area"] == mask.sum()
    # The pixels of a mask have its colour's tint, others are the picture's, but for boxes and labels.
    shaded = np.asarray(prediction.plot()) != np.asarray(picture())
    inside = masks.any(axis=0)
    assert shaded.any(axis=2)[inside].mean() > 0.99


WRONG = {
    "no graph": ({"graphs": Graphs(masks_bundle.GRAPHS.a)}, "graph m is missing"),
    "an older schema": ({"schema_version": 3}, "there are masks, which a bundle of schema version 3 has not"),
    "another input": (
        {"postprocess": Masks(kept="chosen")},
        "graph m reads 'kept' .2., which the graph before it does not give",
    ),
    "another output": (
        {"postprocess": Masks(output="mask")},
        r"graph m needs an output 'mask' of masks, float32 \[1, h, w, 2\]",
    ),
    "an embedding of another shape": ({"shape": (1, 4, 4, 2)}, r"graph m reads 'mask_cells' \[1, 4, 4, 2\], which the graph"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_manifest_that_does_not_fit_is_refused(case: str, tmp_path: Path) -> None:
    change, message = WRONG[case]
    manifest = masks_bundle.write_bundle(tmp_path)
    if "postprocess" in change:
        change = {"postprocess": replace(manifest.postprocess, masks=change["postprocess"])}
    if "shape" in change:
        m = masks_bundle.GRAPHS.m
        assert m is not None
        inputs = tuple(replace(t, shape=change["shape"]) if t.name == "mask_cells" else t for t in m.inputs)
        change = {"graphs": replace(masks_bundle.GRAPHS, m=replace(m, inputs=inputs))}
    with pytest.raises(UserError, match=message):
        Manifest.from_dict(replace(manifest, **change).to_dict())


def test_older_bundles_have_no_masks(tmp_path: Path) -> None:
    manifest = tiny_bundle.write_bundle(tmp_path)
    assert "masks" not in manifest.to_dict()["postprocess"] and "m" not in manifest.to_dict()["graphs"]
    with Runner(tmp_path) as runner:
        assert runner.graph_m is None
        assert all(item.mask is None for item in runner.detect(picture(), threshold=0.0))
