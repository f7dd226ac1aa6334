"""Records a node's provenance: the rewrites that made it and the node that it replaces.

Two keys of ``node.meta`` are PyTorch's own: ``val``, the node's value on the meta device, and ``nn_module_stack``, the modules
that it was traced in. This project adds one typed record.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from torch import fx

_KEY = "provenance"
_MODULES = "nn_module_stack"


@dataclass(frozen=True)
class Provenance:
    """The provenance of a node.

    Attributes:
        rewrites: names of the rewrites that produced it, in order.
        origin: name of the original node in a graph that was rebuilt, "" in one that was changed in place.
    """

    rewrites: tuple[str, ...] = ()
    origin: str = ""


_NONE = Provenance()


def provenance_of(node: fx.Node) -> Provenance:
    """Returns the record of a node; an empty one for a node that no rewrite made."""
    found = node.meta.get(_KEY, _NONE)
    assert isinstance(found, Provenance)
    return found


def inherit(node: fx.Node, source: fx.Node, origin: str = "") -> None:
    """Copies the modules and the history of ``source`` to ``node``, which replaces it."""
    if _MODULES in source.meta:
        node.meta[_MODULES] = source.meta[_MODULES]
    node.meta[_KEY] = Provenance(provenance_of(source).rewrites, origin)


def stamp(nodes: Iterable[fx.Node], rewrite: str) -> None:
    """Adds a rewrite to the history of the nodes that it made; nodes without a record (some constants) are skipped."""
    for node in nodes:
        record = node.meta.get(_KEY)
        if isinstance(record, Provenance):
            node.meta[_KEY] = replace(record, rewrites=(*record.rewrites, rewrite))
