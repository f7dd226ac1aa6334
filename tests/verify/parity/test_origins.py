"""The origins of tensors and operators, by names as the converter writes them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from detr2litert.host_runtime.tflite.graph import Graph, read_graph
from detr2litert.host_runtime.tflite.writer import ModelWriter
from detr2litert.verify.parity.origins import GraphOrigins, TensorOrigin, describe_origin, parse_origins
from tests.verify.parity.numerics_models import tensor_named, write_net

ATTENTION = "model.decoder.layers.0.cross_attn"


@pytest.mark.parametrize(
    ("name", "origins"),
    [
        (f"{ATTENTION}|fold_sampling+reduce_rank|_mul_27;3", [(ATTENTION, ("fold_sampling", "reduce_rank"), "mul_27")]),
        ("model||_conv2d;", [("model", (), "conv2d")]),
        ("|lower_max|__unsafe_view;12", [("", ("lower_max",), "_unsafe_view")]),
        # Fused operators: their locations are joined, each with its own counter.
        ("a||_linear;;b|p|_relu;4", [("a", (), "linear"), ("b", ("p",), "relu")]),
        ("a||_linear;1;a||_linear;2", [("a", (), "linear")]),
        # litert-torch's own names, as from another conversion.
        (
            "explore.W/transformers.models.rf_detr.modeling_rf_detr.RfDetrModel_model/torch.nn.modules.linear.Linear_fc_1;2",
            [("model.fc_1", (), None)],
        ),
        ("Net;3", [("", (), None)]),
        # Other names have no origin.
        ("serving_default_boxes_output", []),
        ("StatefulPartitionedCall:0", []),
        ("arith.constant12", []),
        ("", []),
    ],
)
def test_parse_origins(name: str, origins: list[tuple[str, tuple[str, ...], str | None]]) -> None:
    assert parse_origins(name) == tuple(TensorOrigin(*origin) for origin in origins)


def test_describing_an_origin() -> None:
    assert str(TensorOrigin("", (), "add")) == "module (root), node add, no rewrite"
    assert str(TensorOrigin("a.b", ("p", "q"), "add")) == "module a.b, node add, made by p + q"
    assert str(TensorOrigin("a.b")) == "module a.b"


def test_output_is_described_by_its_inputs(tmp_path: Path) -> None:
    path = write_net(tmp_path / "m.tflite")
    graph = read_graph(path)
    assert (
        describe_origin(graph, tensor_named(path, "boxes"))
        == "next after module net, node add, no rewrite, fused with t of net"
    )
    assert "node mul" in describe_origin(graph, tensor_named(path, "memory"))


MEAN = "lower_layer_norm+reduce_rank+lift_tokens"
NAMES = (
    # Names of tiny's and dfine-tiny's files, their modules shortened: the norms and the attention of two layers.
    ("NEG", f"layer.0.norm1|{MEAN}|_mean_dim_48;"),
    ("NEG", f"layer.0.norm1|{MEAN}|_mean_dim_49;;layer.0.norm1|{MEAN}|_mean_dim_48;"),
    ("ADD", f"layer.0.norm1|{MEAN}|_add_49;;layer.0.norm1|{MEAN}|_mean_dim_49;;layer.0.norm1|{MEAN}|_mean_dim_48;"),
    ("NEG", "layer.0.attention|lower_attention|_softmax_int;"),
    ("NEG", f"layer.1.norm2|{MEAN}|_mean_dim_51;;layer.0.norm1|{MEAN}|_mean_dim_48;"),
    (
        "ADD",
        f"layer.1.norm2|{MEAN}|_add_51;;layer.0.norm1|{MEAN}|_add_49;;layer.1.norm2|{MEAN}|_mean_dim_51;;"
        f"layer.0.norm1|{MEAN}|_mean_dim_48;",
    ),
    # The same once more, in another shape.
    (
        "NEG",
        f"layer.1.norm2|{MEAN}|_add_51;;layer.0.norm1|{MEAN}|_add_49;;layer.1.norm2|{MEAN}|_mean_dim_51;;"
        f"layer.0.norm1|{MEAN}|_mean_dim_48;1",
    ),
    ("NEG", "layer.1.attention|lower_attention|_softmax_int_1;;layer.0.attention|lower_attention|_softmax_int;"),
    # A linear layer with its activation, of a module around it, and with a number that was folded into its weights.
    ("FULLY_CONNECTED", "bbox_embed.layers.0|lift_tokens|_linear_35;;bbox_embed|lift_tokens|_relu_11;"),
    (
        "FULLY_CONNECTED",
        "bbox_embed.layers.1|lift_tokens|_linear_36;;bbox_embed|lift_tokens|_relu_12;;bbox_embed|lift_tokens|_relu_11;",
    ),
    ("FULLY_CONNECTED", "bbox_embed.layers.2|lift_tokens|_linear_37;;|lift_tokens|_mul_42;"),
    # Convolutions with their activation; the padding of the second is an operator of its own.
    ("CONV_2D", "stem1.activation|reduce_rank|_relu;;stem1.normalization|fold_batch_norm|_conv2d;1"),
    ("PAD", "stem3.normalization|fold_batch_norm|_conv2d_3;1"),
    (
        "CONV_2D",
        "stem3.activation|reduce_rank|_relu_3;;stem1.activation|reduce_rank|_relu;;stem3.normalization|fold_batch_norm|_conv2d_3;1",
    ),
)
WORK = (
    *("layer.0.norm1|mean_dim_48", "layer.0.norm1|mean_dim_49", "layer.0.norm1|add_49", "layer.0.attention|softmax_int"),
    *("layer.1.norm2|mean_dim_51", "layer.1.norm2|add_51", "layer.1.norm2|add_51", "layer.1.attention|softmax_int_1"),
    *("bbox_embed.layers.0|linear_35", "bbox_embed.layers.1|linear_36", "bbox_embed.layers.2|linear_37"),
    *("stem1.normalization|conv2d", "stem3.normalization|conv2d_3", "stem3.normalization|conv2d_3"),
)


def chain(path: Path, named: Sequence[tuple[str, str]]) -> Graph:
    """Operators one after another; each product has weights in fp16, which are named after it and come before it."""
    w = ModelWriter()
    last = w.input("x", (1, 2, 2, 3))
    for place, (kind, name) in enumerate(named):
        others = [w.constant(f"half{place}", np.ones((3, 1, 1, 3), np.float16))]
        if kind in ("CONV_2D", "FULLY_CONNECTED"):
            others = [w.op("DEQUANTIZE", others, {f"{name}_dequant": (3, 1, 1, 3)})]
        last = w.op(kind, [last] if kind == "NEG" else [last, *others], {name: (1, 2, 2, 3)})
    return read_graph(w.write(path, [last]))


def test_an_operator_is_of_the_node_whose_work_it_does(tmp_path: Path) -> None:
    graph = chain(tmp_path / "m.tflite", NAMES)
    origins = GraphOrigins.of(graph)
    done = [origins.operators[op.index] for op in graph.ops if op.name != "DEQUANTIZE"]
    assert [f"{origin.module}|{origin.node}" for origin in done] == list(WORK)


def test_a_value_is_of_the_nodes_that_were_fused_and_of_no_earlier_one(tmp_path: Path) -> None:
    graph = chain(tmp_path / "m.tflite", NAMES)
    origins = GraphOrigins.of(graph)

    def nodes(place: int) -> list[str | None]:
        return [origin.node for origin in origins.values[next(t.index for t in graph.tensors if t.name == NAMES[place][1])]]

    assert nodes(7) == ["softmax_int_1"]
    assert nodes(9) == ["linear_36", "relu_12"]
    assert nodes(11) == ["relu", "conv2d"] and nodes(13) == ["relu_3"]


def test_a_place_names_the_layer_and_what_was_fused(tmp_path: Path) -> None:
    graph = chain(tmp_path / "m.tflite", NAMES)
    tensors = {tensor.name: tensor.index for tensor in graph.tensors}
    softmax, linear = (describe_origin(graph, tensors[NAMES[place][1]]) for place in (7, 8))
    assert softmax == "module layer.1.attention, node softmax_int_1, made by lower_attention"
    assert linear == "module bbox_embed.layers.0, node linear_35, made by lift_tokens, fused with relu_11 of bbox_embed"
