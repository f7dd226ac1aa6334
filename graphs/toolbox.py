"""Reads functional ATen graphs, and adds nodes to them with shape and provenance.

In such a graph placeholders are the model's inputs, ``get_attr`` nodes are constant tensors, and every
node carries ``meta["val"]``, a tensor on the ``meta`` device (or a tuple of them) with its shape and dtype.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx._lazy_graph_module import _LazyGraphModule

from detr2litert.graphs.provenance import inherit

aten = torch.ops.aten


class RewriteRefusedError(Exception):
    """A graph contains something that no rewrite can bring to the GPU.

    Attributes:
        op, node, module, shape: its location.
        hint: what the user can do about it.
    """

    def __init__(self, node: fx.Node, reason: str, hint: str) -> None:
        self.op = str(node.target)
        self.node = node.name
        self.module = module_of(node)
        self.shape = shape_text(node)
        self.hint = hint
        super().__init__(f"{self.op} {self.shape} at {node.name} in {self.module or 'the top module'}: {reason}; {hint}")


def module_of(node: fx.Node) -> str:
    """Returns the dotted path of the module that the node was traced from, or ""."""
    stack = node.meta.get("nn_module_stack") or {}
    paths = [entry[0] for entry in stack.values()]
    return str(paths[-1]) if paths else ""


def shape_text(node: fx.Node) -> str:
    """Formats the shape of a node's value."""
    value = node.meta.get("val")
    if isinstance(value, Tensor):
        return str(list(value.shape))
    return "[" + ", ".join(str(list(v.shape)) for v in value if isinstance(v, Tensor)) + "]" if value else ""


def value_of(node: fx.Node) -> Tensor:
    """Returns the node's value as a meta tensor.

    Raises:
        TypeError: the node has several values or none.
    """
    value = node.meta.get("val")
    if not isinstance(value, Tensor):
        raise TypeError(f"{node.name} has no single tensor value")
    return value


def constant_of(graph_module: fx.GraphModule, node: object) -> Tensor | None:
    """Returns the tensor of a ``get_attr`` node, or None for anything else."""
    if isinstance(node, fx.Node) and node.op == "get_attr":
        value = getattr(graph_module, str(node.target))
        return value if isinstance(value, Tensor) else None
    return None


def graph_module_of(root: nn.Module, graph: fx.Graph) -> fx.GraphModule:
    """Returns a graph module with the root's constants, whose Python code is generated at the first call.

    Many changes, each of which ends with ``recompile``, are made between two calls of a graph: generating the code each time
    would take as long as the changes.
    """
    return _LazyGraphModule(root, graph)


def has_constant_parameters(graph_module: fx.GraphModule, layer: fx.Node) -> bool:
    """Returns True if the weight and the bias, if any, of a linear layer or convolution are constants."""
    bias = argument(layer, 2, "bias", None)
    return constant_of(graph_module, layer.args[1]) is not None and (
        bias is None or constant_of(graph_module, bias) is not None
    )


def is_call(node: object, *targets: Any) -> bool:
    """Returns True if ``node`` calls one of the given ATen overloads."""
    return isinstance(node, fx.Node) and node.op == "call_function" and node.target in targets


def list_of(nodes: Any) -> list[fx.Node]:
    """Returns the nodes of a list argument, such as the parts of a concatenation."""
    return list(nodes)


def only_user(node: fx.Node) -> fx.Node | None:
    """Returns the node's single user, or None if it has several or none."""
    return next(iter(node.users)) if len(node.users) == 1 else None


def meta_like(value: Any) -> Any:
    """Returns ``value`` with every tensor moved to the meta device."""
    return torch.utils._pytree.tree_map(lambda v: v.to("meta") if isinstance(v, Tensor) else v, value)


