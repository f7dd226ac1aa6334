"""Where a node comes from: the rewrites that made it and the node that it stands for.

Two keys of ``node.meta`` are PyTorch's own: ``val``, the node's value on the meta device, and ``nn_module_stack``, the modules
that it was traced in. All that this project knows about a node beside is one typed record.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from torch import fx

_KEY = "provenance"
_MODULES = "nn_module_stack"


@dataclass(frozen=True)
class Provenance:
    """What made a node.

    Attributes:
        rewrites: names of the rewrites that it has been through, the first one first.
        origin: name of the node that it stands for in a graph that was rebuilt, "" in one that was changed in place.
    """

    rewrites: tuple[str, ...] = ()
    origin: str = ""


_NONE = Provenance()


def provenance_of(node: fx.Node) -> Provenance:
    """The record of a node; an empty one for a node that no rewrite has made."""
    found = node.meta.get(_KEY, _NONE)
    assert isinstance(found, Provenance)
    return found


def inherit(node: fx.Node, source: fx.Node, origin: str = "") -> None:
    """Record that ``node`` was made in the place of ``source``: same modules, same history."""
    if _MODULES in source.meta:
        node.meta[_MODULES] = source.meta[_MODULES]
    node.meta[_KEY] = Provenance(provenance_of(source).rewrites, origin)


def stamp(nodes: Iterable[fx.Node], rewrite: str) -> None:
    """Add a rewrite to the history of the nodes that it has made; nodes without a record (constants of none) stay without."""
    for node in nodes:
        record = node.meta.get(_KEY)
        if isinstance(record, Provenance):
            node.meta[_KEY] = replace(record, rewrites=(*record.rewrites, rewrite))
