"""Times whole frames of a bundle, of the same detector as an ONNX file and of PyTorch, by ``detr2litert bench``."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from detr2litert.convert.models.variants import Variant
from detr2litert.host_runtime.bundle import load_bundle
from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.preprocess import load_image
from detr2litert.verify.bench.compare import compare_in_turns
from detr2litert.verify.bench.record import BenchRecord
from detr2litert.verify.delegate.driver import HOW_TO_GET, find_driver

PICTURE_SIZE = (640, 480)
"""Width and height of the picture, in pixels; a frequent size of camera previews."""


@dataclass(frozen=True)
class FrameTimes:
    """The times of one detector's frames.

    Attributes:
        cpu: of the bundle, the ONNX file and PyTorch, in turns.
        gpu: of the bundle; None without a GPU.
        no_gpu: why there is none, "" otherwise.
    """

    cpu: BenchRecord
    gpu: BenchRecord | None = None
    no_gpu: str = ""


def time_frames(variant: Variant, bundle: Path, runs: int, threads: int) -> FrameTimes:
    """Exports the ONNX file and times all of them on the bundle's golden picture, a JPEG file of ``PICTURE_SIZE``.

    Args:
        variant: what the bundle was made of, with its bundled weights or else random ones of seed 0.
        bundle: folder of a bundle with golden vectors; files are written beside it.
        runs: timed frames on the CPU; on a GPU the command's own default.
        threads: of the CPU's kernels.

    Raises:
        UserError: a command failed.
    """
    picture, onnx = bundle.with_name(f"{bundle.name}.jpg"), bundle.with_name(f"{bundle.name}.onnx")
    with load_bundle(bundle) as loaded:
        golden = loaded.manifest.golden
        assert golden is not None
        load_image(loaded.path(golden.image)).resize(PICTURE_SIZE).save(picture, quality=95)
    weights = () if variant.bundled is not None else ("--weights", "random")
    _command("export", "--variant", variant.name, *weights, "--out", onnx)
    common = (bundle, "--images", picture, "--threads", threads)
    cpu = bench(*common, "--runs", runs, "--against", onnx, "--against", "pytorch")
    if find_driver() is None:
        return FrameTimes(cpu, no_gpu=f"no Vulkan adapter; {HOW_TO_GET}")
    return FrameTimes(cpu, bench(*common, "--accelerator", "gpu"))


def bench(*arguments: object) -> BenchRecord:
    """Runs ``detr2litert bench ARGUMENTS`` and returns its record, with the comparisons of its contenders.

    Raises:
        UserError: the command failed.
    """
    record = BenchRecord.from_json(json.loads(_command("bench", *arguments, "--json")))
    return replace(record, comparisons=tuple(compare_in_turns(record.contenders, frozenset(), record.seed)))


def _command(*arguments: object) -> str:
    """Runs a command of this project and returns what it printed."""
    words = [sys.executable, "-m", "detr2litert", *map(str, arguments)]
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = next((line.strip() for line in reversed(done.stderr.splitlines()) if line.strip()), "no output")
        raise UserError(f"{' '.join(words[1:])} ended with {done.returncode}: {last}")
    return done.stdout
