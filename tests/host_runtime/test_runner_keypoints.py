"""A bundle with keypoints: each detection has its own query's, and what does not fit together is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import keypoints_bundle
import numpy as np
import pytest
import tiny_bundle
from PIL import Image

from detr2litert.host_runtime.decode import Detection, Detections
from detr2litert.host_runtime.draw import class_colour, draw_detections
from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.keypoints import Keypoint
from detr2litert.host_runtime.manifest import KEYPOINTS_VERSION, ClassKeypoints, Graphs, Keypoints, Manifest, Masks, TensorSpec
from detr2litert.host_runtime.predict.detector import Detector
from detr2litert.host_runtime.predict.formats import CocoWriter, YoloWriter
from detr2litert.host_runtime.preprocess import preprocess
from detr2litert.host_runtime.runner import Runner

BASE = keypoints_bundle.GRAPHS.a


def picture() -> Image.Image:
    """Cells of a few colours, enlarged to another size and shape than the input's."""
    colours = np.random.default_rng(3).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(colours).resize((90, 62), Image.Resampling.NEAREST)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    keypoints_bundle.write_bundle(tmp_path / "bundle")
    return tmp_path / "bundle"


def test_each_detection_has_the_keypoints_of_its_query_and_class(bundle: Path) -> None:
    image = picture()
    with Runner(bundle) as runner:
        found = runner.detect(image, threshold=0.0)
        outputs = runner.run(preprocess(image, runner.bundle.manifest.preprocess))
        assert runner.decode(outputs, image.size, threshold=0.0) == found
    boxes, keypoints = (outputs.last[name][0] for name in ("boxes", "keypoints"))
    slots = {"red": slice(2, 5), "green": slice(0, 2), "blue": slice(0, 0)}
    assert {item.name for item in found} == set(slots)
    for item in found:
        left, top, right, bottom = item.box
        centre = np.array([(left + right) / 180, (top + bottom) / 124])
        query = int(np.abs(boxes[:, :2] - centre).sum(axis=1).argmin())
        own = keypoints[query, slots[item.name]]
        points = [(point.x / 90, point.y / 62) for point in item.keypoints or ()]
        np.testing.assert_allclose(np.reshape(points, (-1, 2)), own[:, :2], atol=1e-5)
        assert (item.keypoints is None) == (item.name == "blue")


def test_a_run_that_is_to_be_decoded_reads_the_keypoints(bundle: Path) -> None:
    with Runner(bundle) as runner:
        tensor = preprocess(picture(), runner.bundle.manifest.preprocess)
        assert set(runner.run(tensor, all_outputs=False).graph_a) == {"boxes", "logits", "keypoints"}


GREEN, RED = keypoints_bundle.GREEN, keypoints_bundle.RED
OTHER = {
    "an older schema": ({"schema_version": 4}, "there are keypoints, which a bundle of schema version 4 has not"),
    "an output that is missing": ({"output": "points"}, r"needs an output 'points' of keypoints, float32 \[1, 4, 5, 7\]"),
    "an output of another shape": (
        {"shape": (1, 4, 4, 7)},
        r"needs an output 'keypoints' of keypoints, float32 \[1, 4, 5, 7\]",
    ),
    "masks": ({"masks": Masks()}, "graph m is missing, which masks need"),
    "names of another number": ({"classes": (replace(GREEN, sigmas=(0.1,)), RED)}, "class 1 have 2 names and 1 sigmas"),
    "a skeleton beyond": ({"classes": (replace(GREEN, skeleton=((0, 2),)), RED)}, "class 1 have a skeleton that joins others"),
    "an unknown class": ({"classes": (replace(GREEN, class_index=3), RED)}, "class 3 are not of one of the 3 classes"),
    "a class twice": ({"classes": (replace(GREEN, class_index=0), RED)}, "class 0 are given twice"),
    "a class without its output": ({"classes": (GREEN, RED, ClassKeypoints(2, ("a",), (), (0.1,)))}, r"\[1, 4, 6, 7\]"),
}


@pytest.mark.parametrize("case", OTHER)
def test_a_manifest_that_does_not_fit_is_refused(case: str, tmp_path: Path) -> None:
    change, message = OTHER[case]
    manifest = keypoints_bundle.write_bundle(tmp_path)
    fields: dict[str, Any] = {name: value for name, value in change.items() if name == "schema_version"}
    spec = replace(keypoints_bundle.SPEC, **{name: value for name, value in change.items() if name in ("output", "classes")})
    post = replace(manifest.postprocess, keypoints=spec, masks=change.get("masks"))
    if "shape" in change:
        outputs = (*BASE.outputs[:-1], TensorSpec("keypoints", change["shape"]))
        fields["graphs"] = Graphs(replace(BASE, outputs=outputs))
    with pytest.raises(UserError, match=message):
        Manifest.from_dict(replace(manifest, postprocess=post, **fields).to_dict())


def test_masks_and_keypoints_exclude_each_other(tmp_path: Path) -> None:
    from masks_bundle import write_bundle

    manifest = write_bundle(tmp_path)
    queries = (*manifest.graphs.a.outputs, TensorSpec("keypoints", (1, 4, 5, 7)))
    graphs = replace(manifest.graphs, a=replace(manifest.graphs.a, outputs=queries))
    both = replace(manifest.postprocess, keypoints=keypoints_bundle.SPEC)
    with pytest.raises(UserError, match="there are masks and keypoints, of which a detector has only one"):
        Manifest.from_dict(replace(manifest, graphs=graphs, postprocess=both, schema_version=KEYPOINTS_VERSION).to_dict())


