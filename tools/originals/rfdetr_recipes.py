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
_XL: dict[str, Any] = {
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
_XXL: dict[str, Any] = {**_XL, "num_windows": 2, "positional_encoding_size": 44, "resolution": 880}

RECIPES: tuple[Wanted, ...] = (
    # --- Before 1.2: no class names in the file, no num_select in the model's settings.
    Wanted(
        "rfdetr-1.0.8-base",
        "1.0.8",
        "RFDETRBase",
        "Trained on a Roboflow set of six classes and their parent; checkpoint_best_regular.pth. The file states num_select "
        "300, but predict selects 100, the default of the model's own arguments.",
        "rfdetr-base",
        class_names=None,
        started_from="rf-detr-base.pth",
    ),
    Wanted(
        "rfdetr-1.1.0-base-coco",
        "1.1.0",
        "RFDETRBase",
        "The form of the published weights: model and args, 91 columns.",
        "rfdetr-base",
        **COCO,
        train={"dataset_file": "coco"},
        form="stripped",
    ),
    # --- 1.2 to 1.5: a Namespace with everything.
    Wanted(
        "rfdetr-1.2.1-nano-coco",
        "1.2.1",
        "RFDETRNano",
        "The form of the published weights: model and args, 91 columns; predict's ids are COCO's.",
        "rfdetr-nano",
        **COCO,
        train={"dataset_file": "coco"},
        form="stripped",
    ),
    Wanted(
        "rfdetr-1.2.1-medium",
        "1.2.1",
        "RFDETRMedium",
        "Trained on a Roboflow data set at the default resolution; checkpoint_best_total.pth.",
        "rfdetr-medium",
        form="stripped",
        started_from="rf-detr-medium.pth",
    ),
    Wanted(
        "rfdetr-1.2.1-nano-288",
        "1.2.1",
        "RFDETRNano",
        "Built with resolution=288, trained, opened with resolution=288; the position grid stays 24.",
        "rfdetr-nano",
        config={"resolution": 288},
        form="stripped",
        reload={"resolution": 288},
        contrast={},
    ),
    Wanted(
        "rfdetr-1.2.1-nano-448",
        "1.2.1",
        "RFDETRNano",
        "Trained with train(resolution=448), opened with resolution=448; the position grid stays 24.",
        "rfdetr-nano",
        train={"resolution": 448},
        form="stripped",
        reload={"resolution": 448},
        contrast={},
    ),
    Wanted(
        "rfdetr-1.3.0-nano-training",
        "1.3.0",
        "RFDETRNano",
        "checkpoint.pth, which has ema_model beside model; rfdetr opens model.",
        "rfdetr-nano",
        form="training",
    ),
    Wanted(
        "rfdetr-1.3.0-small-512-coco",
        "1.3.0",
        "RFDETRSmall",
        "Trained on COCO's own ids at resolution 640.",
        "rfdetr-small",
        columns=91,
        num_classes=90,
        class_names=None,
        train={"dataset_file": "coco"},
        config={"resolution": 640},
        form="regular",
        started_from="rf-detr-small.pth",
        reload={"resolution": 640},
    ),
    Wanted(
        "rfdetr-1.3.0-large-2025",
        "1.3.0",
        "RFDETRLarge",
        "The large of 2025: DINOv2 base and two feature levels, P3 and P5.",
        "rfdetr-large-2025",
        started_from="rf-detr-large.pth",
        form="stripped",
    ),
    Wanted(
        "rfdetr-1.4.1-nano",
        "1.4.1",
        "RFDETRNano",
        "Trained on a Roboflow data set: 7 columns, six names, ids from 1.",
        "rfdetr-nano",
        form="stripped",
    ),
    Wanted(
        "rfdetr-1.4.1-nano-91",
        "1.4.1",
        "RFDETRNano",
        "Trained on a COCO-style set with ids from 1 and train(dataset_file='coco', class_names=…): 91 columns, six names.",
        "rfdetr-nano",
        columns=91,
        num_classes=90,
        train={"dataset_file": "coco", "class_names": list(NAMES)},
        form="stripped",
    ),
    Wanted(
        "rfdetr-1.4.1-nano-8",
        "1.4.1",
        "RFDETRNano",
        "Built with num_classes=7, so that training on a Roboflow data set keeps the head: 8 columns, six names, ids from 1.",
        "rfdetr-nano",
        columns=8,
        config={"num_classes": 7},
        form="stripped",
    ),
    Wanted(
        "rfdetr-1.4.1-nano-coco-dict",
        "1.4.1",
        "RFDETRNano",
        "Trained with dataset_file='coco': args.class_names is COCO's dict of id to name. (rfdetr's property class_names then "
        "gives numbers; the names here are those of the dict.)",
        "rfdetr-nano",
        columns=91,
        num_classes=90,
        class_names="coco",
        train={"dataset_file": "coco"},
        form="stripped",
    ),
    Wanted(
        "rfdetr-1.4.1-nano-queries-100",
        "1.4.1",
        "RFDETRNano",
        "Built with num_queries=100 and opened so; num_select stays 300.",
        "rfdetr-nano",
        config={"num_queries": 100},
        form="stripped",
        reload={"num_queries": 100},
    ),
    Wanted(
        "rfdetr-1.4.1-nano-queries-576",
        "1.4.1",
        "RFDETRNano",
        "Built with num_queries=576 (as many as the nano has tokens) and num_select=500, trained with num_select=500.",
        "rfdetr-nano",
        config={"num_queries": 576, "num_select": 500},
        train={"num_select": 500},
        form="stripped",
        reload={"num_queries": 576, "num_select": 500},
        all_selected=True,
    ),
    Wanted(
        "rfdetr-1.4.1-nano-448-queries-700",
        "1.4.1",
        "RFDETRNano",
        "Built with resolution=448, num_queries=700 and num_select=700, trained with num_select=700.",
        "rfdetr-nano",
        config={"resolution": 448, "num_queries": 700, "num_select": 700},
        train={"num_select": 700},
        form="stripped",
        reload={"resolution": 448, "num_queries": 700, "num_select": 700},
    ),
    Wanted(
        "rfdetr-1.4.1-nano-select-100",
        "1.4.1",
        "RFDETRNano",
        "Built with num_select=100, trained with num_select=100, opened so.",
        "rfdetr-nano",
        config={"num_select": 100},
        train={"num_select": 100},
        form="stripped",
        reload={"num_select": 100},
        contrast={},
        all_selected=True,
    ),
    Wanted(
        "rfdetr-1.4.1-nano-upload",
        "1.4.1",
        "RFDETRNano",
        "What deploy_to_roboflow writes, weights.pt: model and the model's own Namespace, resolution 512.",
        "rfdetr-nano",
        columns=91,
        class_names=None,
        config={"resolution": 512},
        form="upload",
        reload={"resolution": 512},
    ),
    Wanted(
        "rfdetr-1.4.1-large",
        "1.4.1",
        "RFDETRLarge",
        "The large of 2026.",
        "rfdetr-large",
        form="stripped",
        started_from="rf-detr-large-2026.pth",
    ),
    Wanted(
        "rfdetr-1.4.1-xlarge",
        "1.4.1",
        "RFDETRBase",
        "The numbers of RFDETRXLargeConfig given to RFDETRBase, since the class itself needs a licence to be accepted.",
        "rfdetr-xlarge",
        base=_XL,
        form="stripped",
        started_from="rf-detr-xlarge.pth",
    ),
    Wanted(
        "rfdetr-1.4.1-xxlarge",
        "1.4.1",
        "RFDETRBase",
        "The numbers of RFDETR2XLargeConfig given to RFDETRBase, since the class itself needs a licence to be accepted.",
        "rfdetr-xlarge",
        base=_XXL,
        form="stripped",
        started_from="rf-detr-xxlarge.pth",
    ),
    Wanted(
        "rfdetr-1.5.2-nano",
        "1.5.2",
        "RFDETRNano",
        "Trained on a Roboflow data set with a parent category: labels are contiguous and count the parent, names do not: 7 "
        "columns, six names, the first on column 1.",
        "rfdetr-nano",
        form="stripped",
    ),
    Wanted(
        "rfdetr-1.5.2-nano-320",
        "1.5.2",
        "RFDETRNano",
        "Built with resolution=320; the position grid stays 24.",
        "rfdetr-nano",
        config={"resolution": 320},
        form="regular",
        reload={"resolution": 320},
    ),
    # --- 1.6: a dict of the training settings, which states nothing about the architecture.
    Wanted(
        "rfdetr-1.6.4-nano",
        "1.6.4",
        "RFDETRNano",
        "checkpoint_best_total.pth; the names include the parent category and begin on column 0.",
        "rfdetr-nano",
        columns=8,
        class_names=WITH_PARENT,
        form="total",
    ),
    Wanted(
        "rfdetr-1.6.4-nano-512",
        "1.6.4",
        "RFDETRNano",
        "Built with resolution=512: the position grid stays 24, and nothing in the file states the resolution.",
        "rfdetr-nano",
        columns=8,
        class_names=WITH_PARENT,
        config={"resolution": 512},
        form="total",
        reload={"resolution": 512},
        contrast={},
        options=("--resolution", "512"),
    ),
    Wanted(
        "rfdetr-1.6.4-nano-train-320",
        "1.6.4",
        "RFDETRNano",
        "Trained with train(resolution=320): the position grid becomes 20; opened with both.",
        "rfdetr-nano",
        columns=8,
        class_names=WITH_PARENT,
        train={"resolution": 320},
        grid=20,
        form="best",
        reload={"resolution": 320, "positional_encoding_size": 20},
    ),
    Wanted(
        "rfdetr-1.6.4-nano-select-100",
        "1.6.4",
        "RFDETRNano",
        "Built and opened with num_select=100, which predict ignores: it selects 300, the default of the training settings.",
        "rfdetr-nano",
        columns=8,
        class_names=WITH_PARENT,
        config={"num_select": 100},
        form="total",
        reload={"num_select": 100},
        all_selected=True,
    ),
    Wanted(
        "rfdetr-1.6.4-nano-upload",
        "1.6.4",
        "RFDETRNano",
        "What deploy_to_roboflow writes, weights.pt: a SimpleNamespace of all settings, resolution 448.",
        "rfdetr-nano",
        columns=8,
        class_names=WITH_PARENT,
        config={"resolution": 448},
        form="upload",
        reload={"resolution": 448},
    ),
    Wanted(
        "rfdetr-1.6.5-nano-320",
        "1.6.5",
        "RFDETRNano",
        "Built with resolution=320: since 1.6.5 the position grid follows.",
        "rfdetr-nano",
        columns=8,
        class_names=WITH_PARENT,
        config={"resolution": 320},
        form="total",
        reload={"resolution": 320},
    ),
    Wanted(
        "rfdetr-1.6.5-base-672",
        "1.6.5",
        "RFDETRBase",
        "Built with resolution=672: the base's position grid of 37 stays, and nothing in the file states the resolution.",
        "rfdetr-base",
        columns=8,
        class_names=WITH_PARENT,
        config={"resolution": 672},
        form="total",
        started_from="rf-detr-base.pth",
        reload={"resolution": 672},
        options=("--resolution", "672"),
    ),
    # --- 1.7: and the name of the class; 1.8: and the model's settings.
    Wanted(
        "rfdetr-1.7.0-nano-320",
        "1.7.0",
        "RFDETRNano",
        "checkpoint_best_ema.pth with model_name and rfdetr_version; resolution 320, position grid 20.",
        "rfdetr-nano",
        columns=8,
        class_names=WITH_PARENT,
        config={"resolution": 320},
        form="best",
        reload={"resolution": 320},
    ),
    Wanted(
        "rfdetr-1.8.0-nano-320",
        "1.8.0",
        "RFDETRNano",
        "checkpoint_best_regular.pth with model_config, opened by from_checkpoint.",
        "rfdetr-nano",
        columns=8,
        class_names=WITH_PARENT,
        config={"resolution": 320},
        form="best",
        reload="from_checkpoint",
    ),
    Wanted(
        "rfdetr-1.8.0-nano-grid-24",
        "1.8.0",
        "RFDETRNano",
        "Built with resolution=448 and positional_encoding_size=24; model_config states both.",
        "rfdetr-nano",
        columns=8,
        class_names=WITH_PARENT,
        config={"resolution": 448, "positional_encoding_size": 24},
        form="best",
        reload="from_checkpoint",
    ),
    Wanted(
        "rfdetr-1.8.0-nano-grey",
        "1.8.0",
        "RFDETRNano",
        "Built with num_channels=1: the mean and standard deviation of red. The pictures are converted to grey by Pillow.",
        "rfdetr-nano",
        columns=8,
        class_names=WITH_PARENT,
        config={"num_channels": 1},
        form="best",
        reload=None,
    ),
    # --- 1.9: predict resizes without antialias.
    Wanted(
        "rfdetr-1.9.0-nano-288",
        "1.9.0",
        "RFDETRNano",
        "checkpoint_best_total.pth, which has lost model_config; resolution 288, position grid 18.",
        "rfdetr-nano",
        columns=8,
        class_names=WITH_PARENT,
        config={"resolution": 288},
        form="total",
        reload={"resolution": 288},
    ),
    Wanted(
        "rfdetr-1.10.0-nano-queries-100",
        "1.10.0",
        "RFDETRNano",
        "model_config states num_queries 100, num_select 50.",
        "rfdetr-nano",
        columns=8,
        class_names=WITH_PARENT,
        config={"num_queries": 100, "num_select": 50},
        form="best",
        reload="from_checkpoint",
        all_selected=True,
    ),
    Wanted(
        "rfdetr-1.10.0-nano-layers-1",
        "1.10.0",
        "RFDETRNano",
        "Built with dec_layers=1 and group_detr=5.",
        "rfdetr-nano",
        columns=8,
        class_names=WITH_PARENT,
        config={"dec_layers": 1, "group_detr": 5},
        form="best",
        reload="from_checkpoint",
    ),
    Wanted(
        "rfdetr-1.11.0-nano-ckpt",
        "1.11.0",
        "RFDETRNano",
        "Lightning's last.ckpt: state_dict and the averaged weights among the callbacks, no settings at all.",
        "rfdetr-nano",
        class_names=None,
        form="lightning",
    ),
    Wanted(
        "rfdetr-1.11.2-nano",
        "1.11.2",
        "RFDETRNano",
        "Resolution 320, checkpoint_best_total.pth; since 1.11 the parent category has neither a name nor a column.",
        "rfdetr-nano",
        config={"resolution": 320},
        form="total",
        reload="from_checkpoint",
    ),
    Wanted(
        "rfdetr-1.11.2-nano-select-500",
        "1.11.2",
        "RFDETRNano",
        "model_config states num_select 500.",
        "rfdetr-nano",
        config={"num_select": 500},
        form="total",
        reload="from_checkpoint",
        all_selected=True,
    ),
    Wanted(
        "rfdetr-1.11.2-nano-ckpt",
        "1.11.2",
        "RFDETRNano",
        "Lightning's last.ckpt, which has args, model_name and model_config since 1.11.1.",
        "rfdetr-nano",
        config={"resolution": 288},
        form="lightning",
        reload="from_checkpoint",
    ),
    Wanted(
        "rfdetr-1.11.2-nano-compiled-ckpt",
        "1.11.2",
        "RFDETRNano",
        "Lightning's last.ckpt of a model under torch.compile.",
        "rfdetr-nano",
        form="compiled",
        reload="from_checkpoint",
    ),
    Wanted(
        "rfdetr-1.11.2-nano-converted-ckpt",
        "1.11.2",
        "RFDETRNano",
        "A file of 1.3.0 after convert_legacy_checkpoint: hyper_parameters, legacy_ema_state_dict. 1.11.2 names column i "
        "name i, 1.3.0, which trained it, column i + 1.",
        "rfdetr-nano",
        form="converted",
        converted_from="rfdetr-1.3.0-nano-training",
    ),
    Wanted(
        "rfdetr-1.11.2-nano-lora",
        "1.11.2",
        "RFDETRNano",
        "Trained with backbone_lora=True (DoRA of rank 16), not merged; rfdetr merges on opening.",
        "rfdetr-nano-lora",
        config={"backbone_lora": True},
        form="total",
        reload={},
    ),
    Wanted(
        "rfdetr-1.11.2-nano-four-channels",
        "1.11.2",
        "RFDETRNano",
        "Built with num_channels=4: mean and standard deviation of red, green, blue and red. The pictures are RGBA, opaque.",
        "rfdetr-nano",
        config={"num_channels": 4},
        form="total",
        reload=None,
    ),
    Wanted(
        "rfdetr-1.11.2-large",
        "1.11.2",
        "RFDETRLarge",
        "The large of 2026 at resolution 576.",
        "rfdetr-large",
        config={"resolution": 576},
        form="total",
        started_from="rf-detr-large-2026.pth",
        reload="from_checkpoint",
    ),
)
