"""Faults in what runs on the phone's CPU: the manifest, the host step's constants, and the runtime's code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from detr2litert.convert.proof import host
from detr2litert.host_runtime import decode, host_kernels
from detr2litert.host_runtime.bundle import Bundle
from detr2litert.host_runtime.manifest import HostOp, Preprocess
from detr2litert.host_runtime.placement import Placement
from detr2litert.host_runtime.preprocess import preprocess, resized_pixels
from detr2litert.host_runtime.selection import topk_indices
from tests.convert.planted.fault import BOTH

TAIL = "tiny-tail"
"""The demo detector, cut so that the host step has constants and computes the selected tokens' tail."""
Change = Callable[[pytest.MonkeyPatch, Bundle], Bundle]


@dataclass(frozen=True)
class HostFault:
    """As ``Fault``; ``change`` returns the bundle with the fault, or inserts the fault into the runtime."""

    name: str
    change: Change
    place: str
    detectors: tuple[str, ...] = BOTH

    def __str__(self) -> str:
        return self.name.replace(" ", "-")


class OtherConstants(Bundle):
    """A bundle whose host parameters are another checkpoint's."""

    def host_constants(self) -> dict[str, NDArray[np.generic]]:
        generator = np.random.default_rng(7)
        return {
            name: generator.standard_normal(value.shape).astype(value.dtype) for name, value in super().host_constants().items()
        }


def _preprocess(**changed: Any) -> Change:
    def change(_patch: pytest.MonkeyPatch, bundle: Bundle) -> Bundle:
        manifest = bundle.manifest
        return Bundle(bundle.root, replace(manifest, preprocess=replace(manifest.preprocess, **changed)))

    return change


def _other_resize(patch: pytest.MonkeyPatch, bundle: Bundle) -> Bundle:
    ours = bundle.manifest.preprocess.resize
    return _preprocess(resize="bilinear" if ours == "bilinear_antialias" else "bilinear_antialias")(patch, bundle)


def _postprocess(**changed: Any) -> Change:
    def change(_patch: pytest.MonkeyPatch, bundle: Bundle) -> Bundle:
        manifest = bundle.manifest
        return Bundle(bundle.root, replace(manifest, postprocess=replace(manifest.postprocess, **changed)))

    return change


def _classes_moved(_patch: pytest.MonkeyPatch, bundle: Bundle) -> Bundle:
    names = bundle.manifest.classes
    return Bundle(bundle.root, replace(bundle.manifest, classes=(*names[1:], names[0])))


def _background_kept(_patch: pytest.MonkeyPatch, bundle: Bundle) -> Bundle:
    """The last column is not a class, but the manifest names it and does not ignore it (see ``truth`` in the test)."""
    return Bundle(bundle.root, replace(bundle.manifest, classes=(*bundle.manifest.classes[:-1], "background")))


def _smaller_k(_patch: pytest.MonkeyPatch, bundle: Bundle) -> Bundle:
    def smaller(op: HostOp) -> HostOp:
        return replace(op, attributes={**op.attributes, "k": op.attributes["k"] - 1}) if op.op == "topk" else op

    program = bundle.manifest.host_step
    return Bundle(bundle.root, replace(bundle.manifest, host_step=replace(program, ops=tuple(map(smaller, program.ops)))))


def _k_beyond_the_tokens(_patch: pytest.MonkeyPatch, bundle: Bundle) -> Bundle:
    """A valid program by itself, but graph A's outputs have fewer tokens than it selects."""
    tokens = max(spec.shape[1] for spec in bundle.manifest.graphs.a.outputs)

    def larger(op: HostOp) -> HostOp:
        return replace(op, attributes={**op.attributes, "k": tokens + 1}) if op.op == "topk" else op

    program = bundle.manifest.host_step
    return Bundle(bundle.root, replace(bundle.manifest, host_step=replace(program, ops=tuple(map(larger, program.ops)))))


def _runtime(module: Any, name: str, wrong: Any) -> Change:
    def change(patch: pytest.MonkeyPatch, bundle: Bundle) -> Bundle:
        patch.setattr(module, name, wrong)
        return bundle

    return change


