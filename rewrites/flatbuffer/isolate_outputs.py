"""Makes every output of a graph a leaf that no operator reads.

Hazard: the delegate's fusions ignore that a tensor is also an output. An ADD of two runtime tensors that is an output and read
by one reduction returns its operand (LiteRT issue 8599); an elementwise op fused into the layer after it leaves its output as
uninitialised memory; and on Mali a token tensor that is read and an output is overwritten (published; not reproduced on
WebGPU).

Identity: computing a value twice gives the same value.

Given::

    ADD(%m, beta) -> %memory        (an output, and read by FULLY_CONNECTED)

Result::

    ADD(%m, beta) -> %memory        (the output, read by nothing)
    ADD(%m, beta) -> %memory_inner  (read by FULLY_CONNECTED)

Done in the file because the converter merges equal ops of a graph. Fires if the op that computes the output is elementwise or a
reshape, whose copy costs little; outputs of other ops are unchanged, and the lint reports those known to be wrong. Exact.
"""

from __future__ import annotations

import copy

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from detr2litert.host_runtime.tflite.editor import FlatbufferEditor
from detr2litert.rewrites.contract import Site

_CHEAP = {
    schema.BuiltinOperator.ADD,
    schema.BuiltinOperator.SUB,
    schema.BuiltinOperator.MUL,
    schema.BuiltinOperator.DIV,
    schema.BuiltinOperator.LOGISTIC,
    schema.BuiltinOperator.RELU,
    schema.BuiltinOperator.RESHAPE,
    schema.BuiltinOperator.TRANSPOSE,
}


def isolate_outputs(editor: FlatbufferEditor) -> list[Site]:
    fired = []
    for output in [int(t) for t in editor.subgraph.outputs]:
        readers, producer = editor.consumers(output), editor.producer(output)
        if not readers or producer is None or editor.opcode(producer) not in _CHEAP:
            continue
        inner = editor.add_tensor(output, editor.shape(output), editor.name(output) + "_inner")
        duplicate = copy.deepcopy(producer)
        duplicate.outputs = np.asarray([inner], np.int32)
        editor.subgraph.operators.insert(editor.subgraph.operators.index(producer) + 1, duplicate)
        for reader in readers:
            reader.inputs = np.asarray([inner if int(t) == output else int(t) for t in reader.inputs], np.int32)
        fired.append(Site(editor.name(output), "", f"{len(readers)} reader(s) moved to a copy"))
    return fired