class Emitter:
    """Adds nodes to a graph, each with its shape and with the provenance of the node it replaces.

    Args:
        graph_module: the graph to extend.
        source: the node being replaced; new nodes go before it and inherit its modules and history.
        provenance: the node whose modules and history to inherit, if it is not ``source``.
    """

    def __init__(self, graph_module: fx.GraphModule, source: fx.Node, provenance: fx.Node | None = None) -> None:
        self.graph_module = graph_module
        self.source = source
        self._parent = provenance or source

    def __call__(self, target: Any, *args: Any, **kwargs: Any) -> fx.Node:
        """Emits ``target(*args, **kwargs)`` before the source node."""
        with self.graph_module.graph.inserting_before(self.source):
            node = self.graph_module.graph.call_function(target, args, kwargs)
        return self._describe(node, evaluate_meta(node))

    def constant(self, value: Tensor, name: str = "constant") -> fx.Node:
        """Registers a constant tensor and emits the node that reads it."""
        with self.graph_module.graph.inserting_before(self.source):
            node = add_constant(self.graph_module, value, name)
        return self._describe(node, value.to("meta"))

    def _describe(self, node: fx.Node, value: Any) -> fx.Node:
        node.meta["val"] = value
        inherit(node, self._parent)
        return node


def add_constant(graph_module: fx.GraphModule, value: Tensor, name: str) -> fx.Node:
    """Registers ``value`` as a buffer under a free name like ``name`` and adds its ``get_attr`` node at the insertion point."""
    free = register_constant(graph_module, value.detach().contiguous(), name)
    node = graph_module.graph.get_attr(free)
    node.meta["val"] = value.to("meta")
    return node


def register_constant(module: nn.Module, value: Tensor, name: str) -> str:
    """Registers ``value`` as a buffer under a free name like ``name``, and returns that name."""
    stem = "".join(c if c.isalnum() else "_" for c in name)
    free, count = stem, 0
    while hasattr(module, free):
        count += 1
        free = f"{stem}_{count}"
    module.register_buffer(free, value)
    return free


def evaluate_meta(node: fx.Node) -> Any:
    """Evaluates a ``call_function`` node on the meta values of its arguments."""
    args, kwargs = fx.node.map_arg((node.args, node.kwargs), lambda n: n.meta["val"])
    kwargs = {k: "meta" if k == "device" else v for k, v in kwargs.items()}
    with torch.no_grad():
        return node.target(*args, **kwargs)  # type: ignore[operator]


def replace(node: fx.Node, replacement: fx.Node) -> None:
    """Replaces all uses of ``node`` with ``replacement`` and removes it."""
    node.replace_all_uses_with(replacement)
    node.graph.erase_node(node)


def remove_dead_code(graph_module: fx.GraphModule) -> int:
    """Removes nodes that no output depends on, and unused constants; returns the number of removed nodes.

    Placeholders are not removed: they are the graph's signature.
    """
    removed = 0
    for node in reversed(list(graph_module.graph.nodes)):
        if node.op in ("call_function", "get_attr") and not node.users:
            graph_module.graph.erase_node(node)
            removed += 1
    read = {str(node.target) for node in graph_module.graph.nodes if node.op == "get_attr"}
    for name in [name for name, _ in graph_module.named_buffers() if name not in read]:
        delattr(graph_module, name)
    return removed


def ancestors(nodes: Iterable[fx.Node]) -> set[fx.Node]:
    """Returns the given nodes and everything they depend on."""
    found: set[fx.Node] = set()
    pending = list(nodes)
    while pending:
        node = pending.pop()
        if node not in found:
            found.add(node)
            pending.extend(node.all_input_nodes)
    return found


def calls(graph_module: fx.GraphModule, *targets: Any) -> list[fx.Node]:
    """Returns the graph's calls to any of the given overloads, in order."""
    return [node for node in graph_module.graph.nodes if is_call(node, *targets)]


def sizes(shape: Iterable[int]) -> list[int]:
    """Returns a shape as plain integers."""
    return [int(s) for s in shape]


def pair(value: Any) -> list[int]:
    """Returns a height and a width, which may be given as one number or as a list of one."""
    values = list(value) if isinstance(value, list | tuple) else [value]
    return [int(v) for v in (values if len(values) == 2 else values * 2)]


def normalise_dim(dim: int, rank: int) -> int:
    """Returns a dimension counted from the front."""
    return dim + rank if dim < 0 else dim


def argument(node: fx.Node, index: int, name: str, default: Any) -> Any:
    """Returns an argument of a call by position or keyword, or its default."""
    if len(node.args) > index:
        return node.args[index]
    return node.kwargs.get(name, default)
