"""Brings a detector's backbone to the GPU: exported and rewritten like a detector, but not cut, as it selects nothing."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, fx, nn

from detr2litert.convert.models.backbone import INPUT, feature_names
from detr2litert.convert.quiet import quiet
from detr2litert.graphs.partition import Part
from detr2litert.graphs.toolbox import RewriteRefusedError
from detr2litert.host_runtime.errors import UserError
from detr2litert.rewrites import driver, pipeline
from detr2litert.rewrites.profile import Profile
from detr2litert.rewrites.program import export
from detr2litert.rewrites.ranges import measure


def compile_backbone(backbone: nn.Module, profile: Profile, images: Sequence[Tensor]) -> Part:
    """Exports and rewrites a backbone.

    Args:
        backbone: one tensor in, its feature maps out (``convert.models.backbone.Backbone``).
        profile: options of the rewrites; those of the cut do not apply.
        images: pictures ``[1, channels, H, W]``, normalised, at least one, on which the ranges of its values are measured.

    Raises:
        UserError: it contains an op that no rewrite supports.
    """
    with quiet():
        whole = export(backbone, (images[0],))
    try:
        for steps in (pipeline.NORMALISE, pipeline.LOWER):
            driver.run(steps, whole, profile)
        for image in images:
            measure(whole, [image])
        driver.run((*pipeline.PROTECT, *pipeline.LAY_OUT), whole, profile)
    except RewriteRefusedError as error:
        raise UserError(f"the backbone cannot be brought to the GPU: {error}") from error
    return Part(whole, (INPUT,), feature_names(_count(whole)))


def _count(graph_module: fx.GraphModule) -> int:
    """Returns the number of outputs."""
    (output,) = (node for node in graph_module.graph.nodes if node.op == "output")
    return len(output.args[0])
