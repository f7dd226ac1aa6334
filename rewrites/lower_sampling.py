"""Lowers a remaining grid_sample to a matmul with its tent matrix.

Hazard: ``aten.grid_sampler`` lowers to GATHER_ND and BROADCAST_TO, which the delegate refuses.

Identity: bilinear sampling with zeros outside is a product with the tent weights (see ``rewrites/sampling.py``).

Given::

    %y = aten.grid_sampler(%v, %g, bilinear, zeros, align_corners)   # [B, C, Q, P]

Result::

    %m = %rows(q, p, y) * %columns(q, p, x)                           # [B, Q * P, H * W]
    %y = transpose(aten.matmul(%m, %v))

Fires on every sampler that ``fold_sampling`` did not fold: the unfolded form of deformable attention, or sampling whose result
is not weighted and summed. Refuses other interpolation and padding modes. Exact up to rounding (1e-6 relative).
"""

from __future__ import annotations

from torch import fx

from detr2litert.graphs.toolbox import Emitter, aten, calls, replace, value_of
from detr2litert.rewrites.contract import Findings, Miss, Site, fired, rewrite
from detr2litert.rewrites.sampling import check_mode, emit_tents, image_matrix


@rewrite(after=("fold_sampling",))
def lower_sampling(graph_module: fx.GraphModule) -> Findings:
    found: list[Site | Miss] = []
    for node in calls(graph_module, aten.grid_sampler.default):
        check_mode(node)
        image = node.all_input_nodes[0]
        b, channels, queries, points = (int(s) for s in value_of(node).shape)
        height, width = (int(s) for s in value_of(image).shape[-2:])
        emit = Emitter(graph_module, node)
        tents = emit_tents(emit, node)
        rows = emit(aten.transpose.int, tents.rows, 2, 3)
        rows = emit(aten.reshape.default, rows, [b, queries * points, height, 1])
        columns = emit(aten.reshape.default, tents.columns, [b, queries * points, 1, width])
        matrix = emit(aten.reshape.default, emit(aten.mul.Tensor, rows, columns), [b, queries * points, height * width])
        sampled = emit(aten.matmul.default, matrix, image_matrix(emit, image))
        result = emit(aten.reshape.default, emit(aten.transpose.int, sampled, 1, 2), [b, channels, queries, points])
        found.append(fired(node, f"{queries * points} points on {height}x{width}"))
        replace(node, result)
    return found
