"""A bundle as a contender, on the CPU or on a GPU."""

from __future__ import annotations

import time
from pathlib import Path

from detr2litert.host_runtime.bundle import Bundle, file_sha256
from detr2litert.host_runtime.compiled_graph import Accelerator
from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.manifest import MANIFEST_NAME
from detr2litert.host_runtime.runner import Form, Runner
from detr2litert.verify.bench.contender import THRESHOLD, Inferred, Picture, Prepared
from detr2litert.verify.bench.pictures import prepare_picture
from detr2litert.verify.bench.setup import LITERT, Setup
from detr2litert.verify.bench.stages import GRAPH_A, GRAPH_B, HOST_STEP, POSTPROCESS
from detr2litert.verify.delegate.adapters import Driver

FALLBACK = "its native form did not run here: the times are those of its portable form"
SOFTWARE = "the GPU is one in software: its times say nothing about a phone's"

_STAGES = {"graph_a": GRAPH_A, "host_step": HOST_STEP, "graph_b": GRAPH_B}


class BundleContender:
    """A compiled bundle, as ``detr2litert detect`` runs it: graph A's outputs that only graph B reads are not copied out.

    Args:
        name: of the contender.
        bundle: a loaded bundle, which stays open, or the path of one.
        threads: of the CPU's kernels.
        driver: the GPU to run on, already activated; None for the CPU.
        form: of the graphs; by default the native one is tried first on a GPU.

    Raises:
        UserError: as ``Runner``.
    """

    def __init__(
        self, name: str, bundle: Bundle | Path, *, threads: int, driver: Driver | None = None, form: Form | None = None
    ) -> None:
        accelerator: Accelerator = "cpu" if driver is None else "gpu"
        self.name = name
        self.runner = Runner(bundle, accelerator, threads=threads, form=form)
        manifest = self.runner.bundle.manifest
        self.preprocess = manifest.preprocess
        self.variant = manifest.variant
        software = driver is not None and not driver.adapter.hardware
        fell_back = driver is not None and form is None and manifest.native is not None and self.runner.form == "portable"
        self.notes = (*([FALLBACK] if fell_back else []), *([SOFTWARE] if software else []))
        self.setup = Setup(
            engine=LITERT,
            accelerator=accelerator,
            device="" if driver is None else driver.adapter.name,
            driver="" if driver is None else f"{driver.source}, Vulkan {driver.adapter.api_version}",
            software=software,
            threads=threads,
            # The delegate computes in fp16 wherever the adapter can, unless fp32 is enforced.
            precision="fp16" if driver is not None and driver.adapter.fp16 else "fp32",
            form=self.runner.form,
            height=self.preprocess.height,
            width=self.preprocess.width,
            sha256=file_sha256(self.runner.bundle.path(MANIFEST_NAME)),
        )

    def prepare(self, picture: Picture) -> Prepared:
        """See ``Contender``."""
        return prepare_picture(picture, self.preprocess, self.runner.graph_a.spec.inputs[0])

    def infer(self, prepared: Prepared) -> Inferred:
        """See ``Contender``."""
        outputs = self.runner.run(prepared.tensor, all_outputs=False)
        start = time.perf_counter()
        try:
            found = self.runner.decode(outputs, prepared.size, threshold=THRESHOLD)
        except ValueError as error:
            raise UserError(f"{self.name}: {error}; see what `detr2litert verify` says of it") from error
        decoded = (time.perf_counter() - start) * 1e3
        stages = {_STAGES[name]: milliseconds for name, milliseconds in outputs.milliseconds.items()}
        return Inferred({**stages, POSTPROCESS: decoded}, len(found))

    def close(self) -> None:
        """See ``Contender``."""
        self.runner.close()
