"""The bundle detects annotated objects as well as the reference, on the CPU and in fp16 on the GPU."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from detr2litert.convert.proof.gate import Gate
from detr2litert.convert.proof.subject import Subject
from detr2litert.host_runtime.bundle import load_bundle
from detr2litert.host_runtime.decode import Detection, Detections
from detr2litert.host_runtime.host_step import HostStep
from detr2litert.host_runtime.preprocess import prepare
from detr2litert.host_runtime.runner import Runner
from detr2litert.verify.accuracy.accuracy import GATE as ID
from detr2litert.verify.accuracy.accuracy import Side, answer_of, check_accuracy
from detr2litert.verify.accuracy.average_precision import Answer
from detr2litert.verify.accuracy.dataset import Dataset, class_numbers
from detr2litert.verify.accuracy.half_precision import Chain, run_half_precision
from detr2litert.verify.delegate.driver import NoGpu
from detr2litert.verify.gates import Doing, GateResult
from detr2litert.verify.precision import accuracy_limits

SOFTWARE_PICTURES = 8
"""The most that a GPU in software computes unless more are asked for: about a second each for a demo detector."""
SOFTWARE_SECONDS = 60.0
"""And for how long, with larger detectors; a picture that has begun is completed."""
_EVERY = 20
_NO_KEYPOINTS = "keypoints not judged: the annotations have none"


def run(subject: Subject, doing: Doing) -> GateResult:
    """Average precision of PyTorch, of the bundle on the CPU, and of the bundle in fp16."""
    start = time.perf_counter()
    dataset = subject.outside.dataset
    assert dataset is not None, "_applies says so"
    numbers = class_numbers(dataset, subject.manifest.classes)
    reference, cpu = _on_the_cpu(subject, dataset, numbers, doing)
    fp16 = _in_fp16(subject, dataset, numbers, doing)
    note = "" if subject.manifest.graphs.m is None or dataset.has_masks else f"masks not judged: {dataset.lacks_masks}"
    if subject.manifest.postprocess.keypoints is not None and not dataset.sigmas:
        note = _NO_KEYPOINTS
    note = "; ".join(filter(None, (note, dataset.remark)))
    result = check_accuracy(dataset, reference, (cpu, fp16), accuracy_limits(subject.manifest), note)
    return replace(result, seconds=time.perf_counter() - start)


def _on_the_cpu(subject: Subject, dataset: Dataset, numbers: Mapping[str, int], doing: Doing) -> tuple[Side, Side]:
    """The reference and the bundle, each picture loaded once; masks, which take longer than all else, only to be judged."""
    reference, bundle = [], []
    path = subject.reference.path
    with Runner(subject.folder) as runner:
        for number, picture in enumerate(dataset.pictures):
            if number % _EVERY == 0:
                doing(f"picture {number + 1} of {len(dataset.pictures)}, with PyTorch and on the CPU")
            image = picture.load()
            reference.append(answer_of(path.detect(image, 0.0, masks=dataset.has_masks).items, numbers))
            try:
                found: tuple[Detection, ...] = _detected(runner, image, dataset.has_masks).items
            except ValueError:  # NaN: it detects nothing
                found = ()
            bundle.append(answer_of(found, numbers))
    everything = tuple(range(len(dataset.pictures)))
    return Side("reference", everything, tuple(reference)), Side("CPU", everything, tuple(bundle))


def _detected(runner: Runner, image: Image.Image, masks: bool) -> Detections:
    if masks:
        return runner.detect(image, threshold=0.0)
    outputs = runner.run(runner.prepare(image), all_outputs=False)
    return runner.decode(outputs, image.size, threshold=0.0)


def _in_fp16(subject: Subject, dataset: Dataset, numbers: Mapping[str, int], doing: Doing) -> Side:
    gpu, manifest = subject.fp16_gpu, subject.manifest
    if isinstance(gpu, NoGpu):
        return Side("fp16", (), (), f"{gpu.reason}", gpu.advice)
    wanted = subject.outside.request.dataset_fp16
    bounded = wanted is None and not any(adapter.hardware for adapter in gpu.adapters)
    # In a random order, so that the first of them are a sample whenever the time is used up.
    order = np.random.default_rng(0).permutation(len(dataset.pictures))[: SOFTWARE_PICTURES if bounded else wanted]
    doing(f"{len(order)} pictures in fp16 on {gpu.source}")
    with load_bundle(subject.folder) as bundle:
        step = HostStep(manifest.host_step, bundle.host_constants(), manifest.graphs.a.outputs)
    graphs = manifest.native_graphs or manifest.graphs
    a, b = subject.folder / graphs.a.file, None if graphs.b is None else subject.folder / graphs.b.file
    taken, inputs_b = graphs.a.inputs[0], () if graphs.b is None else graphs.b.inputs
    masks = subject.mask_step(0.0) if dataset.has_masks else None
    graph_m = None if graphs.m is None else subject.folder / graphs.m.file
    chain = Chain(a, b, {t.name: np.dtype(t.dtype) for t in inputs_b}, step, graph_m, masks)

    def inputs(place: int) -> dict[str, NDArray[np.generic]]:
        image = dataset.pictures[order[place]].load()
        return {taken.name: prepare(image, manifest.preprocess, taken)}

    found = run_half_precision(chain, len(order), inputs, gpu, SOFTWARE_SECONDS if bounded else float("inf"))
    if found.error:
        return Side("fp16", (), (), found.error, "see the fp16 gate")
    done = tuple(int(place) for place in order[: len(found.outputs)])
    return Side(
        "fp16", done, tuple(_decoded(subject, dataset, p, o, numbers) for p, o in zip(done, found.outputs, strict=True))
    )


def _decoded(
    subject: Subject, dataset: Dataset, place: int, outputs: Mapping[str, NDArray[np.generic]], numbers: Mapping[str, int]
) -> Answer:
    try:
        found = subject.decode(outputs, dataset.pictures[place].load().size, 0.0).items
    except ValueError:  # NaN: it detects nothing
        found = ()
    return answer_of(found, numbers)


def _applies(subject: Subject) -> bool:
    return subject.outside.dataset is not None


GATE = Gate(ID, "Accuracy", "the bundle detects annotated objects as well as the reference", run, _applies)
