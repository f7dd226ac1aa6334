"""Frames a second with more work at a time: batches of an engine that has them, and several threads of a bundle of batch 1."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from detr2litert.host_runtime.errors import UserError
from detr2litert.verify.bench.contender import BatchContender, Contender, Picture
from detr2litert.verify.bench.interleave import time_frame
from detr2litert.verify.gates import Doing, unheard

BATCH, WORKERS = "batch", "threads"
_LEAST = 3
_LARGEST = 1024


@dataclass(frozen=True)
class Scaled:
    """The throughput of one size.

    Attributes:
        kind: ``BATCH``: pictures in one call; or ``WORKERS``: threads with a batch-1 detector each.
        size: how many.
        frames_per_second: end to end, from the file to the detections.
        against_one: the same, as a multiple of size 1's.
        batch_ms: median time of a batch; None for threads.
        frame_ms: of a batch, the time per picture in it; of threads, the median time of one frame.
        frames: that were timed.
    """

    kind: str
    size: int
    frames_per_second: float
    against_one: float
    batch_ms: float | None
    frame_ms: float
    frames: int


def parse_sizes(text: str) -> tuple[int, ...]:
    """Returns the sizes of ``"1,2,4,8"``, ascending, with 1 among them since all others are compared with it.

    Raises:
        UserError: one is not a whole number from 1 to 1024.
    """
    sizes = {1}
    for part in text.split(","):
        word = part.strip()
        if not (word.isascii() and word.isdecimal() and len(word) <= 4 and 1 <= int(word) <= _LARGEST):
            raise UserError(f"--batch {text}: {word or 'an empty entry'} is not a whole number from 1 to {_LARGEST}")
        sizes.add(int(word))
    return tuple(sorted(sizes))


def best(rows: Sequence[Scaled]) -> Scaled:
    """Returns the row with the most frames a second; of equal ones the smallest."""
    return max(rows, key=lambda row: (row.frames_per_second, -row.size))


def run_batches(
    contender: BatchContender,
    pictures: Sequence[Picture],
    runs: int,
    sizes: Sequence[int],
    *,
    seed: int = 0,
    doing: Doing = unheard,
) -> tuple[list[Scaled], str]:
    """Times batches of each size, from the files to the detections, in a random order of sizes that a seed fixes.

    Args:
        contender: that computes batches.
        pictures: used in turn.
        runs: pictures for each size, in at least three batches.
        sizes: with 1 among them.
        seed: of the order.
        doing: called with a description of the progress.

    Returns:
        A row for each size; and why there is none, "" if there are.
    """
    if contender.fixed_batch is not None:
        return [], f"the file computes batches of {contender.fixed_batch} only; export it with --dynamic-batch"

    def run(size: int, first: int) -> float:
        start = time.perf_counter()
        contender.infer_batch([contender.prepare(pictures[(first + i) % len(pictures)]) for i in range(size)])
        return (time.perf_counter() - start) * 1e3

    order = [size for size in sizes for _ in range(max(_LEAST, runs // size))]
    np.random.default_rng(seed).shuffle(order)
    taken: dict[int, list[float]] = {size: [] for size in sizes}
    for size in sizes:
        doing(f"{contender.name}: warming up batches of {size}")
        run(size, 0)
    done = 0
    for number, size in enumerate(order):
        doing(f"{contender.name}: batch {number + 1} of {len(order)}")
        taken[size].append(run(size, done))
        done += size
    rate = {size: 1e3 * size * len(times) / sum(times) for size, times in taken.items()}
    rows = []
    for size, times in taken.items():
        batch = float(np.median(times))
        rows.append(Scaled(BATCH, size, rate[size], rate[size] / rate[1], batch, batch / size, size * len(times)))
    return rows, ""


def run_workers(
    make: Callable[[int], Contender],
    pictures: Sequence[Picture],
    runs: int,
    sizes: Sequence[int],
    *,
    warm_up: int = 1,
    doing: Doing = unheard,
) -> list[Scaled]:
    """Times several threads, each with a batch-1 contender of its own, on a common queue of frames.

    Args:
        make: makes a contender for one of so many threads.
        pictures: used in turn.
        runs: frames for each size, at least three for each thread.
        sizes: numbers of threads, with 1 among them.
        warm_up: untimed frames of each thread.
        doing: called with a description of the progress.

    Raises:
        UserError: a contender cannot be made, or cannot compute a picture.
    """
    rows: list[Scaled] = []
    for size in sizes:
        doing(f"{size} threads")
        contenders: list[Contender] = []
        try:
            contenders += [make(size) for _ in range(size)]
            latency, seconds = _run_workers(contenders, pictures, max(runs, _LEAST * size), warm_up)
        finally:
            for contender in contenders:
                contender.close()
        rate = len(latency) / seconds
        one = rows[0].frames_per_second if rows else rate
        rows.append(Scaled(WORKERS, size, rate, rate / one, None, float(np.median(latency)), len(latency)))
    return rows


def _run_workers(
    contenders: Sequence[Contender], pictures: Sequence[Picture], frames: int, warm_up: int
) -> tuple[list[float], float]:
    """Returns the milliseconds of every frame, and the seconds from the common start to the end of the last."""
    numbers = iter(range(frames))
    lock = threading.Lock()
    start = threading.Barrier(len(contenders) + 1)

    def work(contender: Contender) -> list[float]:
        taken: list[float] = []
        try:
            for _ in range(warm_up):
                time_frame(contender, pictures[0])
        except BaseException:
            start.abort()  # or the others would wait for ever
            raise
        start.wait()
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return taken
            began = time.perf_counter()
            time_frame(contender, pictures[number % len(pictures)])
            taken.append((time.perf_counter() - began) * 1e3)

    with ThreadPoolExecutor(len(contenders), thread_name_prefix="bench") as executor:
        running = [executor.submit(work, contender) for contender in contenders]
        try:
            start.wait()
        except threading.BrokenBarrierError:
            failed = [one.exception() for one in running]
            raise next(error for error in failed if error and not isinstance(error, threading.BrokenBarrierError)) from None
        began = time.perf_counter()
        latency = [milliseconds for one in running for milliseconds in one.result()]
        return latency, time.perf_counter() - began
