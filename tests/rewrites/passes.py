"""Helpers for the tests of the rewrites: tracing, running one pass, and running its result on the real delegate."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, fx, nn

from detr2litert.convert.lowering.lower import lower
from detr2litert.graphs.partition import Part
from detr2litert.graphs.toolbox import calls
from detr2litert.rewrites.contract import Rewrite, Site
from detr2litert.rewrites.driver import apply, wrong_shapes
from detr2litert.rewrites.flatbuffer.pipeline import fix_up
from detr2litert.rewrites.profile import Profile
from detr2litert.rewrites.program import export
from detr2litert.verify.delegate.adapters import Driver
from detr2litert.verify.delegate.run import DelegateRun, run_model

Function = Callable[..., Tensor | tuple[Tensor, ...]]
RightOnDelegate = Callable[..., None]


class Wrapped(nn.Module):
    """A function as a module; constants it closes over are lifted by the export."""

    def __init__(self, function: Function) -> None:
        super().__init__()
        self._function = function

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        return self._function(*inputs)


def traced(module: nn.Module | Function, *inputs: Tensor) -> fx.GraphModule:
    """The ATen graph of a module or a function, in eval mode."""
    module = module if isinstance(module, nn.Module) else Wrapped(module)
    return export(module.eval(), inputs)


def run_pass(rewrite: Rewrite, graph_module: fx.GraphModule, profile: Profile | None = None) -> list[Site]:
    """Runs one pass and checks that the resulting graph is well formed."""
    findings = apply(rewrite, graph_module, profile or Profile())
    assert wrong_shapes(graph_module) == []
    graph_module.recompile()
    assert all(found.node and (found.detail if isinstance(found, Site) else found.reason) for found in findings)
    return [found for found in findings if isinstance(found, Site)]


@torch.no_grad()
def evaluate(module: nn.Module | Function, *inputs: Tensor) -> tuple[Tensor, ...]:
    """A module's outputs as a tuple."""
    result = module(*inputs)
    return result if isinstance(result, tuple) else (result,)


def assert_same(candidate: tuple[Tensor, ...], reference: tuple[Tensor, ...], tolerance: float = 0.0) -> None:
    """Equal in shape, and in value up to ``tolerance`` of the reference's largest value."""
    assert len(candidate) == len(reference)
    for mine, theirs in zip(candidate, reference, strict=True):
        assert mine.shape == theirs.shape and mine.dtype == theirs.dtype
        limit = tolerance * max(1.0, float(theirs.abs().max()))
        torch.testing.assert_close(mine, theirs, atol=limit, rtol=0.0)


def rewritten(
    rewrite: Rewrite, module: nn.Module | Function, *inputs: Tensor, fires: int = 1, tolerance: float = 0.0, **options: object
) -> fx.GraphModule:
    """Traces and rewrites; the pass must fire ``fires`` times, preserve the values, and not fire a second time."""
    profile = Profile(**options)  # type: ignore[arg-type]
    graph_module = traced(module, *inputs)
    before = evaluate(module, *inputs)
    fired = run_pass(rewrite, graph_module, profile)
    assert len(fired) == fires, fired
    assert all(site.node and site.detail for site in fired)
    assert_same(evaluate(graph_module, *inputs), before, tolerance)
    if fires:
        assert run_pass(rewrite, graph_module, profile) == []
    return graph_module


def ops(graph_module: fx.GraphModule) -> list[str]:
    """Names of the ops of a graph, in order, without overloads."""
    return [str(n.target).split(".")[1] for n in graph_module.graph.nodes if n.op == "call_function" and "." in str(n.target)]


def count(graph_module: fx.GraphModule, *targets: object) -> int:
    """How often a graph calls any of the given overloads."""
    return len(calls(graph_module, *targets))


def write_model(graph_module: fx.GraphModule, inputs: tuple[Tensor, ...], path: Path) -> Path:
    """Converts a rewritten graph, fix-ups included."""
    names = tuple(str(n.target) for n in graph_module.graph.nodes if n.op == "placeholder")
    results = next(n for n in graph_module.graph.nodes if n.op == "output").args[0]
    part = Part(graph_module, names, tuple(f"out_{i}" for i in range(len(results))))
    raw = path.with_suffix(".raw.tflite")
    lower(part, raw)
    fix_up(raw, path)
    return path


def run_on_delegate(
    graph_module: fx.GraphModule, inputs: tuple[Tensor, ...], driver: Driver, folder: Path, *, enforce_f32: bool = True
) -> DelegateRun:
    """Converts a graph and runs it on the GPU delegate alone."""
    model = write_model(graph_module, inputs, folder / "model.tflite")
    names = [str(n.target) for n in graph_module.graph.nodes if n.op == "placeholder"]
    values = {name: value.numpy() for name, value in zip(names, inputs, strict=True)}
    return run_model(model, [values], driver=driver, enforce_f32=enforce_f32)


def outputs_of(run: DelegateRun) -> tuple[Tensor, ...]:
    """A run's outputs in order; the whole model must be on the GPU."""
    assert run.fully_on_gpu and not run.error_lines, (run.outcome, run.error, run.refused, run.error_lines)
    values = run.outputs[0]
    return tuple(torch.from_numpy(values[f"out_{i}"]) for i in range(len(values)))
