"""``convert check``: lints any .tflite file and tries it on the GPU delegate."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from detr2litert.convert.cli.base import STRICT_FLAG, FiniteRange, exit_code, reported
from detr2litert.convert.cli.output import print_gates, print_result
from detr2litert.host_runtime.errors import UserError, readable

if TYPE_CHECKING:
    from detr2litert.verify.gates import GateResult

_WANTED = "give a .tflite file, or a bundle's folder or .zip"
_CHECKPOINT = "a checkpoint: `convert run --weights` makes a bundle of it"
_KINDS = {
    ".onnx": "an ONNX model: convert it to .tflite first, for example with onnx2tf, or from PyTorch with litert-torch",
    ".pb": "a TensorFlow model: convert it to .tflite first, with tf.lite.TFLiteConverter",
    ".h5": "a Keras model: convert it to .tflite first, with tf.lite.TFLiteConverter",
    ".keras": "a Keras model: convert it to .tflite first, with tf.lite.TFLiteConverter",
    ".pt2": "an exported PyTorch program: convert it to .tflite first, with litert-torch",
    **dict.fromkeys((".pt", ".pth", ".ckpt", ".safetensors"), _CHECKPOINT),
}
_ZIP, _LFS = b"PK\x03\x04", b"version https://git-lfs"


@click.command(short_help="Lint a .tflite or bundle; try it on the GPU.")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--target", default="pixel", show_default=True, help="Whose lint rules apply, for a single .tflite file.")
@click.option("--gpu/--no-gpu", default=True, help="Try the file on the GPU delegate.")
@click.option("--timeout", default=900.0, show_default=True, type=FiniteRange(min=1), help="Seconds for the delegate.")
@click.option(
    "--fail-on",
    default="wrong",
    show_default=True,
    type=click.Choice(["refused", "wrong", "risk"]),
    help="Least severe finding to exit with 1 for: what is refused; also what is computed wrong; also risks.",
)
@STRICT_FLAG
@click.option("--json", "as_json", is_flag=True, help="Print the gates as JSON, each finding with its op index and tensors.")
@reported
def check(path: Path, strict: bool, as_json: bool, fail_on: str, **options: Any) -> int:
    """Lint any .tflite file or bundle and try it on the real GPU delegate."""
    from detr2litert.convert.cli.findings import print_findings
    from detr2litert.verify.gates import Verdict

    gates = check_path(path, fail_on=fail_on, **options)
    if as_json:
        print_result(gates, as_json)
    else:
        print_findings(gates)
        # A gate's advice is printed with its findings.
        print_gates([replace(gate, advice="" if gate.findings else gate.advice) for gate in gates])
    milder = [g.gate for g in gates if g.verdict is Verdict.FAILED and g.gate not in failing(gates, fail_on)]
    if milder:
        click.echo(f"less severe than --fail-on {fail_on}, so not counted: {', '.join(milder)}", err=True)
    return exit_code([gate for gate in gates if gate.gate not in milder], strict)


def check_path(path: Path, target: str, gpu: bool, timeout: float, fail_on: str) -> tuple[GateResult, GateResult]:
    """Runs lint and residency on a .tflite file, or on both graphs of a bundle.

    Args:
        path: of the file, with any suffix, or of the bundle's folder or .zip.
        target: whose lint rules apply to a single file; a bundle names its own.
        gpu: False skips the GPU.
        timeout: seconds for the delegate to compile one file.
        fail_on: the mildest severity that fails the lint.

    Raises:
        UserError: it is neither, or cannot be read.
    """
    from detr2litert.convert.targets import find_target
    from detr2litert.host_runtime.bundle import load_bundle
    from detr2litert.host_runtime.tflite.container import is_model

    rules = find_target(target).lint_rules
    with readable(path):
        folder = path.is_dir()
        head = b"" if folder else _head(path)
        if folder:
            _refuse_other_folders(path)
    if folder or head.startswith(_ZIP):
        with load_bundle(path) as bundle:
            rules = find_target(bundle.manifest.target).lint_rules
            return _gates(bundle.graphs(), rules, gpu, timeout, fail_on)
    if not is_model(head) and (path.suffix != ".tflite" or head == _LFS):
        raise UserError(f"{path} is {_kind(path, head)}")
    return _gates({path.stem: path}, rules, gpu, timeout, fail_on)


def _gates(
    graphs: dict[str, Path], rules: tuple[str, ...], gpu: bool, timeout: float, fail_on: str
) -> tuple[GateResult, GateResult]:
    from detr2litert.convert.console import console
    from detr2litert.convert.progress import waiting
    from detr2litert.verify.agreement import compare
    from detr2litert.verify.delegate.driver import LEFT_OUT, NO_ADAPTER, find_driver
    from detr2litert.verify.lint.op_lint import check_lint, severities_from
    from detr2litert.verify.residency import check_residency

    lint = check_lint(graphs, add=rules, fail_on=severities_from(fail_on))
    with waiting(console(stderr=True), "trying it on the GPU delegate"):  # a large file takes minutes
        residency = check_residency(graphs, gpu=(find_driver() or NO_ADAPTER) if gpu else LEFT_OUT, timeout=timeout)
    return compare(lint, residency)


def failing(gates: tuple[GateResult, ...], fail_on: str) -> tuple[str, ...]:
    """Returns the gates that failed with a finding at least as severe as ``fail_on``, or without any finding."""
    from detr2litert.verify.gates import Verdict
    from detr2litert.verify.lint.op_lint import severities_from

    severities = severities_from(fail_on)
    failed = (gate for gate in gates if gate.verdict is Verdict.FAILED)
    return tuple(g.gate for g in failed if not g.findings or any(f.severity in severities for f in g.findings))


def _refuse_other_folders(path: Path) -> None:
    if (path / "manifest.json").exists():
        return
    files = sorted(file.name for file in path.glob("*.tflite"))
    if files:
        more = f" and {len(files) - 3} more" if len(files) > 3 else ""
        raise UserError(f"{path} is not a bundle (no manifest.json); give one of its files: {', '.join(files[:3])}{more}")


def _head(path: Path) -> bytes:
    """Reads the first bytes of a file.

    Raises:
        UserError: it does not exist or is not a regular file.
        OSError: it cannot be read.
    """
    if not path.exists():
        raise UserError(f"no file at {path}; {_WANTED}")
    if not path.is_file():
        raise UserError(f"{path} is not a regular file; {_WANTED}")
    with path.open("rb") as file:
        return file.read(len(_LFS))


def _kind(path: Path, head: bytes) -> str:
    from detr2litert.host_runtime.tflite.container import IDENTIFIER

    if head == _LFS:
        return "a pointer of Git LFS, not the file itself: fetch it with `git lfs pull`"
    known = _KINDS.get(path.suffix.lower())
    return known or f"neither a LiteRT model (no {IDENTIFIER.decode()} mark at byte 4) nor a bundle; {_WANTED}"
