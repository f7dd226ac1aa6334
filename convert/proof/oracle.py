"""Asks the original project for its detections: a script of its own, in the environment where the project is installed.

The script imports nothing of this project, loads the same checkpoint with the original's own loader, and writes COCO results
with names. So the original needs none of our packages, and we none of its.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from detr2litert.convert.models.reference import Reference
from detr2litert.convert.proof.scenes import Picture
from detr2litert.host_runtime.errors import UserError, reason
from detr2litert.verify.accuracy.expected_file import ExpectedDetection, read_expected

SCRIPTS = {"RF-DETR": Path(__file__).with_name("oracle_rfdetr.py")}
"""Family → script."""
_LOWER = 0.1
_SECONDS = 1800


def ask_original(
    python: Path, reference: Reference, pictures: Sequence[Picture], threshold: float
) -> tuple[str, tuple[tuple[ExpectedDetection, ...], ...]]:
    """Runs the original project on pictures.

    Args:
        python: interpreter of an environment where it is installed.
        reference: whose checkpoint to load; a file, as the original reads it.
        pictures: to detect in.
        threshold: score that counts as a detection; lower ones are asked for too.

    Returns:
        What answered, and the detections in each picture.

    Raises:
        UserError: there is no script for the family, no checkpoint file, or the project failed.
    """
    family = reference.variant.family.name
    script, weights = SCRIPTS.get(family), Path(reference.source)
    if script is None:
        raise UserError(f"--oracle knows {', '.join(SCRIPTS)}, not {family}; run its code yourself and give --expected")
    if reference.random or not weights.is_file():
        raise UserError(f"--oracle needs a checkpoint file that the original project reads, not {reference.source}")
    with tempfile.TemporaryDirectory(prefix="detr2litert-") as folder:
        work = Path(folder)
        names = [f"picture_{number}.png" for number in range(len(pictures))]
        for name, picture in zip(names, pictures, strict=True):
            picture.image.save(work / name)
        answer = work / "answer.json"
        lowest = max(0.0, threshold - _LOWER)
        command = [str(python), str(script), str(weights.absolute()), reference.variant.name, f"{lowest:g}", str(answer)]
        try:
            done = subprocess.run(
                [*command, *(str(work / name) for name in names)],
                cwd=work, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=_SECONDS, check=False,
            )  # fmt: skip
        except OSError as error:
            raise UserError(f"--oracle {python}: cannot be run ({reason(error)}); give the path of a python") from error
        except subprocess.TimeoutExpired as error:
            raise UserError(f"--oracle {python}: no answer after {_SECONDS} s") from error
        if done.returncode or not answer.exists():
            lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
            raise UserError(
                f"--oracle {python}: failed with exit code {done.returncode}: {lines[-1] if lines else 'no message'}"
            )
        version = done.stdout.strip().splitlines()[-1] if done.stdout.strip() else family
        return f"{version} (--oracle)", read_expected(answer, names)
