"""Calls of graph M: the queries of a picture, some at a time, and the masks of the logits that come back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detr2litert.host_runtime.manifest import Manifest
from detr2litert.host_runtime.masks import Mask, mask_of
from detr2litert.host_runtime.placement import place

Array = NDArray[Any]


def batches(manifest: Manifest, queries: Sequence[int]) -> list[Array]:
    """Returns graph M's input of query indices, int32 [K], of each call that the queries need; the last is filled up with 0.

    Args:
        manifest: of a bundle with masks.
        queries: indices, which may occur more than once.
    """
    masks, graph_m = manifest.postprocess.masks, manifest.graphs.m
    assert masks is not None and graph_m is not None
    (room,) = next(spec.shape for spec in graph_m.inputs if spec.name == masks.kept)
    distinct = sorted(set(queries))
    calls = []
    for start in range(0, len(distinct), room):
        some = distinct[start : start + room]
        kept = np.zeros(room, np.int32)
        kept[: len(some)] = some
        calls.append(kept)
    return calls


def masks_of_calls(
    manifest: Manifest, calls: Sequence[tuple[Array, Array]], queries: Sequence[int], size: tuple[int, int]
) -> list[Mask]:
    """Returns the mask of each query, not yet cut to its box.

    Args:
        manifest: of a bundle with masks.
        calls: graph M's input [K] and output [1, h, w, K] of each call.
        queries: indices that occur in the calls.
        size: width and height of the picture in pixels.
    """
    placement = place(size, manifest.preprocess)
    masks, wanted = manifest.postprocess.masks, set(queries)
    assert masks is not None
    found: Mapping[int, Mask] = {
        query: mask_of(logits[0, ..., column], placement, masks.activation)
        for kept, logits in calls
        # Of a query that occurs twice, as a filled-up 0 does, one is enough.
        for query, column in {int(query): column for column, query in enumerate(kept)}.items()
        if query in wanted
    }
    return [found[query] for query in queries]
