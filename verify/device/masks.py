"""The masks of a run's detections, for the gate of the detections.

The app runs graph M for the golden picture's best queries. Where the device detects with another query, since it ranks nearly
equal scores differently, its mask is computed here, from the embeddings that the device gave.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType

import numpy as np

from detr2litert.host_runtime.bundle import Bundle
from detr2litert.host_runtime.compiled_graph import CompiledGraph
from detr2litert.host_runtime.masks import Mask, mask_of
from detr2litert.host_runtime.placement import place
from detr2litert.verify.device.protocol import Array


class MaskSource:
    """Gives the masks of queries of a picture; a context, which holds graph M on this machine's CPU.

    Attributes:
        computed_here: how many masks of a device were computed here, since its graph M was not asked for them.

    Args:
        bundle: with masks.
        size: of the picture, (width, height) in pixels.
    """

    def __init__(self, bundle: Bundle, size: tuple[int, int]) -> None:
        manifest = bundle.manifest
        assert manifest.graphs.m is not None and manifest.postprocess.masks is not None
        self._spec, self._graph_spec = manifest.postprocess.masks, manifest.graphs.m
        self._placement = place(size, manifest.preprocess)
        self._graph = CompiledGraph(bundle.path(self._graph_spec.file), self._graph_spec)
        self.computed_here = 0

    def __enter__(self) -> MaskSource:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._graph.close()

    def masks_of(self, last: Mapping[str, Array], queries: Sequence[int], own: tuple[Array, Array] | None = None) -> list[Mask]:
        """Returns the masks of queries.

        Args:
            last: the embeddings, outputs of the last graph.
            queries: indices, which may occur more than once.
            own: the queries that a device ran its graph M for, ``[K]``, and what it gave, ``[1, h, w, K]``.
        """
        given: dict[int, Array] = {}
        if own is not None:
            kept, logits = own[0].tolist(), own[1]
            given = {query: logits[0, ..., kept.index(query)] for query in queries if query in kept}
        lacking = sorted(set(queries) - set(given))
        self.computed_here += 0 if own is None else len(lacking)
        for some, values in self._computed(last, lacking):
            given.update({query: values[0, ..., index] for index, query in enumerate(some)})
        found = {query: mask_of(values, self._placement, self._spec.activation) for query, values in given.items()}
        return [found[query] for query in queries]

    def logits(self, last: Mapping[str, Array], kept: Array) -> Array:
        """Computes what graph M gives here for those queries, ``[1, h, w, K]``."""
        embeddings = {spec.name: last[spec.name] for spec in self._graph_spec.inputs if spec.name != self._spec.kept}
        values: Array = self._graph({**embeddings, self._spec.kept: kept})[self._spec.output]
        return values

    def _computed(self, last: Mapping[str, Array], queries: Sequence[int]) -> list[tuple[Sequence[int], Array]]:
        (room,) = next(spec.shape for spec in self._graph_spec.inputs if spec.name == self._spec.kept)
        calls = []
        for start in range(0, len(queries), room):
            some = queries[start : start + room]
            kept = np.zeros(room, np.int32)
            kept[: len(some)] = some
            calls.append((some, self.logits(last, kept)))
        return calls
