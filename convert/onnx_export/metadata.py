"""The metadata of an exported file: what a program needs besides the tensors to detect with it.

Each entry is text; all but the first two are JSON. The pre-processing and the post-processing have the fields of a bundle's
manifest (``host_runtime/manifest.schema.json``).
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from detr2litert.convert.bundle import installed_version, source_name
from detr2litert.convert.models.classes import Classes
from detr2litert.convert.models.reference import Reference
from detr2litert.convert.models.settings.picture import preprocess_of
from detr2litert.convert.onnx_export.request import OnnxOptions, notes_text

DETS, LABELS = "dets", "labels"
"""Boxes ``[B, Q, 4]`` (cx, cy, w, h in [0, 1]) and logits ``[B, Q, C]``, as rfdetr's export names them."""
_STACK = ("torch", "transformers", "onnx", "onnxscript", "detr2litert")


def metadata(reference: Reference, classes: Classes, options: OnnxOptions) -> dict[str, str]:
    """Returns the metadata by name, in the order in which it is stored."""
    entries = {
        "variant": reference.variant.name,
        "weights_sha256": reference.sha256,
        "weights": _json({"source": source_name(reference.source), "random": reference.random}),
        "resolution": _json(list(reference.size)),
        "preprocess": _json(_preprocess(reference)),
        "classes": _json(list(classes.names)),
        "versions": _json({package: installed_version(package) for package in _STACK}),
    }
    if not options.backbone_only:
        entries["postprocess"] = _json(_postprocess(reference, classes))
    if options.notes is not None:
        entries["notes"] = notes_text(options.notes)
    return entries


def _preprocess(reference: Reference) -> dict[str, Any]:
    fields = asdict(preprocess_of(reference.settings))
    # As in a manifest: a stretched picture has no padding.
    return {name: value for name, value in fields.items() if fields["fit"] != "stretch" or name not in ("fit", "fill")}


def _postprocess(reference: Reference, classes: Classes) -> dict[str, Any]:
    return {
        "kind": "topk_sigmoid",
        "boxes": DETS,
        "logits": LABELS,
        "box_format": "cxcywh",
        "num_select": reference.settings.num_select.value,
        "ignored_classes": list(classes.ignored),
    }


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
