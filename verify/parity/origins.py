"""Where the tensors and operators of a .tflite file come from: PyTorch modules, fx nodes and rewrites, by the tensors' names.

litert-torch names a tensor after the location it was traced from, "PATH;" or "PATH;N", where N numbers equal names. The
conversion sets PATH to ``MODULE|REWRITES|_NODE``: module path, names of rewrites joined by "+", then an underscore and the name
of the fx node. Where the converter makes one operator of several, it joins their locations with another semicolon:
"A;;B;;C;3". Such a name holds, in files of this project:

- what was fused, in either order: "linear;;relu" of a FULLY_CONNECTED, "relu;;conv2d;;pad" of a CONV_2D;
- and what was merely read, since a constant has a location too. Equal constants are merged, and the one that stays has the
  location of the first node that needed it: the axes of a sum, the zero of a ReLU. So the softmax of every layer is named
  after its own node and after the first layer's: "softmax_1;;softmax".

The second kind differs from the first in the order of execution: a node that an earlier operator was named after is not what
this one computes, if the name has a newer one. In files of all families that were looked at (tiny, dfine-tiny, tiny-seg,
tiny-keypoints, nano, seg-nano, D-FINE-S, RT-DETRv2-R18), what is left always includes the name's first location.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from detr2litert.host_runtime.tflite.graph import Graph, Op

_LOCATION = re.compile(r"([^;]+);(\d*)(?:;|$)")
_OURS = re.compile(r"^(?P<module>[^|]*)\|(?P<rewrites>[^|]*)\|_(?P<node>.+)$")
# One step of litert-torch's own path: dotted class name, underscore, attribute ("torch.nn.modules.linear.Linear_fc1").
_STEP = re.compile(r"^(?:[\w<>]+\.)*[A-Za-z0-9<>]+_(?P<attribute>.+)$")
# Operators that do the work of a convolution or a matrix product, and the nodes whose work that is.
_PRODUCTS = frozenset({"BATCH_MATMUL", "CONV_2D", "CONV_3D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV"})
_PRODUCT = re.compile(r"conv|linear|matmul|(b|add|baddb)?mm(_|$)")


@dataclass(frozen=True)
class TensorOrigin:
    """The origin of a tensor of a .tflite file.

    Attributes:
        module: path of the PyTorch module, "" for the root or where the name does not contain it.
        rewrites: the rewrites that made the node, in order; empty for an original node or a foreign file.
        node: name of the fx node; None for a foreign file.
    """

    module: str
    rewrites: tuple[str, ...] = ()
    node: str | None = None

    def __str__(self) -> str:
        parts = [f"module {self.module or '(root)'}"]
        if self.node is not None:
            parts.append(f"node {self.node}")
        parts.append(f"made by {' + '.join(self.rewrites)}" if self.rewrites else "no rewrite")
        return ", ".join(parts if self.node is not None else parts[:1])

    @property
    def depth(self) -> int:
        """Returns how many modules contain the node."""
        return len(self.module.split(".")) if self.module else 0


def parse_origins(name: str) -> tuple[TensorOrigin, ...]:
    """Parses every location in a tensor's name, in its order; empty if it contains none.

    Not all of them need be what the tensor holds (see the module's docstring): ``GraphOrigins`` separates them. A file of
    another conversion yields the module alone if litert-torch named it; names of other converters yield nothing.
    """
    found: list[TensorOrigin] = []
    for match in _LOCATION.finditer(name):
        path = match[1]
        ours = _OURS.match(path)
        if ours:
            origin = TensorOrigin(ours["module"], tuple(r for r in ours["rewrites"].split("+") if r), ours["node"])
        else:
            steps = [step for step in map(_STEP.match, path.split("/")[1:]) if step]
            origin = TensorOrigin(".".join(step["attribute"] for step in steps))
            if not steps and "/" in path:
                continue
        if origin not in found:
            found.append(origin)
    return tuple(found)


@dataclass(frozen=True)
class GraphOrigins:
    """The origins of a graph's tensors and operators.

    Attributes:
        values: tensor index to the nodes fused into its operator, in the name's order; tensors without any are absent.
        operators: operator index to the node whose work the operator does; operators whose outputs have no origin are absent.
    """

    values: Mapping[int, tuple[TensorOrigin, ...]]
    operators: Mapping[int, TensorOrigin]

    @classmethod
    def of(cls, graph: Graph) -> GraphOrigins:
        """Reads the names of all that a graph's operators compute.

        The work of a fused operator is that of the convolution or product in it, if there is one, and else that of its node in
        the innermost module, the first of several.
        """
        seen: dict[TensorOrigin, int] = {}
        values: dict[int, tuple[TensorOrigin, ...]] = {}
        operators: dict[int, TensorOrigin] = {}
        for op in graph.ops:
            for tensor in op.outputs:
                named = parse_origins(graph.tensors[tensor].name)
                if not named:
                    continue
                if graph.is_runtime(tensor):
                    for origin in named:
                        seen.setdefault(origin, op.index)
                # A constant that is unpacked comes before the operator that it is named after, and makes no node older.
                age = {origin: seen.get(origin, op.index) for origin in named}
                newest = max(age.values())
                values[tensor] = tuple(origin for origin in named if age[origin] == newest)
                if op.index not in operators:
                    operators[op.index] = _work(op, named, values[tensor], age)
        return cls(values, operators)


def _work(
    op: Op, named: tuple[TensorOrigin, ...], own: tuple[TensorOrigin, ...], age: Mapping[TensorOrigin, int]
) -> TensorOrigin:
    """Chooses the node whose work an operator does.

    Among all that it is named after, since the padding of a convolution may be an operator of its own, named after the same
    node and executed before.
    """
    products = [origin for origin in named if op.name in _PRODUCTS and _PRODUCT.match(origin.node or "")]
    if products:
        return max(products, key=lambda origin: age[origin])
    return max(own, key=lambda origin: origin.depth)


def describe_origin(graph: Graph, tensor: int) -> str:
    """Describes a tensor's origin; for a name without one (an output has its signature's name), its inputs'."""
    origins = GraphOrigins.of(graph)
    if found := _described(graph, origins, tensor):
        return found
    seen, frontier = {tensor}, [tensor]
    while frontier:
        maker = graph.producer(frontier.pop(0))
        for source in maker.inputs if maker else ():
            if source in seen or not graph.is_runtime(source):
                continue
            if found := _described(graph, origins, source):
                return f"next after {found}"
            seen.add(source)
            frontier.append(source)
    return "origin unknown"


def _described(graph: Graph, origins: GraphOrigins, tensor: int) -> str:
    """Describes the node whose work made a tensor, and what was fused with it; "" without an origin."""
    maker = graph.producer(tensor)
    if maker is None or tensor not in origins.values:
        return ""
    work = origins.operators[maker.index]
    fused = [f"{one.node} of {one.module or '(root)'}" for one in origins.values[tensor] if one != work and one.node]
    return f"{work}{', fused with ' + ' and '.join(fused) if fused else ''}"
