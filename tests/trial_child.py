"""The child process of ``trials.py``: does something with each of many files, and prints a line for each as soon as it is done.

Run as a script with what to do and a file of paths, one a line; may be killed by a file.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np


def run(path: Path) -> str:
    """Compiles a graph on the CPU as the runner does, and runs it on zeros."""
    from detr2litert.host_runtime.compiled_graph import CompiledGraph
    from detr2litert.host_runtime.manifest import GraphSpec, TensorSpec
    from detr2litert.host_runtime.tflite.graph import read_graph

    graph = read_graph(path)
    inputs, outputs = (
        tuple(TensorSpec(name, graph.tensors[index].shape, graph.tensors[index].dtype) for name, index in side.items())
        for side in (graph.signature_inputs, graph.signature_outputs)
    )
    compiled = CompiledGraph(path, GraphSpec(path.name, inputs, outputs, graph.signature))
    compiled({item.name: np.zeros(item.shape, item.dtype) for item in inputs})
    compiled.close()
    return "ran"


def check(path: Path) -> str:
    """``convert check FILE --no-gpu``."""
    return _command("check", path, "--no-gpu", "--json")


def detect(path: Path) -> str:
    """``convert detect`` on the bundle in the file's folder, with its own golden picture."""
    return _command("detect", path.parent, path.parent / "golden/image.png")


def _command(*arguments: object) -> str:
    from click.testing import CliRunner

    from detr2litert.convert.cli.main import cli

    result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return f"exit {result.exit_code} {result.stderr.strip()}"


def main() -> None:
    """Tries every path of the list."""
    from detr2litert.host_runtime.errors import UserError

    action = {"run": run, "check": check, "detect": detect}[sys.argv[1]]
    for line in Path(sys.argv[2]).read_text().splitlines():
        try:
            outcome = action(Path(line))
        except UserError as error:
            outcome = f"exit 2 error: {error}"
        except Exception as error:
            outcome = f"{type(error).__name__}: {error}"
        print(json.dumps(outcome), flush=True)


if __name__ == "__main__":
    main()
