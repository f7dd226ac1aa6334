"""Exports an eval-mode module to a functional ATen program, in one trace.

The public API, ``torch.export.export(module, inputs).run_decompositions({})``, traces the module, and then traces the resulting
program again to remove in-place writes. ``torch.export``'s private tracer does both at once with ``pre_dispatch=False``, if the
operators that would otherwise decompose (``linear``, ``layer_norm``, ``scaled_dot_product_attention``…) are preserved as
``run_decompositions`` does for an empty table. That takes half the time. Because the functions are private, the version of
PyTorch is pinned; ``tests/rewrites/test_trace.py`` compares the results of both.
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
    """Traces a module for inputs of these shapes to a program without in-place writes, with composite operators preserved.

    Raises:
        the errors of torch.export, if the module's control flow depends on values.
    """
    preserved = dict.fromkeys(_collect_all_valid_cia_ops_for_aten_namespace(), _special_op_to_preserve_cia)
    with torch.no_grad(), without_stack_traces(), _override_composite_implicit_decomp(preserved):
        program: ExportedProgram = _export(module, inputs, strict=False, pre_dispatch=False)
    return program


@contextmanager
def without_stack_traces() -> Iterator[None]:
    """Disables the Python stack trace of each node, which is unused and costs a tenth of the trace's time."""
    before = config.do_not_emit_stack_traces
    config.do_not_emit_stack_traces = True
    try:
        yield
    finally:
        config.do_not_emit_stack_traces = before
