"""The order of the rewrites, and the reason for each place in it."""

from __future__ import annotations

from detr2litert.rewrites.bound_constants import bound_constants
from detr2litert.rewrites.cancel_logit import cancel_logit
from detr2litert.rewrites.centre_coordinates import centre_coordinates
from detr2litert.rewrites.driver import Step
from detr2litert.rewrites.evaluate_constants import evaluate_constants
from detr2litert.rewrites.fold_batch_norm import fold_batch_norm
from detr2litert.rewrites.fold_masks import fold_masks
from detr2litert.rewrites.fold_sampling import fold_sampling
from detr2litert.rewrites.fold_scales import fold_scales
from detr2litert.rewrites.iterate_topk import iterate_topk
from detr2litert.rewrites.lift_tokens import lift_tokens
from detr2litert.rewrites.lower_adaptive_pool import lower_adaptive_pool
from detr2litert.rewrites.lower_attention import lower_attention
from detr2litert.rewrites.lower_layer_norm import lower_layer_norm
from detr2litert.rewrites.lower_max import lower_max
from detr2litert.rewrites.lower_padding import lower_padding
from detr2litert.rewrites.lower_sampling import lower_sampling
from detr2litert.rewrites.lower_transposed_conv import lower_transposed_conv
from detr2litert.rewrites.merge_scalars import merge_scalars
from detr2litert.rewrites.protect_layer_norm import protect_layer_norm
from detr2litert.rewrites.protect_sums import protect_sums
from detr2litert.rewrites.reduce_rank import reduce_rank
from detr2litert.rewrites.remove_identities import remove_identities
from detr2litert.rewrites.split_clamp import split_clamp
from detr2litert.rewrites.split_matmul import split_matmul

NORMALISE: tuple[Step, ...] = (
    Step(remove_identities, "first: identities stand between the ops that the later patterns look for"),
    Step(evaluate_constants, "before every pattern that asks whether an operand is constant"),
    Step(fold_masks, "needs constant masks; frees the memory of its padding mask, so that it crosses the cut as it is"),
    Step(bound_constants, "after evaluation, which is where infinities appear"),
    Step(lower_max, "the selection's scores become one plain tensor"),
    Step(fold_batch_norm, "before scales are folded: a folded convolution is a plain one"),
)
"""Brings an imported program to the form that the cut looks at."""

LOWER: tuple[Step, ...] = (
    Step(lower_transposed_conv, "first: what it leaves are plain convolutions"),
    Step(lower_adaptive_pool, "early: what it leaves are plain pools"),
    Step(lower_padding, "early: the joins that it leaves are folded and laid out like any other; sees every pool"),
    Step(lower_attention, "exposes the scale of the queries to fold_scales"),
    Step(fold_sampling, "before lower_sampling, which takes every sampler that is left"),
    Step(lower_sampling, "no sampler may remain"),
    Step(cancel_logit, "before split_clamp, which would take one of its clamps apart"),
    Step(merge_scalars, "after sampling, whose coordinate changes it merges"),
    Step(fold_scales, "after attention and scalars are in the open; before norms are taken apart"),
    Step(iterate_topk, "any top-k left in a part is read for its values"),
    Step(split_clamp, "no clamp to [0, 1] may reach the converter"),
    Step(split_matmul, "while batches are still visible as such"),
)
"""Brings one part of the cut program to the ops that are left to be computed; their values are measured behind it."""

PROTECT: tuple[Step, ...] = (
    Step(centre_coordinates, "first: emits ops that have not been measured"),
    Step(protect_sums, "reads the ranges of the ops that are there; the norms' own sums are not yet in the open"),
    Step(protect_layer_norm, "late: the norm's own pattern must survive until its affine part is folded"),
)
"""Keeps values inside fp16, where the range analysis asks for it."""

LAY_OUT: tuple[Step, ...] = (
    Step(lower_layer_norm, "first: takes the norms that needed no protection"),
    Step(reduce_rank, "late: sees every view at once, and whatever it lets through has at most four dimensions"),
    Step(lift_tokens, "last: the token tensors are those that reduce_rank has left"),
)
"""Brings what is left to forms and shapes that the delegate takes and computes right."""

IN_EACH_GRAPH = (*LOWER, *PROTECT, *LAY_OUT)
"""All that is done to a part, for where nothing is measured in between."""

WHOLE = (*NORMALISE, *IN_EACH_GRAPH)
"""Every rewrite, in order."""
