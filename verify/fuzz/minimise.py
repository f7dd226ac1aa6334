"""Makes a graph that fails smaller, as long as it fails in the same way and no rule knows it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from detr2litert.verify.fuzz.build import all_values, values_of
from detr2litert.verify.fuzz.judge import Judged
from detr2litert.verify.fuzz.spec import Constant, IllFormedError, Node, Spec

Judge = Callable[[Sequence[Spec]], list[Judged]]
_BATCH = 24


def minimise(spec: Spec, judged: Judged, judge: Judge, deadline: float) -> tuple[Spec, Judged]:
    """Tries smaller graphs, a batch at a time, and goes on from the first that still fails; ends when none does.

    Args:
        spec, judged: the graph and its result.
        judge: runs graphs.
        deadline: of ``time.monotonic()``.
    """
    done = False
    while not done and time.monotonic() < deadline:
        done = True
        candidates = _distinct(_smaller(spec))
        for start in range(0, len(candidates), _BATCH):
            batch = candidates[start : start + _BATCH]
            found = next((pair for pair in zip(batch, judge(batch), strict=True) if _alike(pair[1], judged)), None)
            if found is not None:
                spec, judged, done = *found, False
                break
            if time.monotonic() > deadline:
                return spec, judged
    return spec, judged


def _alike(one: Judged, other: Judged) -> bool:
    return one.verdict is other.verdict and one.unknown == other.unknown and one.message == other.message


def _distinct(specs: Iterator[Spec]) -> list[Spec]:
    seen: dict[str, Spec] = {}
    for spec in specs:
        try:
            values_of(spec)
        except IllFormedError:
            continue
        seen.setdefault(repr(spec), spec)
    return list(seen.values())


def _smaller(spec: Spec) -> Iterator[Spec]:
    yield from _fewer_nodes(spec)
    yield from _fewer_outputs(spec)
    yield from _smaller_shapes(spec)
    yield from _plainer(spec)


def _fewer_outputs(spec: Spec) -> Iterator[Spec]:
    if len(spec.outputs) > 1:
        for name in spec.outputs:
            yield replace(spec, outputs=tuple(other for other in spec.outputs if other != name))


def _fewer_nodes(spec: Spec) -> Iterator[Spec]:
    """Without a node: what it made becomes an input, or nothing is left that read it."""
    try:
        shapes = values_of(spec)
        made = all_values(spec)
    except IllFormedError:
        return
    for node in spec.nodes:
        own = {name for name in made if name == node.name or name.startswith(f"{node.name}_")}
        rest = tuple(other for other in spec.nodes if other is not node)
        read = {operand for other in rest for operand in other.operands if isinstance(operand, str)}
        outputs = tuple(name for name in spec.outputs if name not in own)
        inputs = {**spec.inputs, **{name: shapes[name] for name in own & read if name in shapes}}
        inputs = {name: shape for name, shape in inputs.items() if name in read}
        unread = tuple(
            operand for operand in node.operands
            if isinstance(operand, str) and operand not in read and operand not in spec.inputs and operand not in outputs
        )  # fmt: skip
        yield Spec(inputs, rest, (*outputs, *unread))


def _smaller_shapes(spec: Spec) -> Iterator[Spec]:
    """A size made smaller wherever it occurs, and each dimension of each input by itself."""
    sizes = sorted(
        {d for shape in spec.inputs.values() for d in shape} | {d for c in _constants(spec) for d in c.shape}, reverse=True
    )
    for size in sizes:
        for smaller in (1, 2, 3, 4, size // 2, size - 1):
            if 0 < smaller < size:
                yield _mapped(spec, {size: smaller})
    for name, shape in spec.inputs.items():
        for axis, size in enumerate(shape):
            for smaller in (1, 2, 4):
                if smaller < size:
                    yield replace(spec, inputs={**spec.inputs, name: (*shape[:axis], smaller, *shape[axis + 1 :])})
        if len(shape) > 1 and shape[0] == 1:
            yield replace(spec, inputs={**spec.inputs, name: shape[1:]})


def _constants(spec: Spec) -> list[Constant]:
    return [operand for node in spec.nodes for operand in node.operands if isinstance(operand, Constant)]


def _mapped(spec: Spec, sizes: dict[int, int]) -> Spec:
    def shape(old: Sequence[int]) -> tuple[int, ...]:
        return tuple(sizes.get(d, d) for d in old)

    def attribute(key: str, value: Any) -> Any:
        return shape(value) if key in ("shape", "size") else value

    nodes = tuple(
        replace(
            node,
            operands=tuple(replace(o, shape=shape(o.shape)) if isinstance(o, Constant) else o for o in node.operands),
            attributes={key: attribute(key, value) for key, value in node.attributes.items()},
        )
        for node in spec.nodes
    )
    return Spec({name: shape(old) for name, old in spec.inputs.items()}, nodes, spec.outputs)


def _plainer(spec: Spec) -> Iterator[Spec]:
    """Attributes and constants made plainer, one at a time."""
    for position, node in enumerate(spec.nodes):
        for plain in _plainer_nodes(node):
            yield replace(spec, nodes=(*spec.nodes[:position], plain, *spec.nodes[position + 1 :]))


def _plainer_nodes(node: Node) -> Iterator[Node]:
    for key, value in node.attributes.items():
        for plain in _plainer_values(key, value):
            yield replace(node, attributes={**node.attributes, key: plain})
    for position, operand in enumerate(node.operands):
        if isinstance(operand, Constant):
            changed = [replace(operand, style="float")] if operand.style != "float" else []
            changed += [replace(operand, shape=operand.shape[1:])] if operand.shape[:1] == (1,) else []
            for plain in changed:
                yield replace(node, operands=(*node.operands[:position], plain, *node.operands[position + 1 :]))


def _plainer_values(key: str, value: Any) -> list[Any]:
    if isinstance(value, bool):
        return [False] if value else []
    if key in ("stride", "dilation", "window", "k") and value > 1:
        return [1]
    if key == "amounts":
        pairs = list(value)
        return [
            (*pairs[:i], tuple(0 if j == side else v for j, v in enumerate(pair)), *pairs[i + 1 :])
            for i, pair in enumerate(pairs) for side in (0, 1) if pair[side]
        ]  # fmt: skip
    if key == "indices" and len(value) > 1:
        return [value[:1]]
    if key == "times" and max(value) > 1:
        return [tuple(1 if j == i else t for j, t in enumerate(value)) for i in range(len(value)) if value[i] > 1]
    return []
