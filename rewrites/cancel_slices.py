"""Reads the parts of a concatenation where they were made, and joins neighbouring slices of one tensor by reading that.

Hazard: each slice and each concatenation is a copy, a dispatch. A class token is prepended to the patches, gets its position
embedding with them, and is sliced off again to be repeated for each window; both halves of a split are joined again, with what
was made of one.

Identity: the slice of a concatenation that is one of its parts is that part; an elementwise op commutes with slices; slices
that follow each other, concatenated in order, are one slice, or the whole tensor.

Given::

    %c = aten.cat([%token, %x], 1)              # %token is constant, [1, 1, C]
    %a = aten.add(%c, %positions)
    %t = aten.slice(%a, 1, 0, 1)
    %y = aten.slice(%a, 1, 1, 37)
    %u, %v = aten.split(%z, 32, 1)              # [1, 64, H, W]
    %w = aten.cat([%u, %v, aten.relu(%v)], 1)

Result::

    %t = %constant                              # %token + %positions[:, :1]
    %y = aten.add(%x, %positions_1)             # %positions[:, 1:]
    %u, %v = aten.split(%z, 32, 1)
    %w = aten.cat([%z, aten.relu(%v)], 1)

One elementwise op between a concatenation and its slices is repeated for each; any number, where the part is constant.
Does not fire on a slice that is neither one whole part nor within a constant part, where something else reads the op between,
nor on slices to join that are read elsewhere as well, so that none of them would go. Bit-exact.

Evidence: measured on SwiftShader, 576 patches with a class token, brought to four windows with one each, take 8 dispatches
instead of 17, and a convolution of one half of a map, joined with both, 10 instead of 11.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, fx

from detr2litert.graphs.op_traits import BINARY, UNARY
from detr2litert.graphs.toolbox import (
    Emitter,
    argument,
    aten,
    calls,
    constant_of,
    is_call,
    list_of,
    normalise_dim,
    only_user,
    replace,
    value_of,
)
from detr2litert.rewrites.contract import Findings, Miss, Site, fired, missed, rewrite
from detr2litert.rewrites.pieces import Piece, piece_of


@dataclass(frozen=True)
class _Path:
    """The way from one part of a concatenation to a slice.

    Attributes:
        piece: what the slice is of the result of the last step, or of the concatenation.
        part: the part, which the slice reads from ``offset`` on.
        steps: the elementwise ops between concatenation and slice, in the order in which they are computed.
    """

    piece: Piece
    part: fx.Node
    offset: int
    steps: tuple[fx.Node, ...]


@rewrite(after=("evaluate_constants", "vectorise_channels"), before=("reduce_rank",))
def cancel_slices(graph_module: fx.GraphModule) -> Findings:
    found = _read_parts(graph_module)
    for node in calls(graph_module, aten.cat.default):
        found += _join_neighbours(graph_module, node)
    return found


def _read_parts(graph_module: fx.GraphModule) -> list[Site | Miss]:
    """Replaces slices of concatenations by their parts."""
    pieces = {node: piece for node in graph_module.graph.nodes if (piece := piece_of(node)) is not None}
    paths = {node: path for node, piece in pieces.items() if (path := _path_to(graph_module, piece)) is not None}
    found: list[Site | Miss] = []
    while blocked := [node for node, path in paths.items() if not _only_cut(path, paths)]:
        found += [missed(node, "what it slices is read by another operator as well") for node in blocked]
        paths = {node: path for node, path in paths.items() if node not in blocked}
    made: dict[Any, fx.Node] = {}
    replaced: dict[fx.Node, fx.Node] = {}
    for node, path in paths.items():
        found.append(fired(node, f"{list(value_of(node).shape)} of {path.part.name}"))
        part = replaced.get(path.part, path.part)
        key = (path.piece, part)
        if key not in made:
            made[key] = _computed(Emitter(graph_module, node), path, part)
        replaced[node] = made[key]
        replace(node, made[key])
    return found


def _path_to(graph_module: fx.GraphModule, piece: Piece) -> _Path | None:
    """Returns the way to a slice from the part that it is; None if there is none, or if it would cost as much as it saves."""
    node, dim = piece.source, piece.dim
    steps: list[fx.Node] = []
    while not is_call(node, aten.cat.default):
        steps.insert(0, node)
        operand = _operand(graph_module, node)
        if operand is None:
            return None
        node = operand
    if normalise_dim(argument(node, 1, "dim", 0), value_of(node).dim()) != dim:
        return None
    begin = 0
    for part in list_of(node.args[0]):
        if value_of(part).dim() != value_of(node).dim():
            return None
        length = int(value_of(part).shape[dim])
        constant = constant_of(graph_module, part) is not None
        whole = (piece.start, piece.stop) == (begin, begin + length)
        if whole or (constant and begin <= piece.start < piece.stop <= begin + length):
            return _Path(piece, part, piece.start - begin, tuple(steps)) if constant or len(steps) <= 1 else None
        begin += length
    return None


def _operand(graph_module: fx.GraphModule, node: fx.Node) -> fx.Node | None:
    """Returns what an elementwise op is computed of, with a number or a constant perhaps; None for another node."""
    computed = [n for n in node.all_input_nodes if constant_of(graph_module, n) is None]
    if not is_call(node, *UNARY, *BINARY) or len(computed) != 1 or node.args.count(computed[0]) != 1:
        return None
    return computed[0] if value_of(computed[0]).shape == value_of(node).shape else None


def _only_cut(path: _Path, paths: Mapping[fx.Node, _Path]) -> bool:
    """Returns True if the elementwise ops of a path are read on such paths only, so that none of them is left."""
    between = {step for other in paths.values() for step in other.steps}
    return all(user in paths or user in between for step in path.steps for user in step.users)


def _computed(emit: Emitter, path: _Path, part: fx.Node) -> fx.Node:
    """Emits what a path computes of its part; a constant, if the part is one."""
    constant = constant_of(emit.graph_module, part)
    length = path.piece.stop - path.piece.start
    value: Any = part if constant is None else constant.narrow(path.piece.dim, path.offset, length)
    for step in path.steps:
        operand = _operand(emit.graph_module, step)
        args: list[Any] = []
        for given in step.args:
            other = constant_of(emit.graph_module, given)
            if other is not None:
                cut = _cut(other, path.piece.dim - value_of(step).dim(), path.piece.start, length)
                args.append(emit.constant(cut, "part") if isinstance(value, fx.Node) else cut)
            else:
                args.append(value if given is operand else given)
        apply = emit if isinstance(value, fx.Node) else _evaluate
        value = apply(step.target, *args, **step.kwargs)
    return value if isinstance(value, fx.Node) else emit.constant(value, str(part.target))


def _cut(constant: Tensor, dim: int, start: int, length: int) -> Tensor:
    """Returns a constant operand's share of a slice along ``dim``, which is negative; all of it, if it is broadcast there."""
    broadcast = constant.dim() < -dim or constant.shape[dim] == 1
    return constant if broadcast else constant.narrow(dim, start, length)


