"""Finds the first operator that the delegate computes wrong, and the smallest part of the graph that shows it.

By prefixes: the graph up to an operator is a graph of its own, whose only output is that operator's. Nothing after it can be
fused with it, and nothing is added, as taps are. Then operators are taken away at the front: the part from operator j on, with
the CPU's own values as its inputs, as long as it is still wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from detr2litert.host_runtime.tflite.graph import Graph, read_graph
from detr2litert.verify.arrays import Arrays
from detr2litert.verify.delegate.adapters import Driver
from detr2litert.verify.delegate.run import Job, Outcome, run_models
from detr2litert.verify.numbers.compare import compare, failing, sensitive
from detr2litert.verify.numbers.extract import write_part
from detr2litert.verify.numbers.inputs import moved
from detr2litert.verify.numbers.reference import write_reference
from detr2litert.verify.parity.locate import inner_values
from detr2litert.verify.parity.taps import runtime_ancestors


@dataclass(frozen=True)
class FirstWrong:
    """The place.

    Attributes:
        op: index of the operator in the whole graph.
        ops: the operators of the smallest part, the last of which is ``op``; only they are needed to see the fault.
        part: the file of that part, with ``inputs`` on which it is wrong.
        inputs: by the part's signature names.
        runs: of the delegate that it took.
    """

    op: int
    ops: tuple[int, ...]
    part: Path
    inputs: Arrays
    runs: int


def first_wrong(
    model: Path,
    inputs: Arrays,
    output: str,
    driver: Driver,
    folder: Path,
    *,
    limit: float,
    timeout: float,
    settle: bool,
    max_runs: int = 40,
) -> FirstWrong | None:
    """Finds it, for one output that differs on one input set; None if no prefix shows the fault.

    Args:
        model: a file whose first entry is meant (``extract.write_entry``).
        inputs: by signature name.
        output: the signature's name of the output that differs.
        driver: how to reach the GPU.
        folder: for the parts.
        limit, timeout: as for the gate.
        settle: as for ``run_models``: False where a run of the whole takes seconds only.
        max_runs: of the delegate.

    Raises:
        LocateError: the CPU's own values cannot be read.
    """
    graph = read_graph(model)
    target = graph.signature_outputs[output]
    values = inner_values(write_reference(model, folder / "reference.tflite"), graph, inputs)
    values |= {index: inputs[name] for name, index in graph.signature_inputs.items()}
    search = _Search(model, graph, values, driver, folder, limit, timeout, settle, max_runs)
    way = _ops_of(graph, target)
    last = _bisect(way, lambda position: search.wrong(way[: position + 1]))
    if last is None:  # a fault of an output that is read as well: with all outputs, and what reads them
        search.all_outputs, way = True, [op.index for op in graph.ops]
        last = _bisect(way, lambda position: search.wrong(way[: position + 1]))
    if last is None:
        return None
    ops = search.shrink(way[: last + 1])
    part = folder / "part.tflite"
    return FirstWrong(way[last], tuple(ops), part, search.write(ops, part), search.runs)


def _ops_of(graph: Graph, target: int) -> list[int]:
    """Returns the operators that a tensor is computed by, in order; those that unpack a constant are left out."""
    tensors = runtime_ancestors(graph, target) | {target}
    return [op.index for op in graph.ops if tensors & set(op.outputs)]


def _bisect(way: Sequence[int], wrong: Callable[[int], bool]) -> int | None:
    """Returns a position that is wrong and whose predecessor is right; None if the whole is right."""
    if not way or not wrong(len(way) - 1):
        return None
    low, high = -1, len(way) - 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if wrong(middle) else (middle, high)
    return high


@dataclass
class _Search:
    model: Path
    graph: Graph
    values: dict[int, NDArray[Any]]
    driver: Driver
    folder: Path
    limit: float
    timeout: float
    settle: bool
    max_runs: int
    runs: int = 0
    all_outputs: bool = False

    def write(self, ops: Sequence[int], path: Path) -> Arrays:
        """Writes the part that ends with the last of these operators; returns its inputs."""
        needed, outputs = self._needed(ops)
        names = write_part(self.model, needed, outputs, path)
        return {name: self.values[tensor] for name, tensor in names.items()}

    def _needed(self, ops: Sequence[int]) -> tuple[list[int], list[int]]:
        """Returns those of the operators that the last one needs, and its outputs that anything reads."""
        if self.all_outputs:
            made = [t for index in ops for t in self.graph.ops[index].outputs]
            inner = {t for index in ops for t in self.graph.ops[index].inputs} - set(self.graph.outputs)
            return sorted(ops), [t for t in made if t not in inner and self.graph.is_runtime(t)]
        last = self.graph.ops[ops[-1]]
        read = [t for t in last.outputs if self.graph.consumers(t) or t in self.graph.outputs] or list(last.outputs)
        chosen = set(ops)
        needed, stack = {last.index}, list(last.inputs)
        while stack:
            maker = self.graph.producer(stack.pop())
            if maker is not None and maker.index in chosen and maker.index not in needed:
                needed.add(maker.index)
                stack.extend(maker.inputs)
        return sorted(needed), read

    def wrong(self, ops: Sequence[int]) -> bool:
        """Runs the part; a part that dies, or whose inputs are unknown, is wrong or not as the whole was: dying is wrong."""
        if self.runs >= self.max_runs:
            return False
        path = self.folder / "try.tflite"
        try:
            given = self.write(ops, path)
        except KeyError:  # a tensor that the kernel kept no value of
            return False
        self.runs += 1
        reference = write_reference(path, self.folder / "try_reference.tflite")
        right = run_models([Job(reference, (given, moved(given)))], accelerator="cpu", timeout=self.timeout)[0]
        job = Job(path, (given,))
        run = run_models([job], driver=self.driver, enforce_f32=True, settle=self.settle, timeout=self.timeout)[0]
        if run.outcome is Outcome.DIED:
            return True
        if not run.ok or not right.ok:
            return False
        bad = failing(compare(run.outputs[0], right.outputs[0], self.limit), self.limit)
        return bool(set(bad) - sensitive(right.outputs[0], right.outputs[1], self.limit))

    def shrink(self, ops: Sequence[int]) -> list[int]:
        """Takes operators away at the front while the rest is still wrong: all but the last few first, then one by one."""
        kept = self._needed(ops)[0]
        step = len(kept)
        while step > 0:
            if step < len(kept) and self.wrong(kept[step:]):
                kept = self._needed(kept[step:])[0]
                step = len(kept)
            step //= 2
        for index in list(kept[:-1]):
            rest = [op for op in kept if op != index]
            if self.wrong(rest):
                kept = self._needed(rest)[0]
        return kept