def test_a_class_of_the_schema_may_have_no_keypoints(tmp_path: Path) -> None:
    """Its score is weighted as if the mean trace was 1, and it has none."""
    spec = Keypoints(0.2, (GREEN, RED, ClassKeypoints(2, (), (), ())))
    sound = keypoints_bundle.write_bundle(tmp_path / "sound")
    keypoints_bundle.write_bundle(tmp_path / "listed", postprocess=replace(sound.postprocess, keypoints=spec))
    blue = []
    for name in ("sound", "listed"):
        with Runner(tmp_path / name) as runner:
            blue.append([item for item in runner.detect(picture(), threshold=0.0) if item.name == "blue"])
    assert len(blue[0]) == len(blue[1]) > 0
    for plain, listed in zip(*blue, strict=True):
        assert listed.score == pytest.approx(plain.score / (1 + plain.score)) and listed.keypoints is None


def test_older_bundles_have_no_keypoints(tmp_path: Path) -> None:
    manifest = tiny_bundle.write_bundle(tmp_path)
    assert "keypoints" not in manifest.to_dict()["postprocess"]
    with Runner(tmp_path) as runner:
        assert all(item.keypoints is None for item in runner.detect(picture(), threshold=0.0))


def test_keypoints_in_every_form(bundle: Path, tmp_path: Path) -> None:
    with Detector(bundle) as detector:
        prediction = detector.predict(picture(), threshold=0.0)
        names = detector.names
    points, covariances = prediction.keypoints, prediction.keypoint_covariances
    assert points is not None and covariances is not None
    assert points.shape == (len(prediction), 3, 3) and covariances.shape == (len(prediction), 3, 2, 2)
    for row, item in enumerate(prediction.detections):
        own = item.keypoints or ()
        assert points[row, : len(own)].tolist() == [pytest.approx((p.x, p.y, p.score)) for p in own]
        assert not points[row, len(own) :].any() and np.isnan(covariances[row, len(own) :]).all()
        for column, point in enumerate(own):
            assert point.covariance is not None
            assert covariances[row, column][np.triu_indices(2)].tolist() == pytest.approx(list(point.covariance))
    assert Detections.from_dict(prediction.detections.to_dict()) == prediction.detections
    stream = StringIO()
    writer = CocoWriter(stream, names)
    writer.add(prediction, {})
    writer.close()
    whole = json.loads(stream.getvalue())
    assert whole["categories"] == [
        {"id": 0, "name": "red", "keypoints": ["tip", "left", "right"], "skeleton": [[1, 2], [1, 3]]},
        {"id": 1, "name": "green", "keypoints": ["stem", "leaf"], "skeleton": [[1, 2]]},
        {"id": 2, "name": "blue"},
    ]
    for annotation, item in zip(whole["annotations"], prediction.detections, strict=True):
        own = item.keypoints or ()
        assert ("keypoints" in annotation) == bool(own)
        if own:
            seen = [2 * (point.score >= 0.5) for point in own]
            assert annotation["keypoints"] == [v for p, s in zip(own, seen, strict=True) for v in (p.x, p.y, s)]
            assert annotation["num_keypoints"] == sum(s > 0 for s in seen)
    yolo = YoloWriter(tmp_path / "labels")
    yolo.add(prediction, {})
    lines = next((tmp_path / "labels").iterdir()).read_text().splitlines()
    assert [len(line.split()) for line in lines] == [6 + 3 * len(item.keypoints or ()) for item in prediction.detections]


def test_the_skeleton_is_drawn_where_both_ends_are_found() -> None:
    grey = Image.new("RGB", (320, 320), (128, 128, 128))
    points = tuple(Keypoint(x, y, score, None) for x, y, score in ((60, 200, 0.9), (260, 200, 0.5), (160, 300, 0.4)))
    item = Detection(0, "red", 0.9, (20, 20, 300, 318), None, points)
    drawn = np.asarray(draw_detections(grey, [item], keypoints_bundle.SPEC))
    without = np.asarray(draw_detections(grey, [replace(item, keypoints=None)], keypoints_bundle.SPEC))
    changed = (drawn != without).any(axis=2)
    colour = class_colour(0)
    assert all(tuple(drawn[y, x]) == colour for x, y in ((60, 200), (260, 200), (160, 200)))
    assert not changed[290:310, 150:170].any() and not changed[215:290].any(), "the third is not found, nor is its line"
    pointless = np.asarray(draw_detections(grey, [item]))
    assert tuple(pointless[200, 60]) == colour and tuple(pointless[200, 160]) == (128, 128, 128)
    far = replace(item, keypoints=(Keypoint(-1e9, 1e9, 0.9, None), *points[1:]))
    assert draw_detections(grey, [far], keypoints_bundle.SPEC).size == grey.size


def test_keypoints_for_supervision(bundle: Path) -> None:
    supervision = pytest.importorskip("supervision")
    with Detector(bundle) as detector:
        given = detector.predict(picture(), threshold=0.0).to_supervision_keypoints()
    assert isinstance(given, supervision.KeyPoints)
