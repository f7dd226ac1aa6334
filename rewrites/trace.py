"""From an eval-mode module to a functional ATen program, in one trace.

The public way, ``torch.export.export(module, inputs).run_decompositions({})``, traces the module, and then the program that it
made once more, to take the writes in place out of it. ``torch.export``'s own tracer does both at once when it is asked for a
program behind dispatch; what it must be told beside is to keep the operators that would decompose by themselves (``linear``,
``layer_norm``, ``scaled_dot_product_attention``…), as ``run_decompositions`` tells it for an empty table. That takes half the
time. The functions are private, and the version of PyTorch is pinned for them; ``tests/rewrites/test_trace.py`` holds both ways
against each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch._export.utils import _collect_all_valid_cia_ops_for_aten_namespace, _special_op_to_preserve_cia
from torch.export import ExportedProgram
from torch.export._trace import _export
from torch.export.exported_program import _override_composite_implicit_decomp
from torch.fx import config


def trace(module: nn.Module, inputs: tuple[Tensor, ...]) -> ExportedProgram:
    """The program of a module for inputs of these shapes, without writes in place and with composite operators kept.

    Raises:
        torch.export's errors, where the module's control flow depends on values.
    """
    kept = dict.fromkeys(_collect_all_valid_cia_ops_for_aten_namespace(), _special_op_to_preserve_cia)
    with torch.no_grad(), _without_stack_traces(), _override_composite_implicit_decomp(kept):
        program: ExportedProgram = _export(module, inputs, strict=False, pre_dispatch=False)
    return program


@contextmanager
def _without_stack_traces() -> Iterator[None]:
    """Nodes are named by their modules everywhere here; the Python stack of each costs a tenth of the trace's time."""
    before = config.do_not_emit_stack_traces
    config.do_not_emit_stack_traces = True
    try:
        yield
    finally:
        config.do_not_emit_stack_traces = before
