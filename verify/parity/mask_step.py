"""The third graph in a chain of graphs that run one by one: what it is called with, and how its results join the others.

A chain's last outputs are boxes, logits and the embeddings of masks. The step decodes which queries are kept, calls graph M
with them, and joins the calls to the outputs, so that decoding these gives detections with masks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detr2litert.host_runtime.decode import Detections, decode_outputs
from detr2litert.host_runtime.manifest import Manifest
from detr2litert.host_runtime.mask_graph import batches, masks_of_calls
from detr2litert.host_runtime.masks import Mask
from detr2litert.verify.delegate.run import DelegateRun

Arrays = Mapping[str, NDArray[Any]]

_NONE = Mask(1, 1, "1")


@dataclass(frozen=True)
class MaskStep:
    """How masks are computed of the detections above a score.

    Attributes:
        manifest: of a bundle with masks.
        threshold: of the score.
    """

    manifest: Manifest
    threshold: float

    def calls(self, outputs: Arrays) -> tuple[dict[str, NDArray[Any]], ...]:
        """Returns graph M's inputs for one picture: a set a call; none where nothing is detected, or a value is NaN."""
        queries: list[int] = []

        def kept(which: Sequence[int]) -> list[Mask]:
            queries.extend(which)
            return [_NONE] * len(which)

        try:
            # Which detections are kept does not depend on the picture's size.
            decode_outputs(self.manifest, outputs, (1, 1), threshold=self.threshold, masks_of=kept)
        except ValueError:
            return ()
        masks, graph = self.manifest.postprocess.masks, self.manifest.graphs.m
        assert masks is not None and graph is not None
        given = {spec.name: np.asarray(outputs[spec.name], spec.dtype) for spec in graph.inputs if spec.name != masks.kept}
        return tuple({**given, masks.kept: some} for some in batches(self.manifest, queries))

    def joined(self, outputs: Arrays, calls: Sequence[Arrays], results: Sequence[Arrays]) -> dict[str, NDArray[Any]]:
        """Returns one picture's outputs with those of its calls, for ``decode_with_masks``."""
        masks, graph = self.manifest.postprocess.masks, self.manifest.graphs.m
        assert masks is not None and graph is not None
        room = {spec.name: spec.shape for spec in (*graph.inputs, *graph.outputs)}
        kept = np.array([one[masks.kept] for one in calls], np.int32).reshape(-1, *room[masks.kept])
        logits = np.array([one[masks.output] for one in results], np.float32).reshape(-1, *room[masks.output])
        return {**outputs, masks.kept: kept, masks.output: logits}


def add_masks(
    step: MaskStep, outputs: Sequence[Arrays], run: Callable[[tuple[Arrays, ...]], DelegateRun]
) -> tuple[tuple[dict[str, NDArray[Any]], ...], DelegateRun]:
    """Runs graph M for pictures and joins its results to their outputs.

    Args:
        step: how it is called.
        outputs: of the graph before it, one set a picture.
        run: runs graph M on all input sets.

    Returns:
        The joined outputs, none if the graph did not run, and the run.
    """
    calls = [step.calls(one) for one in outputs]
    ran = run(tuple(call for picture in calls for call in picture))
    if not ran.ok:
        return (), ran
    results = iter(ran.outputs)
    return tuple(step.joined(one, some, [next(results) for _ in some]) for one, some in zip(outputs, calls, strict=True)), ran


def decode_with_masks(manifest: Manifest, outputs: Arrays, size: tuple[int, int], threshold: float) -> Detections:
    """Decodes the last graph's outputs, with masks where ``MaskStep.joined`` added them.

    Args:
        manifest: of the bundle.
        outputs: by name.
        size: width and height of the picture.
        threshold: of the score; with masks, not below the step's.

    Raises:
        ValueError: NaN, or shapes that do not fit.
    """
    masks = manifest.postprocess.masks
    if masks is None or masks.output not in outputs:
        return decode_outputs(manifest, outputs, size, threshold=threshold)
    calls = list(zip(outputs[masks.kept], outputs[masks.output], strict=True))

    def masks_of(queries: Sequence[int]) -> list[Mask]:
        return masks_of_calls(manifest, calls, queries, size)

    return decode_outputs(manifest, outputs, size, threshold=threshold, masks_of=masks_of)
