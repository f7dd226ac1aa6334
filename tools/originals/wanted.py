"""The checkpoints of rfdetr that are recorded: which version, which model, trained and saved how, opened how."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

NAMES = ("bolt", "nut", "washer", "screw", "gear", "spring")
WITH_PARENT = ("hardware", *NAMES)
"""A Roboflow export has a category 0 that is the parent of all others."""


@dataclass(frozen=True)
class Wanted:
    """A recipe to record.

    Attributes:
        name: of the recipe.
        version: of rfdetr.
        model: class of rfdetr.
        made_by: in a sentence.
        architecture: name of the list of tensors that the recipe's tensors are written as differences to.
        columns: of the class logits.
        num_classes: that the arguments of the versions before 1.6 state.
        class_names: that the arguments state.
        base: settings that make the model a different one than its class's, passed whenever it is built.
        config: further settings of the model that was trained.
        train: arguments of its training.
        grid: of the position embeddings, where ``train(resolution=…)`` changed it.
        form: of the file, see ``record_rfdetr._payload``.
        converted_from: recipe whose file is converted.
        started_from: what the arguments state as the weights that training started from.
        reload: settings with which the file is opened; ``"from_checkpoint"``; None: not opened again, the model in memory.
        contrast: other settings with which it is opened too, whose difference is noted.
        options: for the converter, where the file does not say it.
        all_selected: whether all detections are recorded instead of those above a threshold.
        seed: the first that is tried.
    """

    name: str
    version: str
    model: str
    made_by: str
    architecture: str
    columns: int = 7
    num_classes: int = 7
    class_names: Any = NAMES
    base: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    train: dict[str, Any] = field(default_factory=dict)
    grid: int | None = None
    form: str = "regular"
    converted_from: str | None = None
    started_from: str | None = "rf-detr-nano.pth"
    reload: dict[str, Any] | str | None = field(default_factory=dict)
    contrast: dict[str, Any] | None = None
    options: tuple[str, ...] = ()
    all_selected: bool = False
    seed: int = 2

    @property
    def needs_transformers_4(self) -> bool:
        major, minor = map(int, self.version.split(".")[:2])
        return (major, minor) < (1, 6)

    @property
    def needs_hub_config(self) -> bool:
        return self.version in ("1.0.8", "1.1.0")


COCO: dict[str, Any] = {"columns": 91, "num_classes": 90, "class_names": None, "started_from": None}
XL: dict[str, Any] = {
    "encoder": "dinov2_windowed_base",
    "hidden_dim": 512,
    "dec_layers": 5,
    "sa_nheads": 16,
    "ca_nheads": 32,
    "dec_n_points": 4,
    "num_windows": 1,
    "patch_size": 20,
    "projector_scale": ["P4"],
    "out_feature_indexes": [3, 6, 9, 12],
    "positional_encoding_size": 35,
    "resolution": 700,
}
XXL: dict[str, Any] = {**XL, "num_windows": 2, "positional_encoding_size": 44, "resolution": 880}
