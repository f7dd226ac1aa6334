"""RF-DETR with keypoints: figures, recognition, the schema in the weights, names and skeletons, and its training."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from detr2litert.convert.demo.corners import COUNTS, in_order
from detr2litert.convert.demo.scenes import CLASSES, render
from detr2litert.convert.models.checkpoints import load_checkpoint
from detr2litert.convert.models.checkpoints.identify import recognise_family
from detr2litert.convert.models.checkpoints.stated_classes import StatedClasses, on_keypoint_slots
from detr2litert.convert.models.classes import resolve_classes
from detr2litert.convert.models.keypoints.detector import RfDetrForKeypointDetection, RfDetrKeypointConfig
from detr2litert.convert.models.keypoints.skeletons import PERSON, Skeleton, skeletons_of, stated_skeleton
from detr2litert.convert.models.reference import build_reference
from detr2litert.convert.models.settings.resolve import parse_requested
from detr2litert.convert.models.variants import VARIANTS
from detr2litert.convert.models.variants.rf_detr_keypoints import RF_DETR_KEYPOINTS
from detr2litert.host_runtime.errors import UserError
from tests.originals.recipe import FOLDER, read_recipe
from tools.demo_training.keypoint_loss import keypoint_losses
from tools.demo_training.pool import Pool

RECIPE = FOLDER / "recipes" / "rfdetr-1.11.2-keypoint-preview-288.json"


def tiny() -> RfDetrForKeypointDetection:
    torch.manual_seed(0)
    return RfDetrForKeypointDetection(RfDetrKeypointConfig(**VARIANTS["tiny-keypoints"].config, num_labels=6)).eval()


def test_published_figures() -> None:
    """rfdetr 1.11.2, rfdetr/config.py, RFDETRKeypointPreviewConfig."""
    row = VARIANTS["keypoint-preview"]
    assert (row.resolution, row.patch, row.windows, row.decoder_layers, row.num_queries) == (576, 12, 2, 4, 100)
    assert (row.num_select, row.position_grid, row.feature_levels, len(row.classes)) == (100, 48, (3, 6, 9, 12), 91)
    assert row.config["keypoints_per_class"] == [0, 17] and row.config["keypoint_score_weight"] == 0.2
    assert len(PERSON.names) == len(PERSON.sigmas) == 17 and len(PERSON.edges) == 19


def test_the_checkpoint_is_recognised_and_its_weights_fix_the_schema(tmp_path: Path) -> None:
    written = read_recipe(RECIPE)
    assert recognise_family(written.state_dict(), "file") is RF_DETR_KEYPOINTS
    checkpoint = load_checkpoint(str(written.write(tmp_path)))
    stated = [item for item in checkpoint.statements if item.setting == "keypoints_per_class"]
    assert [(item.value, item.place) for item in stated] == [((0, 4, 2), "_kp_active_mask")]
    assert checkpoint.variants == ("keypoint-preview",)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("transformer.decoder.layers.0.inter_inst_kp_attn.in_proj_weight", "inter_instance_kp_attn"),
        ("transformer.decoder.layers.0.inst_in_proj.weight", "grouppose_keypoint_dim_downscale"),
    ],
)
def test_what_the_reference_cannot_compute_is_refused_by_name(name: str, reason: str) -> None:
    state: dict[str, Tensor] = {**read_recipe(RECIPE).state_dict(), name: torch.zeros(1)}
    with pytest.raises(UserError, match=reason):
        recognise_family(state, "file")


def test_a_wrong_number_of_keypoints_names_the_setting(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    tiny().save_pretrained(folder)
    requested = parse_requested(("keypoints_per_class=0,4,3,5,4,1",))
    with pytest.raises(UserError, match="keypoints_per_class"):
        build_reference(VARIANTS["tiny-keypoints"], load_checkpoint(str(folder)), requested)


@pytest.mark.parametrize("text", ["0,0", "4,x", "-1,2", "", "2000"])
def test_bad_counts_are_refused(text: str) -> None:
    with pytest.raises(UserError, match="keypoints_per_class must be a list of numbers"):
        parse_requested((f"keypoints_per_class={text}",))


@torch.no_grad()
def test_keypoints_of_other_classes_do_not_matter() -> None:
    """With the keypoints of one class changed, those of the others and all boxes but by their instance stay as they are."""
    model = tiny()
    for layer in model.model.decoder.layers:
        layer.instance_scale.zero_()
    image = torch.randn(1, 3, 160, 160, generator=torch.Generator().manual_seed(1))
    torch.nn.init.normal_(model.keypoint_embed.layers[-1].weight)
    before = model(image)
    model.keypoint_queries.queries[:4] += 1.0
    after = model(image)
    assert (after.pred_keypoints[:, :, :4] - before.pred_keypoints[:, :, :4]).abs().max() > 1e-3
    assert torch.equal(after.pred_keypoints[:, :, 4:], before.pred_keypoints[:, :, 4:])
    assert torch.equal(after.pred_boxes, before.pred_boxes)
    # Squares, column 1, alone get another score.
    changed = (after.logits - before.logits).abs().amax((0, 1)) > 1e-5
    assert changed.tolist() == [column == 1 for column in range(6)]


def test_weights_of_half_precision_are_read_as_float32(tmp_path: Path) -> None:
    model = tiny()
    model.half().save_pretrained(tmp_path / "folder")
    reference = build_reference(VARIANTS["tiny-keypoints"], load_checkpoint(str(tmp_path / "folder")))
    assert {value.dtype for value in reference.module.state_dict().values() if value.is_floating_point()} == {torch.float32}
    assert reference.keypoints_per_class == (0, 4, 3, 5, 4, 2) and reference.keypoint_score_weight == 0.0
    boxes, logits, keypoints = reference.exported(reference.example_input())
    assert (boxes.shape, logits.shape, keypoints.shape) == ((1, 40, 4), (1, 40, 6), (1, 40, 18, 7))


def test_names_in_order_of_precedence() -> None:
    own = Skeleton(("a", "b"), ((0, 1),))
    found = skeletons_of((0, 17, 2, 2), ("x", "person", "bolt", "nut"), {"bolt": own}, {1: PERSON})
    assert found[1] is PERSON and found[2] is own and found[0].names == ()
    assert found[3].names == ("keypoint 1", "keypoint 2") and found[3].sigmas == (0.05, 0.05)
    # Stated for another number of keypoints: not those of this class.
    assert skeletons_of((3,), ("bolt",), {"bolt": own}, {})[0].names[0] == "keypoint 1"


def test_two_classes_with_as_many_keypoints_keep_their_own() -> None:
    """A square's corners are joined around, a cross's ends across."""
    row = VARIANTS["tiny-keypoints"]
    found = skeletons_of(row.config["keypoints_per_class"], row.classes, {}, row.keypoints)
    assert {row.classes[column]: skeleton.edges for column, skeleton in found.items() if len(skeleton.names) == 4} == {
        "square": ((0, 1), (1, 2), (2, 3), (3, 0)),
        "cross": ((0, 2), (1, 3)),
    }
    # A person of a fine-tuned detector, at another column.
    assert skeletons_of((17,), ("worker",), {}, {1: PERSON})[0] is PERSON


def test_an_annotation_file_names_keypoints(tmp_path: Path) -> None:
    file = tmp_path / "annotations.json"
    category = {"id": 1, "name": "bolt", "keypoints": ["head", "tip"], "skeleton": [[1, 2]]}
    file.write_text(json.dumps({"categories": [category, {"id": 2, "name": "nut"}]}))
    classes = resolve_classes(VARIANTS["tiny-keypoints"], 2, None, file)
    assert classes.skeletons == {"bolt": Skeleton(("head", "tip"), ((0, 1),))}
    file.write_text(json.dumps({"categories": [{**category, "skeleton": [[0, 1]]}]}))
    with pytest.raises(UserError, match="category bolt: its skeleton must be pairs of the numbers 1 to 2"):
        resolve_classes(VARIANTS["tiny-keypoints"], 2, None, file)


@pytest.mark.parametrize("change", [{"keypoints": "head"}, {"keypoints": ["head", 3]}, {"keypoints": ["a"], "skeleton": [1]}])
def test_other_forms_of_keypoints_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"its (keypoints|skeleton) must be"):
        stated_skeleton(change)


def test_cocos_names_have_cocos_sigmas() -> None:
    stated = stated_skeleton({"keypoints": [name.replace(" ", "_") for name in PERSON.names]})
    assert stated is not None and stated.sigmas == PERSON.sigmas and stated.names[1] == "left_eye"


def test_names_of_an_older_schema_are_those_of_the_classes_with_keypoints() -> None:
    stated = StatedClasses(({0: "bolt", 1: "nut"},), "name i on column i", listed=True)
    assert on_keypoint_slots(stated, (0, 4, 0, 2)).columns == {1: "bolt", 3: "nut"}
    assert on_keypoint_slots(stated, (4, 2)) is stated
    assert on_keypoint_slots(stated, ()) is stated
    mapped = dataclasses.replace(stated, listed=False)
    assert on_keypoint_slots(mapped, (0, 4)) is mapped


def test_corners_are_on_their_shapes() -> None:
    """The first is the topmost, the others follow clockwise; each is at the edge of its shape's box or on its mask's border."""
    for index in range(20):
        scene = render(index)
        for label, box, mask, points in zip(scene.labels, scene.boxes, scene.masks, scene.keypoints, strict=True):
            name = CLASSES[label]
            assert len(points) == COUNTS[name]
            if not len(points):
                continue
            near = np.argwhere(mask)[:, ::-1] + 0.5
            assert max(np.abs(near - point[:2]).max(1).min() for point in points) <= 4, (index, name)
            assert (points[:, 0] >= box[0] - 1).all() and (points[:, 1] <= box[3] + 1).all()
            if name != "crescent":
                assert points[:, 1].argmin() == 0
                x, y = points[:, 0] - points[:, 0].mean(), points[:, 1] - points[:, 1].mean()
                turns = np.diff(np.unwrap(np.arctan2(y, x)))
                assert (turns > 0).all()


def test_corners_move_with_their_pictures() -> None:
    pool = Pool.rendered(6, 0, processes=1)
    _, targets = pool.draw(np.random.default_rng(0), 16)
    for target in targets:
        for label, box, points in zip(target["class_labels"], target["boxes"], target["keypoints"], strict=True):
            own = points[: COUNTS[CLASSES[label]]]
            assert not points[len(own) :].any()
            if len(own):
                low, high = box[:2] - box[2:] / 2, box[:2] + box[2:] / 2
                assert (own[:, :2] >= low - 0.02).all() and (own[:, :2] <= high + 0.02).all()
                if CLASSES[label] != "crescent":
                    assert int(own[:, 1].argmin()) == 0


def test_a_mirrored_crescent_exchanges_its_tips() -> None:
    points = np.array([[1.0, 2.0], [3.0, 4.0]])
    assert in_order("crescent", points, mirrored=True).tolist() == [[3.0, 4.0], [1.0, 2.0]]
    assert in_order("crescent", points).tolist() == points.tolist()


def test_the_loss_is_least_for_the_right_keypoints() -> None:
    pool = Pool.rendered(2, 0, processes=1)
    _, targets = pool.draw(np.random.default_rng(1), 2)
    counts = [COUNTS[name] for name in CLASSES]
    total = sum(counts)
    found = torch.zeros(2, 8, total, 7)
    found[..., 2:4] = -9.0
    found[..., 4] = found[..., 6] = 3.0
    matches = []
    for image, target in zip(found, targets, strict=True):
        objects = torch.arange(len(target["class_labels"]))
        matches.append((objects, objects))
        for query, label in enumerate(target["class_labels"].tolist()):
            first = sum(counts[:label])
            own = target["keypoints"][query, : counts[label]]
            image[query, first : first + counts[label], :2] = own[:, :2]
            image[query, first : first + counts[label], 2] = torch.where(own[:, 2] > 0, 9.0, -9.0)
            image[query, first : first + counts[label], 3] = torch.where(own[:, 2] == 2, 9.0, -9.0)
    right = keypoint_losses(found, targets, matches, counts)
    assert right["distance"] == 0 and right["findable"] < 1e-3 and right["visible"] < 1e-3
    assert right["likelihood"] == pytest.approx(-6.0, abs=1e-4)
    found[..., 0] += 0.1
    wrong = keypoint_losses(found, targets, matches, counts)
    assert wrong["distance"] > 0.1 and wrong["likelihood"] > right["likelihood"]


def test_safetensors_of_transformers_names_are_recognised(tmp_path: Path) -> None:
    save_file({name: value.contiguous() for name, value in tiny().state_dict().items()}, tmp_path / "w.safetensors")
    assert load_checkpoint(str(tmp_path / "w.safetensors")).variants == ("tiny-keypoints",)
