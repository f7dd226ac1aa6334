"""The checks that rows of op_support.json can name.

Each examines one operator, or the whole graph, and yields its hits. The conditions are those measured on the delegate; each row
of the table lists the probes that show it.
"""

from __future__ import annotations

from collections.abc import Mapping

from detr2litert.verify.lint.rules import dies, native, outputs, padding_lanes, refused, split, whole_graph, wrong
from detr2litert.verify.lint.rules.find import GraphCheck, Hit, OpCheck

__all__ = ["GRAPH_CHECKS", "OP_CHECKS", "Hit"]

OP_CHECKS: Mapping[str, OpCheck] = {
    check.__name__: check
    for check in (
        refused.listed_op,
        dies.composite,
        refused.gather_index,
        refused.constant_gather,
        refused.rank_five,
        refused.int64,
        refused.pack_rank,
        refused.strided_slice,
        refused.select_branch,
        refused.op_version,
        dies.same_input,
        dies.identity_pad,
        refused.pad_rank,
        refused.mirror_pad,
        refused.softmax_beta,
        refused.add_n,
        refused.matmul_constant_lhs,
        dies.runtime_bias,
        dies.embedding_runtime_table,
        refused.reshape_runtime_shape,
        refused.dequantize_int8,
        refused.int16,
        refused.quantised_dense_rows_of_one,
        refused.missing_bias,
        refused.constant_start,
        refused.integer_cumsum,
        wrong.constant_low_rank,
        wrong.pad_rank_three,
        wrong.pad_into_pool,
        wrong.zeros_into_pool,
        wrong.add_into_reduce,
        wrong.matmul_broadcast_batch,
        wrong.matmul_texture_limit,
        wrong.grouped_conv,
        wrong.quantised_dense_rows,
        wrong.runtime_weights_bias,
        wrong.softmax_rank_one,
        wrong.pow_constant_base,
        wrong.pad_infinite,
        wrong.matmul_constant_transposed,
        wrong.cumsum,
        wrong.leaky_relu_slope,
        wrong.pad_first_axis,
        wrong.depthwise_pointwise,
        wrong.blocks_of_a_batch,
        refused.transpose_rank,
        refused.identity_slice,
        refused.select_condition,
        split.split_parts,
        padding_lanes.last_axis_padding,
        outputs.output_and_reduced,
        outputs.output_fused_forward,
        outputs.output_fused_backward,
        outputs.output_pad,
        outputs.output_whole_slice,
        native.unregistered_custom,
        native.missing_custom_options,
        native.norm_operands,
        native.norm_without_scale,
        native.group_norm_groups,
        native.resampler_operands,
        native.transpose_conv_bias_operands,
    )
}
GRAPH_CHECKS: Mapping[str, GraphCheck] = {
    check.__name__: check
    for check in (
        outputs.input_is_output,
        whole_graph.dynamic_shape,
        whole_graph.token_fan_out,
        whole_graph.unmeasured_op,
        padding_lanes.nonfinite_padding,
    )
}
