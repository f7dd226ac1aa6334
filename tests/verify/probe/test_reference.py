"""The reference is the result of the CPU's kernels, which is compared with the operators' definitions here."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from detr2litert.host_runtime.tflite.graph import read_graph
from detr2litert.verify.delegate.run import Job, run_models
from detr2litert.verify.probe.probe import Behaviour
from detr2litert.verify.probe.suite import SUITE
from tests.verify.probe.numpy_kernels import KERNELS, compute


def test_the_cpu_computes_what_the_operators_are_defined_to(tmp_path: Path) -> None:
    models = {probe.name: probe.write(tmp_path) for probe in SUITE if probe.does in (Behaviour.ACCEPTED, Behaviour.WRONG)}
    graphs = {name: read_graph(model) for name, model in models.items()}
    known = {
        probe.name: probe.inputs(models[probe.name])
        for probe in SUITE
        if probe.name in graphs and probe.reference is None and all(op.name in KERNELS for op in graphs[probe.name].ops)
        if not any(tensor.dtype in ("int8", "int4") for tensor in graphs[probe.name].tensors)
    }
    runs = run_models([Job(models[name], (given,)) for name, given in known.items()], accelerator="cpu")
    for (name, given), run in zip(known.items(), runs, strict=True):
        assert run.ok, (name, run.error)
        for output, expected in compute(graphs[name], given).items():
            np.testing.assert_allclose(run.outputs[0][output], expected, atol=1e-3, rtol=1e-3, err_msg=name)
    wrong = {probe.name for probe in SUITE if probe.does is Behaviour.WRONG and probe.reference is None}
    assert wrong <= set(known), f"judged wrong by the CPU's kernels alone: {sorted(wrong - set(known))}"
    assert len(known) > 200
