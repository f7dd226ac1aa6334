"""Cuts the masks off a detector of instances, so that only those of kept queries are computed.

A mask is the product of a query's embedding with the embedding of every cell. For 300 queries at 96 × 96 cells that is 11 MB,
of which a picture needs a few masks, and which ones is known after the detections. So the two embeddings become outputs, which
stay on the GPU, and a small graph multiplies those of the queries that it is told.

Given, the end of a graph::

    %m = aten.matmul(%q, aten.reshape(%p, [1, 64, 324]))    # q [1, 100, 64], p [1, 64, 18, 18]
    %y = aten.add(aten.reshape(%m, [1, 100, 18, 18]), %b)   # the output; b one number

Result: the outputs ``%q`` and ``aten.permute(%p, [0, 2, 3, 1])`` in place of ``%y``, and a graph ``(q, p, kept)``::

    %k = aten.permute(aten.reshape(gather_rows(aten.reshape(%q, [100, 64]), %kept), [1, 32, 64]), [0, 2, 1])
    %y = aten.add(aten.matmul(aten.reshape(%p, [1, 324, 64]), %k), %b)      # [1, 324, 32]
    %z = aten.reshape(%y, [1, 18, 18, 32])

The product has cells as rows and queries as columns, because the delegate lays a tensor's last dimension out in slices of four
beside each other, up to 8192 of them: 192 × 192 cells would not fit.
"""

from __future__ import annotations

import torch
from torch import fx

from detr2litert.graphs.native_ops import GATHER_ROWS
from detr2litert.graphs.toolbox import (
    Emitter,
    RewriteRefusedError,
    aten,
    constant_of,
    graph_module_of,
    list_of,
    remove_dead_code,
    sizes,
    value_of,
)

QUERIES, CELLS, KEPT, MASKS = "mask_queries", "mask_cells", "kept", "masks"
"""Names of the embeddings, ``[1, Q, C]`` and ``[1, h, w, C]``, of the kept queries' indices and of their masks."""

_HINT = "masks must be a product of an embedding of queries with one of cells, plus or times a number"


def cut_masks(graph_module: fx.GraphModule, kept: int) -> fx.GraphModule:
    """Replaces the last output, masks ``[1, Q, h, w]``, by its two factors; returns the graph of the product.

    Args:
        graph_module: normalised; it is modified.
        kept: how many queries' masks the product computes at a time.

    Raises:
        RewriteRefusedError: the output is not such a product.
    """
    output = next(node for node in graph_module.graph.nodes if node.op == "output")
    *others, masks = list_of(output.args[0])
    product, steps = _product_of(graph_module, masks)
    queries, flat = product.all_input_nodes
    _, count, height, width = sizes(value_of(masks).shape)
    cells = flat.all_input_nodes[0] if flat.target is aten.reshape.default else flat
    channels = sizes(value_of(queries).shape)[-1]
    shapes = [sizes(value_of(factor).shape) for factor in (queries, cells)]
    if shapes != [[1, count, channels], [1, channels, height, width]] or product.args != (queries, flat):
        raise RewriteRefusedError(product, "a product of other shapes", _HINT)
    embedding = Emitter(graph_module, output, provenance=cells)(aten.permute.default, cells, [0, 2, 3, 1])
    output.args = ((*others, queries, embedding),)
    part = _product(graph_module, (queries, embedding, product), steps, kept)
    remove_dead_code(graph_module)
    graph_module.recompile()
    return part


def _product_of(graph_module: fx.GraphModule, masks: fx.Node) -> tuple[fx.Node, list[fx.Node]]:
    """Returns the product that masks come from, and the steps after it that are no reshapes, in order."""
    node, steps = masks, list[fx.Node]()
    while node.target is not aten.matmul.default:
        constants = [constant_of(graph_module, operand) for operand in node.all_input_nodes]
        runtime = [operand for operand, value in zip(node.all_input_nodes, constants, strict=True) if value is None]
        numbers = all(value is None or value.numel() == 1 for value in constants)
        if len(runtime) != 1 or not numbers or node.target not in (aten.reshape.default, aten.add.Tensor, aten.mul.Tensor):
            raise RewriteRefusedError(node, "masks come from another operation", _HINT)
        if node.target is not aten.reshape.default:
            steps.append(node)
        node = runtime[0]
    return node, steps[::-1]


def _product(
    graph_module: fx.GraphModule, factors: tuple[fx.Node, fx.Node, fx.Node], steps: list[fx.Node], kept: int
) -> fx.GraphModule:
    queries, cells, product = factors
    _, count, channels = sizes(value_of(queries).shape)
    _, height, width, _ = sizes(value_of(cells).shape)
    graph = fx.Graph()
    values = (value_of(queries), value_of(cells).contiguous(), torch.empty(kept, dtype=torch.int32, device="meta"))
    inputs = []
    for name, value in zip((QUERIES, CELLS, KEPT), values, strict=True):
        inputs.append(graph.placeholder(name))
        inputs[-1].meta = {"val": torch.empty(value.shape, dtype=value.dtype, device="meta")}
    end = graph.output(())
    part = graph_module_of(torch.nn.Module(), graph)
    table, map_, indices = inputs
    emit = Emitter(part, end, provenance=product)
    rows = emit(GATHER_ROWS, emit(aten.reshape.default, table, [count, channels]), indices)
    columns = emit(aten.permute.default, emit(aten.reshape.default, rows, [1, kept, channels]), [0, 2, 1])
    result = emit(aten.matmul.default, emit(aten.reshape.default, map_, [1, height * width, channels]), columns)
    for step in steps:
        number = next(value for value in (constant_of(graph_module, n) for n in step.all_input_nodes) if value is not None)
        result = emit(step.target, result, emit.constant(number.reshape(1), "number"))
    end.args = ((emit(aten.reshape.default, result, [1, height, width, kept]),),)
    part.recompile()
    return part
