"""The rewrites in order, with the reason for the place of each."""

from __future__ import annotations

from detr2litert.rewrites.bound_constants import bound_constants
from detr2litert.rewrites.cancel_logit import cancel_logit
from detr2litert.rewrites.cancel_slices import cancel_slices
from detr2litert.rewrites.centre_coordinates import centre_coordinates
from detr2litert.rewrites.driver import Step
from detr2litert.rewrites.evaluate_constants import evaluate_constants
from detr2litert.rewrites.fold_batch_norm import fold_batch_norm
from detr2litert.rewrites.fold_masks import fold_masks
from detr2litert.rewrites.fold_means import fold_means
from detr2litert.rewrites.fold_sampling import fold_sampling
from detr2litert.rewrites.fold_scales import fold_scales
from detr2litert.rewrites.fold_sinusoids import fold_sinusoids
from detr2litert.rewrites.hoist_concatenations import hoist_concatenations
from detr2litert.rewrites.hoist_permutes import hoist_permutes
from detr2litert.rewrites.iterate_topk import iterate_topk
from detr2litert.rewrites.join_levels import join_levels
from detr2litert.rewrites.lift_tokens import lift_tokens
from detr2litert.rewrites.lower_adaptive_pool import lower_adaptive_pool
from detr2litert.rewrites.lower_attention import lower_attention
from detr2litert.rewrites.lower_group_norm import lower_group_norm
from detr2litert.rewrites.lower_layer_norm import lower_layer_norm
from detr2litert.rewrites.lower_max import lower_max
from detr2litert.rewrites.lower_nearest_sampling import lower_nearest_sampling
from detr2litert.rewrites.lower_padding import lower_padding
from detr2litert.rewrites.lower_sampling import lower_sampling
from detr2litert.rewrites.lower_transposed_conv import lower_transposed_conv
from detr2litert.rewrites.merge_convolutions import merge_convolutions
from detr2litert.rewrites.merge_linears import merge_linears
from detr2litert.rewrites.merge_permutes import merge_permutes
from detr2litert.rewrites.merge_scalars import merge_scalars
from detr2litert.rewrites.protect_layer_norm import protect_layer_norm
from detr2litert.rewrites.protect_sums import protect_sums
from detr2litert.rewrites.reduce_rank import reduce_rank
from detr2litert.rewrites.remove_identities import remove_identities
from detr2litert.rewrites.share_softmax import share_softmax
from detr2litert.rewrites.split_clamp import split_clamp
from detr2litert.rewrites.split_linears import split_linears
from detr2litert.rewrites.split_matmul import split_matmul
from detr2litert.rewrites.spread_channels import spread_channels
from detr2litert.rewrites.use_layer_norm import use_layer_norm
from detr2litert.rewrites.use_resampler import use_resampler
from detr2litert.rewrites.use_topk import use_topk
from detr2litert.rewrites.vectorise_channels import vectorise_channels

NORMALISE: tuple[Step, ...] = (
    Step(remove_identities, "first: identities separate the ops that later patterns match"),
    Step(evaluate_constants, "before every pattern that requires a constant operand"),
    Step(fold_masks, "needs constant masks; removes the padding mask from the memory, which then crosses the cut unchanged"),
    Step(bound_constants, "after evaluation, which produces the infinities"),
    Step(lower_max, "the selection's scores become one plain tensor"),
    Step(fold_batch_norm, "before fold_scales: a folded convolution is a plain one"),
    Step(merge_convolutions, "after fold_batch_norm: the branches that are added end in norms"),
)
"""Normalises an imported program for the cut."""

LOWER: tuple[Step, ...] = (
    Step(lower_transposed_conv, "first: emits plain convolutions"),
    Step(lower_adaptive_pool, "early: emits plain pools"),
    Step(lower_group_norm, "early: emits convolutions and means, whose ranges are measured afterwards"),
    Step(lower_padding, "early: the concatenations that it emits go through the later rewrites; needs every pool"),
    Step(lower_attention, "exposes the scale of the queries to fold_scales"),
    Step(lower_nearest_sampling, "emits bilinear samplers, which the next three lower"),
    Step(use_resampler, "before the tents, which lower what it left"),
    Step(fold_sampling, "before lower_sampling, which lowers every remaining sampler"),
    Step(lower_sampling, "no sampler may remain"),
    Step(cancel_logit, "before split_clamp, which would rewrite one of the clamps in its pattern"),
    Step(fold_sinusoids, "before merge_scalars and fold_scales, which would change the phases that it matches"),
    Step(vectorise_channels, "after cancel_logit, whose patterns are of whole tensors"),
    Step(cancel_slices, "after vectorise_channels, which emits concatenations of boxes that are sliced"),
    Step(merge_scalars, "after sampling, whose coordinate changes it merges"),
    Step(fold_scales, "after attention is lowered and scalars are merged; before norms are decomposed"),
    Step(merge_linears, "after vectorise_channels, which emits layers, and fold_scales, which folds the factors between them"),
    Step(split_linears, "after fold_scales, which folds the factors of the whole layer"),
    Step(fold_means, "beside merge_linears: what a linear layer reads"),
    Step(share_softmax, "before the top-k of a softmax is reshaped"),
    Step(use_topk, "before iterate_topk, which takes what it left"),
    Step(iterate_topk, "only the values of a top-k that is left in a part are read"),
    Step(split_clamp, "no clamp to [0, 1] may reach the converter"),
    Step(split_matmul, "before reduce_rank folds batch dimensions"),
)
"""Lowers one part of the cut program; the value ranges are measured after it."""

PROTECT: tuple[Step, ...] = (
    Step(centre_coordinates, "first: emits ops that have not been measured"),
    Step(protect_sums, "reads measured ranges; before the norms are decomposed, whose sums have no ranges of their own"),
    Step(use_layer_norm, "a native norm needs no protection; after fold_scales, which matches the norm"),
    Step(protect_layer_norm, "late: fold_scales must have matched the norm and folded its affine part"),
)
"""Keeps values inside fp16's range, where the range analysis shows too little headroom."""

LAY_OUT: tuple[Step, ...] = (
    Step(lower_layer_norm, "first: lowers the norms that need no protection"),
    Step(join_levels, "after centre_coordinates, which matches the coordinates of all levels"),
    Step(spread_channels, "after centre_coordinates, which matches the sum of a coordinate and its offset"),
    Step(hoist_concatenations, "before reduce_rank, after which windows are no dimensions of their own"),
    Step(reduce_rank, "late: needs every view; after it every tensor has at most four dimensions"),
    Step(hoist_permutes, "one permute of a tensor may then merge with another"),
    Step(merge_permutes, "on the permutes and reshapes that reduce_rank emits"),
    Step(lift_tokens, "last: works on the token tensors that reduce_rank emits"),
)
"""Brings the remaining ops to forms and shapes that the delegate accepts and computes correctly."""

IN_EACH_GRAPH = (*LOWER, *PROTECT, *LAY_OUT)
"""Every rewrite of a part, for uses that measure nothing in between."""

WHOLE = (*NORMALISE, *IN_EACH_GRAPH)
"""Every rewrite, in order."""
