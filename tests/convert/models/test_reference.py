"""The reference: equal to rfdetr, seeded, exportable, with clear errors."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import torch

from detr2litert.convert.models.checkpoints import Checkpoint, choose_variant, load_checkpoint
from detr2litert.convert.models.reference import Reference, build_reference
from detr2litert.convert.models.settings import Size
from detr2litert.convert.models.variants import VARIANTS, Variant
from detr2litert.convert.models.variants.rf_detr import rf_detr_row
from detr2litert.host_runtime.errors import UserError
from tests.convert.rfdetr_checkpoints import make_rfdetr_checkpoint, rfdetr_state, to_rfdetr
from tests.convert.rfdetr_reference import Output, Sizes, detect

NAMES = ("bolt", "nut", "washer")
TINY = VARIANTS["tiny"]
# Base's features at a small size: 4 windows, a position grid that is not the input's, levels before the last layer.
LIKE_BASE = rf_detr_row(
    "like-base",
    resolution=168,
    patch=14,
    windows=4,
    decoder_layers=3,
    position_grid=9,
    feature_levels=(2, 3, 5),
    num_queries=50,
    group_detr=2,
    width=64,
    layers=6,
    heads=2,
    d_model=64,
    ffn=96,
    self_heads=4,
    cross_heads=8,
    source="a test",
)


BOXES, LOGITS = 1e-5, 1e-4
"""The largest difference between two correct computations."""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return load_checkpoint(make_rfdetr_checkpoint(TINY, NAMES, tmp_path_factory.mktemp("tiny") / "best.pth"))


@dataclasses.dataclass(frozen=True)
class Difference:
    """Largest absolute differences to the independent computation, and whether it selected the same tokens in order."""

    boxes: float
    logits: float
    same_selection: bool


def compare(reference: Reference, expected: Output, image: torch.Tensor) -> Difference:
    scores: list[torch.Tensor] = []
    head = reference.module.model.model.enc_out_class_embed[0]
    hook = head.register_forward_hook(lambda _module, _inputs, output: scores.append(output.amax(-1)))
    boxes, logits = reference.module(image)
    hook.remove()
    selected = scores[0].topk(reference.num_queries, dim=1).indices
    return Difference(
        boxes=float((boxes - expected.boxes).abs().max()),
        logits=float((logits - expected.logits).abs().max()),
        same_selection=torch.equal(selected, expected.selected),
    )


@pytest.mark.parametrize(
    ("variant", "resolution"),
    [(TINY, 160), (TINY, 240), (LIKE_BASE, 168), (LIKE_BASE, 224)],
    ids=lambda v: getattr(v, "name", v),
)
def test_equal_to_rfdetr(variant: Variant, resolution: int) -> None:
    reference = build_reference(variant, requested={"resolution": Size(resolution, resolution)})
    state = to_rfdetr(reference.module.model.state_dict())
    image = reference.example_input()
    difference = compare(reference, detect(state, image, Sizes.of(variant)), image)
    assert difference.same_selection
    assert difference.boxes <= BOXES
    assert difference.logits <= LOGITS


def test_nano_from_a_file_is_equal_to_rfdetr(tmp_path: Path) -> None:
    variant = VARIANTS["nano"]
    checkpoint = load_checkpoint(make_rfdetr_checkpoint(variant, NAMES, tmp_path / "nano.pth"))
    reference = build_reference(choose_variant(checkpoint), checkpoint)
    image = reference.example_input()
    difference = compare(reference, detect(checkpoint.tensors, image, Sizes.of(variant)), image)
    assert difference.same_selection
    assert difference.boxes <= BOXES
    assert difference.logits <= LOGITS


def test_transformers_default_epsilon_would_be_caught(tiny: Checkpoint) -> None:
    reference = build_reference(TINY, tiny)
    image = reference.example_input()
    assert compare(reference, detect(tiny.tensors, image, Sizes.of(TINY, projector_eps=1e-5)), image).logits > LOGITS


def test_the_loaded_reference(tiny: Checkpoint) -> None:
    reference = build_reference(choose_variant(tiny), tiny)
    boxes, logits = reference.module(reference.example_input())
    assert boxes.shape == (1, 40, 4)
    assert logits.shape == (1, 40, 4)
    assert (reference.sha256, reference.random, reference.size) == (tiny.sha256, False, (160, 160))
    assert not any(parameter.requires_grad for parameter in reference.module.parameters())
    assert reference.module.model.config.layer_norm_eps == 1e-6


def test_half_precision_weights_become_float32(tiny: Checkpoint) -> None:
    halves = dataclasses.replace(tiny, tensors={name: tensor.half() for name, tensor in tiny.tensors.items()})
    reference = build_reference(TINY, halves)
    assert {parameter.dtype for parameter in reference.module.parameters()} == {torch.float32}


def test_groups_and_queries_follow_the_checkpoint(tmp_path: Path) -> None:
    config = {**TINY.config, "group_detr": 2, "num_queries": 30}
    state = rfdetr_state(dataclasses.replace(TINY, config=config, num_queries=30))
    torch.save(state, tmp_path / "x.pth")
    reference = build_reference(TINY, load_checkpoint(tmp_path / "x.pth"))
    assert reference.num_queries == 30


def test_a_checkpoint_fine_tuned_at_another_resolution(tmp_path: Path) -> None:
    at_200 = dataclasses.replace(
        TINY, config={**TINY.config, "backbone_config": {**TINY.config["backbone_config"], "image_size": 200}}
    )
    state = rfdetr_state(at_200)
    torch.save(state, tmp_path / "x.pth")
    checkpoint = load_checkpoint(tmp_path / "x.pth")
    assert checkpoint.facts["position grid"] == 20
    reference = build_reference(choose_variant(checkpoint), checkpoint)
    assert reference.size == (200, 200)
    image = reference.example_input()
    difference = compare(reference, detect(state, image, Sizes.of(TINY)), image)
    assert difference.same_selection
    assert max(difference.boxes, difference.logits) <= 1e-4
    assert build_reference(TINY, checkpoint, {"resolution": Size(160, 160)}).size == (160, 160)


def test_random_weights_are_seeded_and_exercise_everything() -> None:
    first, again, other = build_reference(TINY, seed=1), build_reference(TINY, seed=1), build_reference(TINY, seed=2)
    assert first.sha256 == again.sha256 != other.sha256
    assert first.random
    image = first.example_input()
    boxes, logits = first.module(image)
    assert float(boxes[..., 2:].std()) > 0.005
    assert logits.argmax(-1).unique().numel() >= 3
    attention = first.module.model.model.decoder.layers[0].cross_attn
    hidden = torch.randn(1, 8, 96)
    assert float(attention.attention_weights(hidden).std()) > 0.5
    assert float(attention.sampling_offsets(hidden).reshape(8, -1).std(0).mean()) > 0.5
    # Only the seed matters, not earlier random numbers.
    torch.manual_seed(123)
    assert build_reference(TINY, seed=1).sha256 == first.sha256


def test_it_exports_with_fused_attention() -> None:
    reference = build_reference(TINY)
    image = reference.example_input()
    program = torch.export.export(reference.module, (image,))
    targets = {str(node.target) for node in program.graph.nodes}
    assert "aten.scaled_dot_product_attention.default" in targets
    for mine, exported in zip(reference.module(image), program.module()(image), strict=True):
        assert torch.allclose(mine, exported, atol=1e-6)


def test_a_folder_keeps_its_own_configuration_unless_it_is_published_weights(tmp_path: Path) -> None:
    model = build_reference(TINY).module.model
    model.save_pretrained(tmp_path / "published")
    stated = json.loads((tmp_path / "published/config.json").read_text())
    stated["layer_norm_eps"] = 1e-5
    (tmp_path / "published/config.json").write_text(json.dumps(stated))
    # Six columns are the published six classes: weights converted from the original project, which fixes 1e-6.
    published = build_reference(TINY, load_checkpoint(tmp_path / "published"))
    assert published.module.model.config.layer_norm_eps == 1e-6

    own = build_reference(dataclasses.replace(TINY, classes=NAMES)).module.model
    own.save_pretrained(tmp_path / "own")
    shutil.copy(tmp_path / "published/config.json", tmp_path / "own/config.json")
    trained_here = build_reference(TINY, load_checkpoint(tmp_path / "own"))
    assert trained_here.module.model.config.layer_norm_eps == 1e-5
    assert trained_here.logit_columns == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"d_model": 64}, "do not fit tiny"),
        ({"decoder_layers": "many"}, "decoder_layers is 'many', but decoder_layers must be a whole number"),
        ({"activation_function": "no such"}, "do not fit tiny"),
    ],
)
def test_a_folder_that_contradicts_its_weights(changes: dict[str, object], message: str, tmp_path: Path) -> None:
    build_reference(TINY).module.model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, **changes}))
    with pytest.raises(UserError, match=message) as caught:
        build_reference(TINY, load_checkpoint(tmp_path))
    assert "\n" not in str(caught.value)


def test_missing_and_unexpected_tensors(tiny: Checkpoint) -> None:
    fewer = {name: tensor for name, tensor in tiny.tensors.items() if name != "bbox_embed.layers.1.bias"}
    with pytest.raises(UserError, match=r"1 tensors are missing, the first is .*bbox_embed\.layers\.1\.bias"):
        build_reference(TINY, dataclasses.replace(tiny, tensors=fewer))
    more = {**tiny.tensors, "transformer.extra.weight": torch.zeros(1)}
    with pytest.raises(UserError, match="unexpected"):
        build_reference(TINY, dataclasses.replace(tiny, tensors=more))
    wrong = {**tiny.tensors, "bbox_embed.layers.1.bias": torch.zeros(5)}
    with pytest.raises(UserError, match=r"bbox_embed\.layers\.1\.bias is \[5\], but this detector has \[96\]; "):
        build_reference(TINY, dataclasses.replace(tiny, tensors=wrong))


def test_resolutions_that_do_not_fit() -> None:
    with pytest.raises(UserError, match="160 and 180"):
        build_reference(TINY, requested={"resolution": Size(170, 170)})
    with pytest.raises(UserError, match="4 tokens, too few for 40 queries; the least square resolution is 80"):
        build_reference(TINY, requested={"resolution": Size(20, 20)})


def test_nothing_is_printed(tiny: Checkpoint, capfd: pytest.CaptureFixture[str]) -> None:
    build_reference(TINY, tiny)
    build_reference(TINY)
    assert capfd.readouterr() == ("", "")
