"""Merges two permutes with a reshape between them into one permute.

Hazard: each permute and each reshape is a pass over memory, a dispatch. Heads that are joined while the tokens are last, and
the tokens moved forward afterwards, are permuted twice.

Identity: over dimensions fine enough for both sides of the reshape, the two permutes are one.

Given::

    %a = aten.permute(%x, [0, 1, 3, 2])     # [1, 6, 40, 16] -> [1, 6, 16, 40]
    %b = aten.reshape(%a, [96, 40])
    %y = aten.permute(%b, [1, 0])           # [40, 96]

Result::

    %c = aten.permute(%x, [0, 2, 1, 3])     # [1, 40, 6, 16]
    %y = aten.reshape(%c, [40, 96])

Does not fire if another op reads a value between, or if more than four dimensions are needed. Bit-exact.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import fx

from detr2litert.graphs.delegate import MAX_RANK
from detr2litert.graphs.toolbox import Emitter, aten, calls, is_call, only_user, replace, sizes, value_of
from detr2litert.rewrites.contract import Findings, Miss, Site, fired, missed, rewrite


@rewrite(after=("reduce_rank",), before=("lift_tokens",))
def merge_permutes(graph_module: fx.GraphModule) -> Findings:
    found: list[Site | Miss] = []
    for second in calls(graph_module, aten.permute.default):
        middle = second.args[0]
        if not is_call(middle, aten.reshape.default):
            continue
        assert isinstance(middle, fx.Node)
        first = middle.args[0]
        if not is_call(first, aten.permute.default):
            continue
        assert isinstance(first, fx.Node)
        if only_user(first) is None or only_user(middle) is None:
            found.append(missed(second, f"another op reads {first.name} or {middle.name}"))
            continue
        before, between, after = (sizes(value_of(node).shape) for node in (first.all_input_nodes[0], middle, second))
        dims = [list(node.args[1]) for node in (first, second)]  # type: ignore[arg-type]
        merged = _merged(before, dims[0], between, dims[1])
        if merged is None:
            found.append(missed(second, "the two permutes together move more than four blocks"))
            continue
        extents, order = merged
        emit = Emitter(graph_module, second)
        found.append(fired(second, f"{before} to {after}"))
        x = _in_blocks(emit, first.all_input_nodes[0], extents)
        ones = [d for d, size in enumerate(value_of(x).shape) if size == 1]
        places = [d for d, size in enumerate(value_of(x).shape) if size > 1]
        if order != sorted(order):
            x = emit(aten.permute.default, x, ones + [places[p] for p in order])
        replace(second, emit(aten.reshape.default, x, after))
    return found


def _in_blocks(emit: Emitter, x: fx.Node, extents: list[int]) -> fx.Node:
    """Returns the node of a value whose dimensions above one are ``extents``: its own, one behind a reshape, or a reshape."""
    behind = x.all_input_nodes[0] if is_call(x, aten.reshape.default) else x
    for node in (x, behind):
        if [size for size in value_of(node).shape if size > 1] == extents:
            return node
    return emit(aten.reshape.default, x, extents)


def _merged(
    before: Sequence[int], first: Sequence[int], between: Sequence[int], second: Sequence[int]
) -> tuple[list[int], list[int]] | None:
    """Returns the blocks' extents and the order that have the effect of both permutes; None above four blocks.

    Args:
        before, between: the shapes of the operands of the permutes.
        first, second: the permutes.
    """
    factors = _common_factors([before[d] for d in first], between)
    if factors is None:
        return None
    # Blocks are numbered in the order between the permutes.
    in_first = _grouped(factors, [before[d] for d in first])
    in_second = _grouped(factors, between)
    at_start = [block for d in range(len(before)) for block in in_first[list(first).index(d)]]
    at_end = [block for d in second for block in in_second[d]]
    blocks = [block for block in at_start if factors[block] > 1]
    moved = [blocks.index(block) for block in at_end if factors[block] > 1]
    if len(blocks) > MAX_RANK:
        return None
    return [factors[block] for block in blocks], moved


def _common_factors(left: Sequence[int], right: Sequence[int]) -> list[int] | None:
    """Returns the coarsest factors of which both shapes are groups; None if there are none."""
    factors = []
    a, b = list(left), list(right)
    while a and b:
        if a[0] == 1 or b[0] == 1:
            a, b = (a[1:], b) if a[0] == 1 else (a, b[1:])
            continue
        small = min(a[0], b[0])
        if a[0] % small or b[0] % small:
            return None
        factors.append(small)
        a, b = ([side[0] // small, *side[1:]] if side[0] > small else side[1:] for side in (a, b))
    return factors


def _grouped(factors: Sequence[int], shape: Sequence[int]) -> list[list[int]]:
    """Returns the numbers of the factors that each dimension is the product of."""
    groups, rest = [], list(enumerate(factors))
    for size in shape:
        group, product = [], 1
        while product < size:
            number, factor = rest.pop(0)
            group.append(number)
            product *= factor
        groups.append(group)
    return groups
