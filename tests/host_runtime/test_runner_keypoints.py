"""A bundle with keypoints: each detection has its own query's, and what does not fit together is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import keypoints_bundle
import numpy as np
import pytest
import tiny_bundle
from PIL import Image

from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.manifest import KEYPOINTS_VERSION, ClassKeypoints, Graphs, Keypoints, Manifest, Masks, TensorSpec
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
