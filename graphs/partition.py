"""Cuts a detector at its query selection, into three parts, or brings it into one graph.

The three parts::

    graph A    everything that the scores, and the tensors the selection gathers from, depend on; and what is cheaper to cross
               after than before (``graphs.minimum_cut``)
    host step  the top-k, and in some layouts the gathers and the selected tokens' tail
    graph B    the rest

In one graph, the top-k and the gathers run on the GPU as well, and there is nothing to cut.

As few tensors as possible cross from A to B: a tensor that is a view of a buffer (a reshape of a feature map) crosses as that
buffer, in its four-dimensional form, and one value in two arrangements crosses once (``one_crossing``). With token maps, every
other tensor of three dimensions crosses as a map (see ``rewrites.lift_tokens``): if a graph began with a reshape of its input,
the converter could move ops before it, back to three dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor, fx, nn

from detr2litert.graphs.delegate import MAX_RANK
from detr2litert.graphs.hoist_gather import HoistedSelection, hoist_gather
from detr2litert.graphs.host_step import HostPart, HostProgramBuilder
from detr2litert.graphs.minimum_cut import with_minimum_cut
from detr2litert.graphs.one_crossing import crossing_once, undo_rearrangements
from detr2litert.graphs.op_traits import REARRANGEMENTS
from detr2litert.graphs.select_rows import gather_by_index, select_inside
from detr2litert.graphs.selection import Selection, find_selection
from detr2litert.graphs.token_map import map_shape
from detr2litert.graphs.toolbox import (
    RewriteRefusedError,
    ancestors,
    aten,
    constant_of,
    graph_module_of,
    list_of,
    remove_dead_code,
    sizes,
    value_of,
)
from detr2litert.graphs.views import View
from detr2litert.host_runtime.host_program import HostProgram

INDICES = "indices"
"""The name of the selected tokens' indices: an output of the host step, or of the only graph."""


class Layout(StrEnum):
    """How much of the selection the host step computes."""

    INDICES = "indices"
    """The top-k: graph B receives the indices and gathers; the memory need not leave the GPU."""
    TOKENS = "tokens"
    """The gathers as well: graph B receives the selected tokens."""
    TAIL = "tail"
    """Also the selected tokens' tail, in float32."""
    SINGLE = "single"
    """Nothing: graph A is the whole detector, with the top-k and the gathers inside."""


def layout_of(host: HostProgram) -> Layout:
    """Returns the layout of a detector whose host step is known."""
    ops = {op.op for op in host.ops}
    if not ops:
        return Layout.SINGLE
    if "gather" not in ops:
        return Layout.INDICES
    return Layout.TOKENS if ops <= {"topk", "gather", "reshape"} else Layout.TAIL


@dataclass(frozen=True)
class Part:
    """One of the two graphs.

    Attributes:
        graph_module: placeholders and outputs in the order of the names.
        input_names, output_names: the tensors' names in the bundle.
    """

    graph_module: fx.GraphModule
    input_names: tuple[str, ...]
    output_names: tuple[str, ...]


@dataclass(frozen=True)
class Partition:
    """A detector in three parts: ``b(host(a(image)), a(image))``; or in one, ``a(image)``; and the product of its masks.

    Attributes:
        a: the first graph, or the only one.
        host: what runs between the graphs; empty for one graph.
        b: the second graph; None if there is one.
        m: the masks of some queries (see ``graphs.mask_product``); None for a detector without masks.
    """

    a: Part
    host: HostPart
    b: Part | None = None
    m: Part | None = None

    @property
    def graphs(self) -> dict[str, Part]:
        """The graphs by the names that reports use, in the order of execution."""
        graphs = {"graph_a": self.a, "graph_b": self.b, "graph_m": self.m}
        return {name: part for name, part in graphs.items() if part is not None}

    @property
    def last(self) -> Part:
        """The graph that gives boxes and logits."""
        return self.a if self.b is None else self.b


