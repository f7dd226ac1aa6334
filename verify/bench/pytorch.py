"""The detector that a bundle was made from, in PyTorch, as a contender: eager, or compiled by ``torch.compile``.

Pre- and post-processing are those of ``host_runtime``, as of every contender.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from detr2litert.host_runtime.decode import decode_outputs
from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.manifest import Manifest
from detr2litert.verify.bench.contender import THRESHOLD, Inferred, Picture, Prepared
from detr2litert.verify.bench.pictures import prepare_picture
from detr2litert.verify.bench.setup import PYTORCH, TORCH_COMPILE, Setup
from detr2litert.verify.bench.stages import DETECTOR, POSTPROCESS

Module = Callable[[Any], tuple[Any, Any]]
"""Takes a float32 tensor ``[1, channels, height, width]``; returns boxes ``[1, Q, 4]`` and logits ``[1, Q, C]``."""


class TorchContender:
    """A PyTorch detector on the CPU.

    Args:
        module: in evaluation mode, in float32.
        manifest: of the bundle that was made from it, for pre- and post-processing.
        threads: of PyTorch's operators, which is a setting of the process until ``close``.
        compiled: whether to compile it with ``torch.compile``; its first frame then takes from seconds to minutes.

    Raises:
        UserError: PyTorch is not installed.
    """

    def __init__(self, module: Module, manifest: Manifest, *, threads: int, compiled: bool) -> None:
        try:
            import torch
        except ImportError as error:
            raise UserError("PyTorch is not installed; install detr2litert[convert], or leave it out of --against") from error
        self._threads_before = torch.get_num_threads()
        torch.set_num_threads(threads)
        self.name = TORCH_COMPILE if compiled else PYTORCH
        self.variant = manifest.variant
        self.notes: tuple[str, ...] = ()
        self._manifest = manifest
        self._module: Module = torch.compile(module) if compiled else module
        self._compiled = compiled
        self.setup = Setup.on_cpu(self.name, threads, manifest.preprocess, manifest.weights.sha256)

    def prepare(self, picture: Picture) -> Prepared:
        """See ``Contender``."""
        return prepare_picture(picture, self._manifest.preprocess)

    def infer(self, prepared: Prepared) -> Inferred:
        """See ``Contender``; also raises UserError if ``torch.compile`` cannot compile the detector."""
        start = time.perf_counter()
        boxes, logits = self._outputs(prepared.tensor)
        computed = time.perf_counter()
        post = self._manifest.postprocess
        try:
            found = decode_outputs(self._manifest, {post.boxes: boxes, post.logits: logits}, prepared.size, threshold=THRESHOLD)
        except ValueError as error:
            raise UserError(f"{self.name}: {error}; the detector itself computes it, see its weights") from error
        end = time.perf_counter()
        return Inferred({DETECTOR: (computed - start) * 1e3, POSTPROCESS: (end - computed) * 1e3}, len(found))

    def _outputs(self, tensor: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        import torch

        try:
            with torch.inference_mode():
                boxes, logits = self._module(torch.from_numpy(tensor))
                return boxes.numpy(), logits.numpy()
        except Exception as error:
            if not self._compiled:
                raise
            # Its back end needs a C++ compiler, and may fail with anything on code that it does not know.
            line = str(error).strip().partition("\n")[0][:300]
            raise UserError(
                f"torch.compile cannot compile this detector here ({type(error).__name__}: {line}); install a C++ compiler "
                "(g++), or use --against pytorch"
            ) from error

    def close(self) -> None:
        """See ``Contender``; PyTorch frees its memory with the object, and gets its number of threads back."""
        import torch

        torch.set_num_threads(self._threads_before)
