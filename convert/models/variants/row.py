"""The rows of the table of detectors, and their families.

A row is data. Everything that differs between detectors (the transformers model, its configuration, input size, normalisation,
classes, post-processing, how its checkpoints are recognised) is in the row or in its family, so that a new detector is a new
row and no new code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from detr2litert.convert.models.keypoints.skeletons import Skeleton
from detr2litert.convert.models.settings.fields import FieldPath, read_field
from detr2litert.convert.models.settings.setting import Size, Sourced
from detr2litert.host_runtime.manifest import MaskActivation, Resize

ClassNames = tuple[str | None, ...]
"""One entry per logit column; None for a column that no class uses."""

Renaming = tuple[tuple[str, str], ...]
"""Regular expressions and their replacements (``re.sub``), applied in order."""


def resizes_images(where: str) -> Mapping[str, Sourced[Any]]:
    """Returns ``Variant.original_settings`` of a project that resizes PIL images with torchvision, as ``where`` shows."""
    return {"resize": Sourced("bilinear_8bit", f"the original project resizes images, not tensors: {where}")}


@dataclass(frozen=True)
class Fact:
    """How one architectural number is read from a checkpoint's tensors.

    Attributes:
        pattern: regular expression over tensor names (``search``), in the original project's and transformers' naming.
        how: ``"size"`` is the tensor's extent along ``axis``; ``"count"`` is the number of distinct first groups of the
            pattern; ``"grid"`` is the side of a square of tokens, ``sqrt(extent - 1)``, one token being the class token.
        axis: which dimension, for ``"size"`` and ``"grid"``.
    """

    pattern: str
    how: Literal["size", "count", "grid"] = "size"
    axis: int = 0


@dataclass(frozen=True)
class Family:
    """The properties shared by the variants of one architecture.

    Attributes:
        name: for messages.
        model_type: ``model_type`` of transformers' config.json.
        module: where the two classes are: ``transformers``, or a module of ours for a detector that it does not have.
        config_class: name of the configuration class.
        model_class: name of the model class; its output has the attributes ``boxes_output`` (``[1, Q, 4]``, cx cy w h in
            [0, 1]) and ``logits_output`` (``[1, Q, C]``), and, of a detector of instances, ``masks_output`` (``[1, Q, h, w]``,
            logits), of one of keypoints ``keypoints_output`` (``[1, Q, K, 7]``, see ``convert.models.keypoints.detector``).
        signature: patterns that must each match a tensor's name for a checkpoint to be of this family.
        facts: architectural numbers that can be read from the tensors. ``logits`` is required: the number of columns.
        other_models: pattern over tensor names → what such a checkpoint is and what to do; these are refused.
        ignored_tensors: patterns of tensors that a checkpoint may hold and the detector does not need.
        renaming: original tensor names → transformers', where transformers does not know the original names itself.
        splits: pattern of a fused tensor (after ``renaming``) → the names of its equal parts along the first axis.
        adjustments: names of the changes of ``convert.models.originals`` with which transformers' model computes what the
            original project's does; for checkpoints in the original project's naming.
        fixed_config: configuration values that the original project fixes and that configurations converted from it may leave
            at transformers' default.
        config_from_facts: fact → field of the configuration that takes its value from the checkpoint.
        grid_field: path of the configuration field that holds position grid × patch, or ().
        fields: setting (``convert.models.settings``) → path of the configuration field that holds it; a number is an index.
        config_states: setting → path, as ``fields``, for what transformers' post-processing takes from the configuration
            although the model does not compute with it.
        defaults: setting → value where a variant's configuration leaves the field at transformers' default.
        copies: path of a configuration field → path of another that always holds the same value.
        arguments: name of a training argument in a checkpoint → the setting that it states.
        counted_from_zero: those of ``arguments`` that count from 0 what the setting counts from 1.
        required_arguments: name of a training argument → the values with which the reference computes what was trained.
        antialiased_before: version of the original project before which its prediction resized with antialiasing, if any.
        selected_before: an argument that only newer versions of the original project write, and the number of detections that
            the prediction of older ones selects, whatever the file states.
        query_rows: pattern of tensors with a row for each query, of which an evaluation uses the first ``num_queries``.
        masks_activation, masks_within_box: how masks become the picture's pixels, see ``host_runtime.manifest.Masks``.
        init_std: how seeded random weights are drawn (see ``convert.models.random_weights``): pattern over parameter names →
            standard deviation of that layer's output when its input has unit variance.
        init_noise: pattern over parameter names → standard deviation of the noise added to random weights, for scales and
            biases that start at one and zero.
    """

    name: str
    model_type: str
    config_class: str
    model_class: str
    signature: tuple[str, ...]
    facts: Mapping[str, Fact]
    other_models: Mapping[str, str] = field(default_factory=dict)
    ignored_tensors: tuple[str, ...] = ()
    renaming: Renaming = ()
    splits: tuple[tuple[str, tuple[str, ...]], ...] = ()
    adjustments: tuple[str, ...] = ()
    fixed_config: Mapping[str, Any] = field(default_factory=dict)
    config_from_facts: Mapping[str, str] = field(default_factory=dict)
    grid_field: tuple[str, ...] = ()
    fields: Mapping[str, FieldPath] = field(default_factory=dict)
    config_states: Mapping[str, FieldPath] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    copies: Mapping[FieldPath, FieldPath] = field(default_factory=dict)
    arguments: Mapping[str, str] = field(default_factory=dict)
    counted_from_zero: tuple[str, ...] = ()
    required_arguments: Mapping[str, tuple[object, ...]] = field(default_factory=dict)
    antialiased_before: tuple[int, int] | None = None
    selected_before: tuple[str, int] | None = None
    query_rows: str | None = None
    init_std: Mapping[str, float] = field(default_factory=dict)
    init_noise: Mapping[str, float] = field(default_factory=dict)
    boxes_output: str = "pred_boxes"
    logits_output: str = "logits"
    masks_output: str | None = None
    masks_activation: MaskActivation = "none"
    masks_within_box: bool = False
    keypoints_output: str | None = None
    module: str = "transformers"


@dataclass(frozen=True)
class Variant:
    """One detector.

    Attributes:
        name: for ``--variant``.
        family: architecture.
        resolution: side of the square input in pixels.
        resolution_step: every valid resolution is a multiple of it (patch × windows, or the coarsest stride).
        num_queries: number of boxes in the detector's output.
        num_select: number of detections that the official post-processing selects before any threshold.
        classes: class names of the published weights.
        config: keyword arguments of the transformers configuration class.
        expected: the facts (see ``Family.facts``) that distinguish this variant's checkpoints from others of the family.
        source: where the figures were checked.
        hub_id: published weights on the Hugging Face hub.
        bundled: folder of weights that ships with the package, relative to it.
        strides: of the feature maps whose cells are the tokens of the query selection, for families that need at least as many
            tokens as queries.
        patch, windows, decoder_layers, position_grid, feature_levels: backbone and decoder figures, for listings and inference;
            None or empty where they do not apply. ``feature_levels`` are the backbone stages whose output is read.
        mean, std: per-channel normalisation of RGB scaled to [0, 1].
        resize: interpolation of the resize, as host_runtime names it.
        adjustments: further ones beside the family's.
        renaming: rules for original names before the family's.
        original_settings: setting → its value, and where the original project has it, for checkpoints in its naming.
        original_config: path of a configuration field → its value for checkpoints in the original project's naming.
        only_original: there are no transformers folders of it, so that config.json never means this row, and its random
            weights are those of the adjusted model.
        class_name: of the original project, where its checkpoints state it (``model_name``, rfdetr since 1.7).
        keypoints: what the keypoints of the published weights are, for each column whose class has any.
    """

    name: str
    family: Family
    resolution: int
    resolution_step: int
    num_queries: int
    num_select: int
    classes: ClassNames
    config: Mapping[str, Any]
    expected: Mapping[str, int]
    source: str
    hub_id: str | None = None
    bundled: str | None = None
    strides: tuple[int, ...] = ()
    patch: int | None = None
    windows: int | None = None
    decoder_layers: int | None = None
    position_grid: int | None = None
    feature_levels: tuple[int, ...] = ()
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    resize: Resize = "bilinear_antialias"
    adjustments: tuple[str, ...] = ()
    renaming: Renaming = ()
    original_settings: Mapping[str, Sourced[Any]] = field(default_factory=dict)
    original_config: Mapping[FieldPath, Any] = field(default_factory=dict)
    only_original: bool = False
    class_name: str | None = None
    keypoints: Mapping[int, Skeleton] = field(default_factory=dict)

    def default_settings(self) -> dict[str, Any]:
        """Returns the default of every setting that the detector has, by name (``convert.models.settings``)."""
        stated = {name: read_field(self.config, path) for name, path in self.family.fields.items()}
        return {
            "resolution": Size(self.resolution, self.resolution),
            "resize": self.resize,
            "fit": "stretch",
            # The padding of ultralytics' LetterBox (ultralytics/data/augment.py, v8.3: padding_value=114).
            "fill": (114.0,),
            "scale": 1 / 255,
            "mean": self.mean,
            "std": self.std,
            "num_queries": self.num_queries,
            "num_select": self.num_select,
            **{name: self.family.defaults.get(name) if value is None else value for name, value in stated.items()},
            **({"masks": "on"} if self.family.masks_output else {}),
        }

    @property
    def default_weights(self) -> str | None:
        """Default of ``--weights``: the bundled folder, else the hub id."""
        if self.bundled is not None:
            return str(Path(__file__).parents[2] / self.bundled)
        return self.hub_id
