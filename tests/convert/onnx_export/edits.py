"""Plants a fault in an exported file: each edit is a function that changes the model in place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

Edit = Callable[[Any], None]
TOKENS = 256
"""Of tiny: 16 × 16 cells."""


def edited(source: Path, destination: Path, edit: Edit) -> Path:
    """Writes a changed copy of a file."""
    model = onnx.load(str(source))
    edit(model)
    onnx.save(model, str(destination))
    return destination


def _constant(model: Any, value: Any, name: str) -> str:
    model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    return name


def _after(model: Any, output: str, operator: str, operand: str, **attributes: Any) -> None:
    """Puts an operator with a second operand between an output of the model and what computes it."""
    for node in model.graph.node:
        for place, name in enumerate(node.output):
            if name == output:
                node.output[place] = f"{output}_before"
    model.graph.node.append(helper.make_node(operator, [f"{output}_before", operand], [output], **attributes))


def transpose_boxes(model: Any) -> None:
    """Gives cy, cx, h, w."""
    _after(model, "dets", "Gather", _constant(model, np.array([1, 0, 3, 2]), "planted"), axis=2)


def scale_boxes(model: Any) -> None:
    """Makes every box 1 % larger and moves it."""
    _after(model, "dets", "Mul", _constant(model, np.float32(1.01), "planted"))


def shift_classes(model: Any) -> None:
    """Gives each column the logits of the one before."""
    columns = model.graph.output[1].type.tensor_type.shape.dim[2].dim_value
    _after(model, "labels", "Gather", _constant(model, np.roll(np.arange(columns), 1), "planted"), axis=2)


def repeat_first_picture(model: Any) -> None:
    """Gives every picture of a batch the classes of the first, as a batch of 1 in the code would; right at batch 1."""
    start, end, axis = (_constant(model, np.array([value]), f"planted_{value}") for value in (0, 1, -3))
    model.graph.node.append(helper.make_node("Slice", ["labels_before", start, end, axis], ["labels_first"]))
    model.graph.node.append(helper.make_node("Shape", ["labels_before"], ["labels_shape"]))
    _rename(model, "labels", "labels_before")
    model.graph.node.append(helper.make_node("Expand", ["labels_first", "labels_shape"], ["labels"]))


def _rename(model: Any, output: str, to: str) -> None:
    for node in model.graph.node:
        if output in node.output:
            node.output[list(node.output).index(output)] = to


def prefer_higher_index(model: Any) -> None:
    """Of equal scores selects the higher index: ranks them from the last to the first."""
    top = next(node for node in model.graph.node if node.op_type == "TopK")
    place = list(model.graph.node).index(top)
    last = _constant(model, np.array(TOKENS - 1), "planted_last")
    backwards = _constant(model, np.arange(TOKENS)[::-1].copy(), "planted_backwards")
    model.graph.node.insert(place, helper.make_node("Gather", [top.input[0], backwards], ["planted_scores"], axis=1))
    selected, top.output[1] = top.output[1], "planted_order"
    top.input[0] = "planted_scores"
    model.graph.node.insert(place + 2, helper.make_node("Sub", [last, "planted_order"], [selected]))


def select_lowest(model: Any) -> None:
    """Selects the tokens with the lowest scores."""
    top = next(node for node in model.graph.node if node.op_type == "TopK")
    next(attribute for attribute in top.attribute if attribute.name == "largest").i = 0


def align_corners(model: Any) -> None:
    """Samples with aligned corners."""
    for node in model.graph.node:
        if node.op_type == "GridSample":
            next(attribute for attribute in node.attribute if attribute.name == "align_corners").i = 1


def blend_pictures(model: Any) -> None:
    """Adds a hundredth of the batch's mean to each picture."""
    for node in model.graph.node:
        for place, name in enumerate(node.input):
            if name == "input":
                node.input[place] = "planted_input"
    part = _constant(model, np.float32(0.01), "planted")
    axes = _constant(model, np.array([0]), "planted_axes")
    model.graph.node.insert(0, helper.make_node("ReduceMean", ["input", axes], ["planted_mean"], keepdims=1))
    model.graph.node.insert(1, helper.make_node("Mul", ["planted_mean", part], ["planted_part"]))
    model.graph.node.insert(2, helper.make_node("Add", ["input", "planted_part"], ["planted_input"]))


def use_own_domain(model: Any) -> None:
    """Calls an operator by the name of a domain of its own."""
    node = next(node for node in model.graph.node if node.op_type == "GridSample")
    node.domain = "planted"
    model.opset_import.append(helper.make_opsetid("planted", 1))


def fix_batch(model: Any) -> None:
    """Declares a batch of 2."""
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 2


def rename_output(model: Any) -> None:
    """Calls the boxes by another name."""
    _rename(model, "dets", "boxes")
    model.graph.output[0].name = "boxes"


def change_hash(model: Any) -> None:
    """States other weights."""
    next(entry for entry in model.metadata_props if entry.key == "weights_sha256").value = "0" * 64


def remove_sampling(model: Any) -> None:
    """Replaces GridSample by what an exporter without it might write: anything but GridSample."""
    for node in model.graph.node:
        if node.op_type == "GridSample":
            node.op_type = "Mul"
            del node.attribute[:]


def remove_selection(model: Any) -> None:
    """Selects the first tokens, whatever their scores are."""
    top = next(node for node in model.graph.node if node.op_type == "TopK")
    counts = _constant(model, np.arange(40)[None], "planted_first")
    shape = _constant(model, np.array([0, 40]), "planted_shape")
    place = list(model.graph.node).index(top)
    model.graph.node.insert(place, helper.make_node("Reshape", [counts, shape], [top.output[1]]))
    model.graph.node.remove(top)


def break_shapes(model: Any) -> None:
    """Divides the boxes by three numbers, for which there is no broadcast."""
    _after(model, "dets", "Div", _constant(model, np.ones(3, np.float32), "planted"))


def rely_on_a_batch_of_1(model: Any) -> None:
    """Gives the boxes the shape that they have in a batch of 1: right at batch 1, an error at any other."""
    _after(model, "dets", "Reshape", _constant(model, np.array([1, 40, 4]), "planted"))
