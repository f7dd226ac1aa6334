"""What a contender ran on, and in what two set-ups differ: times of different set-ups do not compare detectors."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from detr2litert.host_runtime.manifest import Preprocess

LITERT, PYTORCH, TORCH_COMPILE, ONNX_RUNTIME = "LiteRT", "PyTorch eager", "torch.compile", "ONNX Runtime"

_COMPARED = ("accelerator", "device", "driver", "threads", "precision", "form")


@dataclass(frozen=True)
class Setup:
    """The set-up of one contender.

    Attributes:
        engine: ``LITERT``, ``PYTORCH``, ``TORCH_COMPILE`` or ``ONNX_RUNTIME``.
        accelerator: ``"cpu"`` or ``"gpu"``.
        device: name of the GPU's Vulkan adapter, "" on the CPU.
        driver: where its driver is from and its version of Vulkan, "" on the CPU.
        software: True for a GPU in software, whose times say nothing about a phone's.
        threads: of the CPU's kernels.
        precision: that it computes in: ``"fp32"`` or ``"fp16"``.
        form: of a bundle's graphs, ``"native"`` or ``"portable"``; "" for anything else.
        height, width: of the detector's input in pixels.
        sha256: of the bundle's manifest, the ONNX file or the weights.
    """

    engine: str
    accelerator: str
    device: str
    driver: str
    software: bool
    threads: int
    precision: str
    form: str
    height: int
    width: int
    sha256: str

    @classmethod
    def on_cpu(cls, engine: str, threads: int, preprocess: Preprocess, sha256: str) -> Setup:
        """Returns that of a detector which an engine other than LiteRT computes on the CPU, in fp32."""
        size = {"height": preprocess.height, "width": preprocess.width}
        return cls(
            engine,
            "cpu",
            device="",
            driver="",
            software=False,
            threads=threads,
            precision="fp32",
            form="",
            **size,
            sha256=sha256,
        )


@dataclass(frozen=True)
class Difference:
    """One thing in which two set-ups differ."""

    what: str
    first: str
    second: str

    def __str__(self) -> str:
        return f"{self.what}: {self.first or 'none'} and {self.second or 'none'}"


def differing(first: Setup, second: Setup, chosen: Collection[str] = ()) -> list[Difference]:
    """Returns in what two set-ups differ, apart from the detector and the engine, which are what a comparison is about.

    Args:
        first, second: the set-ups.
        chosen: names of fields in which they differ because the user asked for it.
    """
    found = []
    for name in _COMPARED:
        values = [str(getattr(setup, name)) for setup in (first, second)]
        if name == "form" and "" in values:
            continue
        if values[0] != values[1] and name not in chosen:
            found.append(Difference(name, *values))
    return found