def partition(
    graph_module: fx.GraphModule,
    inputs: Sequence[str],
    outputs: Sequence[str],
    *,
    layout: Layout = Layout.TOKENS,
    token_maps: bool = False,
) -> Partition:
    """Cuts a graph at its query selection.

    Args:
        graph_module: normalised; it is modified.
        inputs, outputs: names of the graph's inputs and outputs.
        layout: what the host step computes.
        token_maps: token tensors ``[1, N, C]`` cross as maps ``[1, H, W, C]``.

    Raises:
        NoSelectionError: it has none.
        RewriteRefusedError: it has one that cannot be cut.
    """
    selection = find_selection(graph_module)
    hoisted = hoist_gather(graph_module, selection)
    if layout is Layout.SINGLE:
        select_inside(graph_module, selection, hoisted.gathers)
        return Partition(Part(graph_module, tuple(inputs), (*outputs, INDICES)), HostPart(HostProgram((), (), ()), {}, {}))
    return _Cut(graph_module, selection, hoisted, layout, token_maps).split(tuple(inputs), tuple(outputs))


class _Cut:
    def __init__(
        self,
        graph_module: fx.GraphModule,
        selection: Selection,
        hoisted: HoistedSelection,
        layout: Layout,
        token_maps: bool,
    ) -> None:
        self._graph_module = graph_module
        self._selection = selection
        self._token_maps = token_maps
        leaves = [g.all_input_nodes[0] for g in hoisted.gathers if constant_of(graph_module, g.all_input_nodes[0]) is None]
        self._in_a = ancestors([selection.scores, *leaves])
        self._rows: fx.Node | None = None
        self._shared: list[fx.Node] = []
        if layout is Layout.INDICES:
            rows = gather_by_index(graph_module, selection, hoisted.gathers)
            self._gathers, self._tail, self._rows = [], set[fx.Node](), rows
            self._on_host = _between(selection.topk, [rows])
        else:
            self._gathers = hoisted.gathers
            self._tail = set(hoisted.tail) if layout is Layout.TAIL else set()
            self._on_host = {*hoisted.gathers, *self._tail} | _between(selection.topk, hoisted.gathers)
        self._in_a = with_minimum_cut(self._in_a, self._on_host)
        self._output = next(n for n in graph_module.graph.nodes if n.op == "output")
        self._in_b = [
            n
            for n in graph_module.graph.nodes
            if n.op in ("call_function", "output") and n not in self._in_a and n not in self._on_host
        ]

    def split(self, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> Partition:
        whole = self._read_by_b(self._in_a)
        leaves = {g: g.all_input_nodes[0] for g in self._gathers}
        runtime_leaves = [leaf for leaf in leaves.values() if constant_of(self._graph_module, leaf) is None]
        buffers = list(dict.fromkeys(_buffer(n) for n in [*whole, *runtime_leaves]))
        buffers, self._shared = crossing_once(buffers, {_buffer(leaf) for leaf in runtime_leaves})
        names = dict(zip(buffers, _numbered("memory", len(buffers)), strict=True))
        selected = self._read_by_b(self._on_host)
        if self._rows is None:
            selected_names = dict(zip(selected, _numbered("selected", len(selected)), strict=True))
            program = self._host_program(runtime_leaves, names, selected_names)
        else:
            selected_names = {self._rows: INDICES}
            program = self._host_topk(self._rows)
        a = self._part_a(inputs, [(self._selection.scores, "enc_scores"), *names.items()])
        b = self._part_b([*names.items(), *selected_names.items()], outputs)
        return Partition(a, program, b)

    def _host_topk(self, rows: fx.Node) -> HostPart:
        """Builds the host step that computes the indices alone: of the scores as a vector, since ``rows`` is one."""
        scores = self._selection.scores
        host = HostProgramBuilder(self._graph_module, {scores: "enc_scores"})
        host.reshape("enc_scores", "token_scores", [value_of(scores).numel()])
        host.rename(scores, "token_scores")
        host.topk(scores, rows, self._selection.k, 0)
        return host.finish(("enc_scores",), (INDICES,))

    def _host_program(self, leaves: Sequence[fx.Node], names: dict[fx.Node, str], selected: dict[fx.Node, str]) -> HostPart:
        """Builds the host step: top-k, gathers and, in that layout, the tail; ``names`` are of the leaves' buffers."""
        inner = {node: f"{name}_tokens" if self._crosses_as_map(node) else name for node, name in selected.items()}
        host = HostProgramBuilder(self._graph_module, {self._selection.scores: "enc_scores", **inner})
        host.topk(self._selection.scores, self._selection.indices, self._selection.k, self._selection.axis)
        tokens: dict[fx.Node, str] = {}
        for leaf in leaves:
            buffer, shape = _buffer(leaf), sizes(value_of(leaf).shape)
            if self._crossing_shape(buffer) == shape:
                tokens[buffer] = names[buffer]
            elif buffer not in tokens:
                tokens[buffer] = f"{names[buffer]}_tokens"
                host.reshape(names[buffer], tokens[buffer], shape)
            host.rename(leaf, tokens[buffer])
        for node in self._graph_module.graph.nodes:
            if node in self._gathers:
                host.gather(node, self._selection.indices)
            elif node in self._tail:
                host.translate(node)
        for node, name in selected.items():
            if self._crosses_as_map(node):
                host.reshape(inner[node], name, self._crossing_shape(node))
        read = tuple(dict.fromkeys(names[_buffer(leaf)] for leaf in leaves))
        return host.finish(("enc_scores", *read), tuple(selected.values()))

    def _crosses_as_map(self, node: fx.Node) -> bool:
        return self._token_maps and value_of(node).dim() == 3

    def _crossing_shape(self, node: fx.Node) -> list[int]:
        """Returns the shape in which a value crosses from one part to another."""
        shape = sizes(value_of(node).shape)
        return map_shape(shape) if self._crosses_as_map(node) else shape

    def _read_by_b(self, side: set[fx.Node]) -> list[fx.Node]:
        """Returns the values of another part that graph B reads, in graph order."""
        read = {n for user in self._in_b for n in user.all_input_nodes if n in side and n.op == "call_function"}
        return [n for n in self._graph_module.graph.nodes if n in read]

    def _part_a(self, inputs: tuple[str, ...], results: list[tuple[fx.Node, str]]) -> Part:
        graph = fx.Graph()
        copies: dict[fx.Node, fx.Node] = {}
        names = iter(inputs)
        for node in self._graph_module.graph.nodes:
            if node.op == "placeholder":
                copies[node] = graph.placeholder(next(names))
                copies[node].meta = dict(node.meta)
            elif node in self._in_a:
                copies[node] = _copied(graph, node, copies)
        for node, _ in results:
            copies[node] = _reshaped(graph, copies[node], node, self._crossing_shape(node))
        graph.output(tuple(copies[node] for node, _ in results))
        return Part(_module(self._graph_module, graph), inputs, tuple(name for _, name in results))

    def _part_b(self, crossing: list[tuple[fx.Node, str]], outputs: tuple[str, ...]) -> Part:
        graph = fx.Graph()
        copies: dict[fx.Node, fx.Node] = {}
        for node, name in crossing:
            copies[node] = graph.placeholder(name)
            copies[node].meta = {"val": value_of(node).reshape(self._crossing_shape(node))}
            if node is self._rows:
                # PyTorch's indices have 64 bits, the host step's 32.
                copies[node].meta["val"] = copies[node].meta["val"].to(torch.int32)
        for node, _ in crossing:
            copies[node] = _reshaped(graph, copies[node], node, sizes(value_of(node).shape))
        for node in self._shared:
            undo_rearrangements(graph, node, copies)
        for node in self._graph_module.graph.nodes:
            if node in copies:
                continue
            if node in self._in_b and node.op == "call_function":
                for operand in node.all_input_nodes:
                    self._copy_to_b(operand, graph, copies, node)
                copies[node] = _copied(graph, node, copies)
        results = self._output.args[0]
        for result in list_of(results):
            self._copy_to_b(result, graph, copies, result)
        graph.output(tuple(copies[n] for n in list_of(results)))
        return Part(_module(self._graph_module, graph), tuple(name for _, name in crossing), outputs)

    def _copy_to_b(self, node: fx.Node, graph: fx.Graph, copies: dict[fx.Node, fx.Node], reader: fx.Node) -> None:
        """Copies a constant, or the views between a crossing buffer and ``node``, into graph B.

        Raises:
            RewriteRefusedError: graph B would need the image.
        """
        if node in copies:
            return
        if node.op == "placeholder":
            raise RewriteRefusedError(
                reader, "it reads the image after the selection", "only tensors of the encoder can cross the cut"
            )
        for operand in node.all_input_nodes:
            self._copy_to_b(operand, graph, copies, reader)
        copies[node] = _copied(graph, node, copies)


def _reshaped(graph: fx.Graph, copy: fx.Node, original: fx.Node, shape: list[int]) -> fx.Node:
    """Reshapes ``copy``, the copy of ``original``, to ``shape``."""
    if sizes(value_of(copy).shape) == shape:
        return copy
    node = graph.call_function(aten.reshape.default, (copy, shape))
    node.meta = {**original.meta, "val": value_of(original).reshape(shape)}
    return node


def _buffer(node: fx.Node) -> fx.Node:
    """Returns the earliest node with the same row-major buffer.

    Follows reshapes and permutes upwards, to the last one that leaves the order of the elements unchanged.
    """
    best, chain, current = node, [node], node
    while current.target in REARRANGEMENTS:
        current = current.all_input_nodes[0]
        chain.append(current)
    for start in range(1, len(chain)):
        view: View | None = View.of(chain[start])
        for step in reversed(chain[:start]):
            shape = sizes(value_of(step).shape)
            reshape = step.target is aten.reshape.default
            view = view and view.apply(lambda t, s=step, r=reshape, w=shape: t.view(w) if r else s.target(t, *s.args[1:]))  # type: ignore[misc]
        if view is not None and view.is_contiguous and value_of(chain[start]).dim() <= MAX_RANK:
            best = chain[start]
    return best


def _between(topk: fx.Node, gathers: list[fx.Node]) -> set[fx.Node]:
    """Returns the top-k and the nodes between it and the gathers."""
    reached = {topk}
    needed = ancestors(gathers)
    for node in topk.graph.nodes:
        if node in needed and any(n in reached for n in node.all_input_nodes):
            reached.add(node)
    return reached


def _copied(graph: fx.Graph, node: fx.Node, copies: dict[fx.Node, fx.Node]) -> fx.Node:
    copy = graph.node_copy(node, copies.__getitem__)
    copy.meta = dict(node.meta)
    return copy


def _module(source: fx.GraphModule, graph: fx.Graph) -> fx.GraphModule:
    """Returns a module that owns the constants that ``graph`` reads."""
    root = nn.Module()
    for node in graph.nodes:
        if node.op == "get_attr" and not hasattr(root, str(node.target)):
            value: Tensor = getattr(source, str(node.target))
            root.register_buffer(str(node.target), value)
    module = graph_module_of(root, graph)
    remove_dead_code(module)
    module.recompile()
    return module


def _numbered(stem: str, count: int) -> list[str]:
    """Returns ``stem`` alone, or ``stem_0``, ``stem_1`` … for several."""
    return [stem] if count == 1 else [f"{stem}_{i}" for i in range(count)]
