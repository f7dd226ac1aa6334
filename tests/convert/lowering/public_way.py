"""litert-torch's public conversion of any module, with which the direct lowering of ``convert.lowering`` is compared."""

from __future__ import annotations

import litert_torch
import torch

from detr2litert.convert.lowering.lower import with_origins
from detr2litert.convert.quiet import quiet
from detr2litert.graphs.partition import Part
from detr2litert.graphs.toolbox import value_of


def convert_publicly(part: Part) -> bytes:
    """The part's float32 .tflite file as ``litert_torch.convert`` makes it."""
    module = with_origins(part).eval()
    output = next(iter(module.graph.find_nodes(op="output")))
    output.args = (dict(zip(part.output_names, output.args[0], strict=True)),)
    module.recompile()
    inputs = module.graph.find_nodes(op="placeholder")
    sample = {
        name: torch.zeros(value_of(node).shape, dtype=value_of(node).dtype)
        for name, node in zip(part.input_names, inputs, strict=True)
    }
    litert_torch.config.show_progress = False
    with quiet(), torch.no_grad():
        content: bytes = litert_torch.convert(module, sample_kwargs=sample).model_content()
    return content