def _evaluate(target: Any, *args: Any, **kwargs: Any) -> Any:
    return target(*args, **kwargs)


def _join_neighbours(graph_module: fx.GraphModule, node: fx.Node) -> list[Site | Miss]:
    """Replaces slices that follow each other, in a concatenation, by one slice, or by what they are slices of."""
    dim = normalise_dim(argument(node, 1, "dim", 0), value_of(node).dim())
    parts: list[fx.Node] = []
    found: list[Site | Miss] = []
    for run in _runs(list_of(node.args[0]), dim):
        piece = piece_of(run[0])
        if len(run) == 1 or piece is None:
            parts += run
            continue
        last = piece_of(run[-1])
        assert last is not None
        complete = (piece.start, last.stop) == (0, int(value_of(piece.source).shape[dim]))
        if sum(only_user(part) is node for part in run) < (1 if complete else 2):
            found.append(missed(node, f"{len(run)} slices of {piece.source.name} are read by other operators as well"))
            parts += run
            continue
        found.append(fired(node, f"{len(run)} slices of {piece.source.name}"))
        emit = Emitter(graph_module, node)
        parts.append(piece.source if complete else emit(aten.slice.Tensor, piece.source, dim, piece.start, last.stop))
    if any(isinstance(one, Site) for one in found):
        if len(parts) == 1:
            replace(node, parts[0])
        else:
            node.args = (parts, *node.args[1:])
    return found


def _runs(parts: list[fx.Node], dim: int) -> list[list[fx.Node]]:
    """Groups parts that are slices of one tensor, each beginning where the one before ends."""
    runs: list[list[fx.Node]] = []
    previous: Piece | None = None
    for part in parts:
        piece = piece_of(part)
        follows = previous is not None and piece is not None and piece.dim == dim
        if follows and (piece.source, piece.dim, piece.start) == (previous.source, previous.dim, previous.stop):  # type: ignore[union-attr]
            runs[-1].append(part)
        else:
            runs.append([part])
        previous = piece
    return runs
