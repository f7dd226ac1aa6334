"""``convert check``: lints any .tflite file, tries it on the GPU delegate, and compares what that computes with the CPU."""

from __future__ import annotations

from dataclasses import dataclass, replace
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
@click.option("--target", help="Whose lint rules apply, for a single .tflite file [default: those of every target].")
@click.option("--lint/--no-lint", default=True, help="Compare the file with the rules.")
@click.option("--gpu/--no-gpu", default=True, help="Try the file on the GPU delegate.")
@click.option("--numbers/--no-numbers", default=True, help="Compare what the delegate computes with the CPU.")
@click.option(
    "--inputs", type=click.Path(path_type=Path, dir_okay=False), help="An .npz file with inputs by name, to compare on as well."
)
@click.option(
    "--parts",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the smallest graph of a fault that no rule knows [default: the current one].",
)
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
def check(path: Path, target: str | None, strict: bool, as_json: bool, fail_on: str, **options: Any) -> int:
    """Lint any .tflite file or bundle, try it on the real GPU delegate, and compare what that computes with the CPU."""
    from detr2litert.convert.cli.findings import print_findings
    from detr2litert.verify.gates import Verdict

    gates = check_path(path, target, Choices(fail_on=fail_on, **options))
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


@dataclass(frozen=True)
class Choices:
    """What to check, and how.

    Attributes:
        lint, gpu, numbers: False leaves the gate out; without ``gpu`` nothing is compared either.
        timeout: seconds for the delegate, for each file.
        fail_on: the mildest severity that fails the lint.
        inputs: an .npz file of inputs to compare on as well.
        parts: folder for the smallest graphs of unknown faults.
    """

    lint: bool = True
    gpu: bool = True
    numbers: bool = True
    timeout: float = 900.0
    fail_on: str = "wrong"
    inputs: Path | None = None
    parts: Path | None = None


def check_path(path: Path, target: str | None = None, choices: Choices | None = None) -> tuple[GateResult, ...]:
    """Runs lint, residency and numbers on a .tflite file, or on both graphs of a bundle.

    Args:
        path: of the file, with any suffix, or of the bundle's folder or .zip.
        target: whose lint rules apply to a single file; a bundle names its own. Without one the rules of other backends are
            notes.
        choices: what to check [default: everything].

    Raises:
        UserError: it is neither, or cannot be read, or nothing is left to check.
    """
    from detr2litert.convert.targets import find_target
    from detr2litert.host_runtime.bundle import load_bundle
    from detr2litert.host_runtime.tflite.container import is_model

    choices = choices or Choices()
    if not (choices.lint or choices.gpu):
        raise UserError("nothing is left to check: leave out --no-lint, or --no-gpu")
    rules = find_target(target).lint_rules if target is not None else ()
    with readable(path):
        folder = path.is_dir()
        head = b"" if folder else _head(path)
        if folder:
            _refuse_other_folders(path)
    if folder or head.startswith(_ZIP):
        with load_bundle(path) as bundle:
            return _gates(bundle.graphs(), find_target(bundle.manifest.target).lint_rules, choices)
    if not is_model(head) and (path.suffix != ".tflite" or head == _LFS):
        raise UserError(f"{path} is {_kind(path, head)}")
    return _gates({path.stem: path}, rules, choices)


def _gates(graphs: dict[str, Path], rules: tuple[str, ...], choices: Choices) -> tuple[GateResult, ...]:
    from detr2litert.convert.console import console
    from detr2litert.convert.progress import waiting
    from detr2litert.host_runtime.manifest import NATIVE_SUFFIX
    from detr2litert.verify.agreement import compare
    from detr2litert.verify.delegate.driver import LEFT_OUT, NO_ADAPTER, find_driver, find_fp16_driver
    from detr2litert.verify.lint.op_lint import check_lint, severities_from
    from detr2litert.verify.lint.op_support import load_support
    from detr2litert.verify.numbers.check_numbers import check_numbers
    from detr2litert.verify.residency import check_residency

    gates: tuple[GateResult, ...] = ()
    if choices.lint:
        notes = load_support().elsewhere()
        gates = (check_lint(graphs, add=rules, note=notes, fail_on=severities_from(choices.fail_on)),)
    gpu = (find_driver() or NO_ADAPTER) if choices.gpu else LEFT_OUT
    with waiting(console(stderr=True), "trying it on the GPU delegate"):  # a large file takes minutes
        residency = check_residency(graphs, gpu=gpu, timeout=choices.timeout)
    gates = compare(gates[0], residency) if gates else (residency,)
    if choices.numbers and choices.gpu:
        with waiting(console(stderr=True), "comparing what it computes"):
            fp16 = find_fp16_driver()
            # The CPU cannot run a native graph: `convert verify` compares it with its portable twin.
            portable = {name: path for name, path in graphs.items() if not name.endswith(NATIVE_SUFFIX)}
            gates += (
                check_numbers(
                    portable,
                    gpu=gpu,
                    fp16=fp16,
                    inputs=choices.inputs,
                    rules=rules,
                    parts=choices.parts,
                    timeout=choices.timeout,
                ),
            )
    return gates


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
