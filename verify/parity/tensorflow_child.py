"""The child process of ``second_runtime.py``: runs graphs on TensorFlow's own interpreter and writes their outputs.

It is run as a script with one argument, a folder with ``jobs.json``, and writes there ``started.json`` once TensorFlow is
loaded, then for each graph ``result_<i>.json`` and ``out_<i>_<input>.npz``. Imports nothing of this project.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np


def _run(lite: Any, job: dict[str, Any], index: int, work: Path) -> str:
    """Runs one graph on all its input sets; returns the error, "" if there is none."""
    try:
        # Without a delegate: TensorFlow would use XNNPACK, on which LiteRT computes too, so the check would not be independent.
        # With a buffer for every tensor: TensorFlow 2.21, and ai-edge-litert 2.3.0 without XNNPACK, put two tensors into one
        # buffer although one is still to be read (measured on dfine-tiny's graph B: operator 757 of 838 reads overwritten data,
        # boxes are wrong by 0.127; with separate buffers both are right). XNNPACK and the GPU are not affected.
        interpreter = lite.Interpreter(
            job["model"],
            num_threads=job["threads"],
            experimental_op_resolver_type=lite.experimental.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            experimental_preserve_all_tensors=True,
        )
        runner = interpreter.get_signature_runner()
        for position, path in enumerate(job["inputs"]):
            # Read and written as verify/arrays.py does: the two must agree.
            with np.load(path) as archive:
                given = {name: archive[f"v{n}"] for n, name in enumerate(json.loads(str(archive["names"])))}
            outputs = runner(**given)
            members: dict[str, Any] = {f"v{n}": value for n, value in enumerate(outputs.values())}
            np.savez(work / f"out_{index}_{position}.npz", names=np.array(json.dumps(list(outputs))), **members)
    except Exception as error:
        return " ".join(str(error).split()) or type(error).__name__
    return ""


def main() -> None:
    work = Path(sys.argv[1])
    warnings.simplefilter("ignore")  # a notice that tf.lite has moved to LiteRT, which is the runtime it is compared with
    import tensorflow

    lite = tensorflow.lite
    lite.Interpreter  # noqa: B018 (a release without it fails here)
    (work / "started.json").write_text(json.dumps({"version": tensorflow.__version__}))
    for index, job in enumerate(json.loads((work / "jobs.json").read_text())):
        result = work / f"result_{index}.json"
        result.write_text(json.dumps({"error": _run(lite, job, index, work)}))


if __name__ == "__main__":
    main()
