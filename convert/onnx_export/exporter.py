"""Writes the ONNX file of a reference detector, through ``torch.export`` and PyTorch's exporter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from detr2litert.convert.models.backbone import INPUT, Backbone, feature_names
from detr2litert.convert.models.reference import Reference
from detr2litert.convert.onnx_export.metadata import DETS, LABELS
from detr2litert.convert.onnx_export.request import OnnxOptions
from detr2litert.convert.onnx_export.traceable import traceable
from detr2litert.convert.quiet import quiet
from detr2litert.host_runtime.errors import UserError
from detr2litert.rewrites.trace import without_stack_traces

BATCH = "batch"
"""Name of the dynamic dimension."""
_EXAMPLE_BATCH = 2
"""For a dynamic batch: code that relies on a batch of 1 would be traced without an error at 1."""


def output_names(options: OnnxOptions, count: int) -> tuple[str, ...]:
    """Returns the names of ``count`` outputs: ``dets`` and ``labels``, or ``features``, numbered if there are several maps."""
    if not options.backbone_only:
        return DETS, LABELS
    return feature_names(count)


def exported_module(reference: Reference, options: OnnxOptions) -> nn.Module:
    """Returns the module that is exported: the detector, or its backbone."""
    return Backbone(reference.module).eval() if options.backbone_only else reference.module


def write_onnx(
    reference: Reference, options: OnnxOptions, names: Sequence[str], entries: Mapping[str, str], destination: Path
) -> None:
    """Exports the detector, or its backbone, with the weights inside the file.

    What the exporter notes at each node (Python's stack, with paths of this machine, and the traced node) is left out, so that
    the same weights and options give the same bytes anywhere.

    Args:
        reference: the detector.
        options: the form of the file.
        names: of the outputs.
        entries: the file's metadata by name.
        destination: the file to write.

    Raises:
        UserError: PyTorch cannot export it in this form, for example because the batch is fixed somewhere in its code.
    """
    import onnx

    batch = _EXAMPLE_BATCH if options.batch is None else options.batch
    image = torch.cat([reference.example_input(seed) for seed in range(batch)])
    shapes = None if options.batch is not None else ({0: BATCH},)
    module = exported_module(reference, options)
    with quiet(), torch.no_grad(), without_stack_traces(), traceable(module):
        try:
            program = torch.onnx.export(
                module,
                (image,),
                dynamo=True,
                input_names=[INPUT],
                output_names=list(names),
                dynamic_shapes=shapes,
                opset_version=options.opset,
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            raise UserError(_refused(reference.variant.name, options, error)) from error
    assert program is not None
    model = program.model_proto
    _leave_out_notes(model)
    for name, value in entries.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = name, value
    onnx.save_model(model, destination)


def _refused(variant: str, options: OnnxOptions, error: Exception) -> str:
    """Says what could not be exported, with the first line of the exception that the exporter wraps in advice about itself."""
    cause = error.__cause__ or error
    reason = next((line.strip() for line in str(cause).splitlines() if line.strip()), type(cause).__name__)
    form, other = (f"batch {options.batch}", "") if options.batch is not None else ("a dynamic batch", ", or --batch")
    return f"PyTorch cannot export {variant} with opset {options.opset} and {form}: {reason}; try another --opset{other}"


def _leave_out_notes(model: Any) -> None:
    del model.metadata_props[:]
    model.ClearField("doc_string")
    graph = model.graph
    for item in (graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        del item.metadata_props[:]
        item.ClearField("doc_string")
