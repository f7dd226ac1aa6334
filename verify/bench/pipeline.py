"""Frames in a pipeline: while the detector computes one picture, a thread decodes and normalises the next.

That is what an application with a queue does. It gives more frames a second and no shorter latency, as a prepared picture waits
for the detector. So both are reported apart.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from detr2litert.verify.bench.contender import Contender, Picture, Prepared


@dataclass(frozen=True)
class Pipelined:
    """A run in a pipeline.

    Attributes:
        latency: milliseconds of each frame from the start of its decoding to its detections, waiting included.
        frames_per_second: over the whole run, the first frame's decoding included.
    """

    latency: tuple[float, ...]
    frames_per_second: float


def run_pipeline(contender: Contender, pictures: Sequence[Picture], runs: int) -> Pipelined:
    """Runs ``runs`` frames, each of which is prepared while the one before is computed.

    Raises:
        UserError: a picture cannot be read, or the contender cannot compute it.
    """

    def prepare(number: int) -> tuple[float, Prepared]:
        start = time.perf_counter()
        return start, contender.prepare(pictures[number % len(pictures)])

    latency = []
    with ThreadPoolExecutor(1, thread_name_prefix="prepare") as executor:
        began = time.perf_counter()
        following: Future[tuple[float, Prepared]] = executor.submit(prepare, 0)
        for number in range(runs):
            start, prepared = following.result()
            if number + 1 < runs:
                following = executor.submit(prepare, number + 1)
            contender.infer(prepared)
            latency.append((time.perf_counter() - start) * 1e3)
        seconds = time.perf_counter() - began
    return Pipelined(tuple(latency), runs / seconds)
