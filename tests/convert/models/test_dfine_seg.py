"""D-FINE-seg: figures, recognition, and the boxes and masks that its own code gives for its own checkpoint."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from detr2litert.convert.models.checkpoints.identify import matching_variants, read_facts, recognise_family
from detr2litert.convert.models.reference import Reference, load_reference
from detr2litert.convert.models.settings import Size
from detr2litert.convert.models.settings.picture import preprocess_of
from detr2litert.convert.models.variants import VARIANTS
from detr2litert.convert.models.variants.d_fine_seg import D_FINE_SEG
from detr2litert.convert.processing import postprocess_of
from detr2litert.convert.proof.reference_path import ReferencePath
from detr2litert.host_runtime.masks import Mask
from tests.originals.compare import iou, load
from tests.originals.recipe import FOLDER, PICTURES, Recipe, read_recipe

RECIPE = FOLDER / "recipes" / "dfineseg-n-256x320.json"
SCORE, ROUNDED = 2e-3, 0.1
"""By which a score, and before it is rounded a side in pixels of the input, may differ."""
SIZES = [name for name, row in VARIANTS.items() if row.family is D_FINE_SEG]


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return read_recipe(RECIPE)


@pytest.fixture(scope="module")
def reference(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Reference:
    return load(recipe, tmp_path_factory.mktemp("dfine-seg"))


def test_each_size_is_that_of_d_fine_with_a_mask_head() -> None:
    assert [f"dfine-seg-{size}" for size in "nsmlx"] == SIZES
    for name in SIZES:
        row, base = VARIANTS[name], VARIANTS[name.replace("-seg", "")]
        assert dict(row.config) == {**base.config, "mask_dim": 256}
        assert (row.resolution, row.num_select, row.mean, row.std) == (640, 300, (0, 0, 0), (1, 1, 1))
        assert "40fdf64" in row.source and row.hub_id is None


def test_its_checkpoint_is_recognised_and_the_detectors_is_not(recipe: Recipe) -> None:
    tensors = recipe.state_dict()
    assert recognise_family(tensors, "x") is D_FINE_SEG
    assert matching_variants(D_FINE_SEG, read_facts(D_FINE_SEG, tensors), original=True) == ("dfine-seg-n",)
    boxes_alone = {name: tensor for name, tensor in tensors.items() if "decoder.mask_" not in name}
    assert recognise_family(boxes_alone, "x").name == "D-FINE"


@pytest.mark.ci
def test_what_the_file_and_the_project_state(reference: Reference) -> None:
    assert reference.variant.name == "dfine-seg-n"
    assert (reference.size, reference.logit_columns, reference.masks) == (Size(256, 320), 3, True)
    assert str(reference.settings.resize).startswith("bilinear: ")
    spec = preprocess_of(reference.settings)
    assert (spec.resize, spec.fit, spec.mean, spec.std) == ("bilinear", "stretch", (0, 0, 0), (1, 1, 1))


@pytest.mark.ci
@torch.no_grad()
def test_its_own_boxes_and_masks(recipe: Recipe, reference: Reference) -> None:
    """Its boxes are widened to whole pixels of the input; ours, so widened, are the same, and masks cut to its are its own."""
    path = ReferencePath(reference, ["a", "b", "c"])
    masks, filled = 0, 0
    for picture in PICTURES:
        with Image.open(picture) as image:
            size, pixels = image.size, resized_by_opencv(np.asarray(image), 256, 320)
            tensor = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
            # A bundle does not round: the random weights' scores differ by up to 0.01 then.
            assert float((path.tensor(image) - tensor).abs().max()) < 0.76 / 255
        boxes, logits, cells = reference.exported(tensor)
        found = list(path.decode(boxes, logits, size, recipe.threshold - SCORE, cells))
        assert len(recipe.detections[picture.name]) >= 10
        for recorded in recipe.detections[picture.name]:
            own = [item for item in found if item.class_index == recorded.column]
            best = max(own, key=lambda item: iou(recorded.box, item.box) - abs(recorded.score - item.score))
            found.remove(best)
            assert best.score == pytest.approx(recorded.score, abs=SCORE)
            for side, *between in zip(
                recorded.box, *(widened(best.box, size, more) for more in (-ROUNDED, ROUNDED)), strict=True
            ):
                assert min(between) - 1e-3 <= side <= max(between) + 1e-3, (recorded.box, best.box)
            if recorded.mask is not None:
                wanted = Mask(*size, recorded.mask)
                query = int((logits[0, :, recorded.column].sigmoid() - best.score).abs().argmin())
                whole = Mask.of(path.mask_pixels(cells[:, [query]], size).numpy())
                assert whole.within(recorded.box).iou(wanted) >= 0.99
                assert best.mask is not None and best.mask == whole.within(best.box)
                masks += 1
                filled += wanted.iou(Mask.of(np.ones(size[::-1], bool)).within(recorded.box)) > 0.95
        assert all(item.score < recipe.threshold + SCORE for item in found), "none is left over"
    assert masks == 12 and filled <= 5, "masks have edges of their own inside of the boxes"


def resized_by_opencv(pixels: NDArray[np.uint8], height: int, width: int) -> NDArray[np.int64]:
    """Resizes as ``cv2.resize`` with ``INTER_LINEAR``: weights of 11 bits; 4 and 16 bits are cut off before two rows are added.

    Equal to OpenCV 5.0.0 on these pictures, but for 0.2 % of the smallest's values.
    """

    def between(cells: int, places: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        centre = ((np.arange(places) + 0.5) * (cells / places) - 0.5).astype(np.float32).clip(0, cells - 1)
        low = np.floor(centre).astype(np.int64)
        share = centre - low.astype(np.float32)
        weights = (np.rint(part * 2048).astype(np.int64) for part in (1 - share, share))
        return low, np.minimum(low + 1, cells - 1), *weights

    low, high, first, second = between(pixels.shape[1], width)
    rows = pixels[:, low].astype(np.int64) * first[:, None] + pixels[:, high].astype(np.int64) * second[:, None]
    low, high, first, second = between(pixels.shape[0], height)
    upper, lower = ((weight[:, None, None] * (rows[at] >> 4)) >> 16 for weight, at in ((first, low), (second, high)))
    return (upper + lower + 2) >> 2


def widened(box: tuple[float, float, float, float], size: tuple[int, int], more: float) -> tuple[float, float, float, float]:
    """Rounds a box, with each side moved, outwards in the input's pixels, one from its edges (``norm_xywh_to_abs_xyxy``)."""
    x, y = 320 / size[0], 256 / size[1]
    left, top = (max(1, math.floor(value - more)) for value in (box[0] * x, box[1] * y))
    right, bottom = (min(side - 1, math.ceil(value + more)) for value, side in ((box[2] * x, 320), (box[3] * y, 256)))
    return left / x, top / y, right / x, bottom / y


@pytest.mark.ci
def test_the_manifest_says_how_masks_become_pixels(reference: Reference) -> None:
    from detr2litert.convert.models.classes import resolve_classes

    classes = resolve_classes(reference.variant, reference.logit_columns, None)
    masks = postprocess_of(reference, classes).masks
    assert masks is not None and (masks.activation, masks.within_box) == ("sigmoid", True)
    assert not masks.is_plain


@pytest.mark.ci
def test_masks_can_be_left_out(recipe: Recipe, tmp_path: Path) -> None:
    loaded, _ = load_reference(None, str(recipe.write(tmp_path)), {"masks": "off"})
    assert not loaded.masks and loaded.exported is loaded.module
