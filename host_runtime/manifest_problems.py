"""What does not fit together in a manifest that its schema accepts."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod

from detr2litert.host_runtime.host_table import host_table
from detr2litert.host_runtime.manifest import (
    CHANNEL_COUNT,
    HOST_PARAMS_NAME,
    KEYPOINTS_VERSION,
    MASKS_OF_BOXES_VERSION,
    MASKS_VERSION,
    ONE_GRAPH_VERSION,
    PIXELS_VERSION,
    Keypoints,
    Manifest,
)
from detr2litert.host_runtime.manifest_keypoints import CHANNELS


def problems(manifest: Manifest) -> Iterable[str]:
    """Yields a sentence for each inconsistency, in the order of data flow."""
    a, b, host, post = manifest.graphs.a, manifest.graphs.b, manifest.host_step, manifest.postprocess
    last, label_of_last = manifest.graphs.last, "a" if b is None else "b"
    from_a = {spec.name: spec for spec in a.outputs}
    sides = [("a.inputs", a.inputs), ("a.outputs", a.outputs)]
    if b is not None:
        sides += [("b.inputs", b.inputs), ("b.outputs", b.outputs)]
    if manifest.graphs.m is not None:
        sides += [("m.inputs", manifest.graphs.m.inputs), ("m.outputs", manifest.graphs.m.outputs)]
    elements = sum(prod(spec.shape) for specs in (*(specs for _, specs in sides), host.constants) for spec in specs)
    if elements > host_table().max_elements:
        yield f"its tensors have {elements} elements in all, more than {host_table().max_elements}"
    for label, specs in sides:
        names = [spec.name for spec in specs]
        if len(set(names)) != len(names):
            yield f"graphs.{label} names a tensor twice ({', '.join(names)})"

    if b is None and manifest.schema_version < ONE_GRAPH_VERSION:
        yield f"graph b is missing, which a bundle of schema version {manifest.schema_version} has"
    if b is None and (host.inputs or host.ops or host.outputs or host.constants):
        yield "there is a host step after graph a and no graph b to read it"
    if manifest.native is not None and (manifest.native.b is None) != (b is None):
        yield f"the native form has {'one graph' if manifest.native.b is None else 'two graphs'} and the portable one not"
    if manifest.native is not None and (manifest.native.m is None) != (manifest.graphs.m is None):
        yield f"the native form has {'no ' if manifest.native.m is None else 'a '}graph of masks and the portable one not"
    yield from _problems_of_masks(manifest)
    yield from _problems_of_pixels(manifest)

    needed = [graph.file for graph in manifest.graphs.by_name.values()]
    if manifest.native_graphs is not None:
        needed += [graph.file for graph in manifest.native_graphs.by_name.values()]
    if host.constants:
        needed.append(HOST_PARAMS_NAME)
    if manifest.golden is not None:
        needed += [manifest.golden.image, manifest.golden.tensors, manifest.golden.detections]
    for name in needed:
        if name not in manifest.files:
            yield f"{name} is used but not listed under files"

    pre = manifest.preprocess
    channels = CHANNEL_COUNT[pre.channels]
    for label, values in (("mean", pre.mean), ("std", pre.std)):
        if len(values) != channels:
            yield f"preprocess.{label} has {len(values)} numbers for {channels} channels ({pre.channels})"
    if len(pre.fill) != (0 if pre.fit == "stretch" else channels):
        yield f"preprocess.fill has {len(pre.fill)} numbers for {channels} channels and the fit {pre.fit}"
    image = (1, channels, pre.height, pre.width)
    if len(a.inputs) != 1 or a.inputs[0].shape != image:
        yield f"graph a must take one image of shape {image}, as preprocess says"

    for op in host.ops:
        if op.op not in host_table().ops:
            yield f"the host step's op '{op.op}' is not one that this runtime knows: upgrade the runtime"
    known = set()
    for name in host.inputs:
        if name not in from_a:
            yield f"the host step reads '{name}', which graph a does not give"
        known.add(name)
    for name in (*(spec.name for spec in host.constants), *(op.output for op in host.ops)):
        if name in known:
            yield f"the host step assigns '{name}' twice"
        known.add(name)
    for name in host.outputs:
        if name not in known:
            yield f"the host step's output '{name}' is never computed"

    for spec in () if b is None else b.inputs:
        source = from_a.get(spec.name)
        if spec.name not in host.outputs and source is None:
            yield f"graph b reads '{spec.name}', which neither the host step nor graph a gives"
        elif spec.name not in host.outputs and source is not None and source.shape != spec.shape:
            yield f"'{spec.name}' leaves graph a as {source.shape} but graph b wants {spec.shape}"

    given = {spec.name: spec.shape for spec in last.outputs}
    boxes, logits = given.get(post.boxes), given.get(post.logits)
    if boxes is None or logits is None:
        yield f"graph {label_of_last} does not give '{post.boxes if boxes is None else post.logits}', which postprocess reads"
    elif len(boxes) != 3 or len(logits) != 3 or boxes[:2] != logits[:2] or boxes[0] != 1 or boxes[2] != 4:
        yield f"postprocess wants boxes [1, Q, 4] and logits [1, Q, C], not {list(boxes)} and {list(logits)}"
    elif logits[2] != len(manifest.classes):
        yield f"classes has {len(manifest.classes)} entries but there are {logits[2]} logit columns"
    for index in post.ignored_classes:
        if index >= len(manifest.classes):
            yield f"ignored class {index} is not one of the {len(manifest.classes)} classes"
    if post.keypoints is not None:
        yield from _problems_of_keypoints(manifest, post.keypoints)


def _problems_of_pixels(manifest: Manifest) -> Iterable[str]:
    """Yields what is wrong with a native form that takes pixels."""
    native = manifest.native
    if native is None or native.pixels is None:
        return
    if manifest.schema_version < PIXELS_VERSION:
        yield f"the native form takes pixels, which that of a bundle of schema version {manifest.schema_version} does not"
    if not manifest.preprocess.in_whole_pixels:
        yield "the native form takes pixels, and preprocess gives none of whole numbers"
    if native.a == manifest.graphs.a.file:
        yield "the native form takes pixels, and its graph a is the portable one, which takes the image"
    if any(native.pixels == spec.name for spec in (*manifest.graphs.a.inputs, *manifest.graphs.a.outputs)):
        yield f"native.pixels names another tensor of graph a: '{native.pixels}'"


def _problems_of_masks(manifest: Manifest) -> Iterable[str]:
    """Yields what is wrong with the graph of the masks, or with its absence."""
    m, masks = manifest.graphs.m, manifest.postprocess.masks
    if m is None or masks is None:
        if m is not None or masks is not None:
            yield f"{'graph m is' if m is None else 'postprocess.masks are'} missing, which masks need"
        return
    if manifest.schema_version < MASKS_VERSION:
        yield f"there are masks, which a bundle of schema version {manifest.schema_version} has not"
    elif manifest.schema_version < MASKS_OF_BOXES_VERSION and not masks.is_plain:
        yield f"postprocess.masks have what a bundle of schema version {manifest.schema_version} has not"
    given = {spec.name: spec for spec in manifest.graphs.last.outputs}
    kept = next((spec for spec in m.inputs if spec.name == masks.kept), None)
    output = next((spec for spec in m.outputs if spec.name == masks.output), None)
    for spec in m.inputs:
        if spec is not kept and given.get(spec.name) != spec:
            yield f"graph m reads '{spec.name}' {list(spec.shape)}, which the graph before it does not give"
    if kept is None or kept.dtype != "int32" or len(kept.shape) != 1:
        yield f"graph m needs an input '{masks.kept}' of indices, int32 [K]"
    elif output is None or output.dtype != "float32" or len(output.shape) != 4 or output.shape[::3] != (1, kept.shape[0]):
        yield f"graph m needs an output '{masks.output}' of masks, float32 [1, h, w, {kept.shape[0]}]"


def _problems_of_keypoints(manifest: Manifest, keypoints: Keypoints) -> Iterable[str]:
    """Yields what is wrong with the keypoints' output, or with a class's keypoints."""
    if manifest.schema_version < KEYPOINTS_VERSION:
        yield f"there are keypoints, which a bundle of schema version {manifest.schema_version} has not"
    if manifest.postprocess.masks is not None:
        yield "there are masks and keypoints, of which a detector has only one"
    given = {spec.name: spec for spec in manifest.graphs.last.outputs}
    output, logits = given.get(keypoints.output), given.get(manifest.postprocess.logits)
    queries = logits.shape[1] if logits is not None and len(logits.shape) == 3 else 0
    wanted = (1, queries, keypoints.total, CHANNELS)
    if output is None or output.dtype != "float32" or output.shape != wanted:
        yield f"the last graph needs an output '{keypoints.output}' of keypoints, float32 {list(wanted)}"
    seen = set()
    for item in keypoints.classes:
        label, count = f"the keypoints of class {item.class_index}", len(item.names)
        if item.class_index >= len(manifest.classes):
            yield f"{label} are not of one of the {len(manifest.classes)} classes"
        if item.class_index in seen:
            yield f"{label} are given twice"
        seen.add(item.class_index)
        if len(item.sigmas) != count:
            yield f"{label} have {count} names and {len(item.sigmas)} sigmas"
        if any(index >= count for pair in item.skeleton for index in pair):
            yield f"{label} have a skeleton that joins others than their {count}"