def _blue_first(image: Image.Image, spec: Preprocess) -> NDArray[np.float32]:
    return preprocess(Image.fromarray(np.asarray(image)[..., ::-1].copy()), spec)


def _grey_blended(image: Image.Image, spec: Preprocess) -> NDArray[np.float32]:
    """As if a picture of equal channels were one of transparent grey, blended with white."""
    pixels = np.asarray(image.convert("RGB"))
    grey = bool((pixels == pixels[..., :1]).all())
    return preprocess(Image.fromarray(pixels // 2 + 127) if grey else image, spec)


def _skips_the_best(scores: NDArray[Any], k: int) -> NDArray[Any]:
    return topk_indices(scores, k + 1)[1:]


def _last_two_exchanged(scores: NDArray[Any], k: int) -> NDArray[Any]:
    """What correlates best with the right indices."""
    indices = topk_indices(scores, k)
    return np.concatenate((indices[:-2], indices[-1:], indices[-2:-1]))


def _ties_by_higher_index(scores: NDArray[Any], k: int) -> NDArray[Any]:
    return len(scores) - 1 - topk_indices(scores[::-1].copy(), k)


def _corners_as_they_are(boxes: NDArray[np.float32], image_size: tuple[int, int], _placement: Placement) -> NDArray[np.float32]:
    """As if the boxes were left, top, right, bottom already."""
    scale = np.asarray((*image_size, *image_size), np.float32)
    return np.clip(boxes * scale, 0, scale).astype(np.float32)


def _last_first(picture: Image.Image, spec: Preprocess) -> NDArray[np.uint8]:
    return resized_pixels(picture, spec)[..., ::-1].copy()


def _other_constants(_patch: pytest.MonkeyPatch, bundle: Bundle) -> Bundle:
    return OtherConstants(bundle.root, bundle.manifest)


HOST_FAULTS = (
    HostFault("BGR for RGB", _runtime(host, "preprocess", _blue_first), "pre-processing of"),
    HostFault("grey blended with white", _runtime(host, "preprocess", _grey_blended), "pre-processing of .* grey"),
    HostFault("missing normalisation", _preprocess(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)), "pre-processing of", ("tiny",)),
    HostFault(
        "normalised though the detector is not", _preprocess(mean=(0.485, 0.456, 0.406)), "pre-processing of", ("dfine-tiny",)
    ),
    HostFault("bilinear for antialiased resize", _other_resize, r"pre-processing of 701 x 523", ("tiny",)),
    HostFault("antialiased in floats for 8 bits", _other_resize, r"pre-processing of 97 x 61", ("dfine-tiny",)),
    HostFault("BGR for RGB as pixels", _runtime(host, "resized_pixels", _last_first), ", as pixels", ("dfine-tiny",)),
    HostFault("scale of another range", _preprocess(scale=1.0), "pre-processing of"),
    HostFault("top-k off by one", _runtime(host_kernels, "topk_indices", _skips_the_best), r"host step / indices"),
    HostFault(
        "ties reversed",
        _runtime(host_kernels, "topk_indices", _ties_by_higher_index),
        r"host step / indices \(tied scores\)",
    ),
    HostFault("k too small", _smaller_k, r"host step"),
    HostFault("program that does not fit graph A", _k_beyond_the_tokens, r"^host step$"),
    HostFault("host parameters of another checkpoint", _other_constants, r"host step / selected", (TAIL,)),
    HostFault(
        "top-k of the gathers off by one",
        _runtime(host_kernels, "topk_indices", _skips_the_best),
        r"host step / selected",
        (TAIL,),
    ),
    HostFault("two indices exchanged", _runtime(host_kernels, "topk_indices", _last_two_exchanged), r"host step / indices"),
    HostFault("cxcywh read as xyxy", _runtime(decode, "to_pixels", _corners_as_they_are), "post-processing of"),
    HostFault("class index off by one", _classes_moved, "post-processing of"),
    HostFault("background class kept", _background_kept, "post-processing of"),
    HostFault("fewer detections selected", _postprocess(num_select=20), "post-processing of"),
)
