"""Asks the original project for its detections: a script of its own, in the environment where the project is installed.

The script imports nothing of this project, loads the same checkpoint with the original's own loader, and writes COCO results.
So the original needs none of our packages, and we none of its. What the file or the user states of the detector is passed on
where the original's constructor takes it; where it computes with something else, the answer says so (``Answer.differs``).
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detr2litert.convert.models.reference import Reference
from detr2litert.convert.models.settings.setting import Size, in_words
from detr2litert.convert.proof.scenes import Picture
from detr2litert.host_runtime.errors import UserError, reason
from detr2litert.host_runtime.foreign_json import REPORT, read_json
from detr2litert.host_runtime.scratch import scratch_folder
from detr2litert.verify.accuracy.expected_file import ExpectedDetection, read_expected

PACKAGE, CLONE = "oracle_rfdetr.py", "oracle_yaml.py"
"""The scripts: for a package that is installed, and for a clone with YAML configurations."""
SCRIPTS = {"RF-DETR": PACKAGE, "RF-DETR Seg": PACKAGE, "RT-DETR": CLONE, "RT-DETRv2": CLONE, "D-FINE": CLONE, "DEIMv2": CLONE}
"""Family → script. DEIM's checkpoints are of the families D-FINE and RT-DETRv2."""
_LOWER = 0.1
_SECONDS = 1800


@dataclass(frozen=True)
class Answer:
    """What the original project answers.

    Attributes:
        source: what answered, and with which settings.
        differs: in one line, the settings with which it computes something else than the reference; "" if none is known.
        detections: in each picture, with masks where the original gives them.
    """

    source: str
    differs: str
    detections: tuple[tuple[ExpectedDetection, ...], ...]


def ask_original(
    python: Path, reference: Reference, pictures: Sequence[Picture], threshold: float, config: Path | None = None
) -> Answer:
    """Runs the original project on pictures.

    Args:
        python: interpreter of an environment where it runs.
        reference: whose checkpoint to load; a file, as the original reads it.
        pictures: to detect in.
        threshold: score that counts as a detection; lower ones are asked for too.
        config: the YAML configuration of the training, in a clone of the project.

    Raises:
        UserError: there is no script for the family, no checkpoint file, or the project failed.
    """
    script = _script(reference, config)
    request: dict[str, Any] = {"checkpoint": str(Path(reference.source).absolute()), "threshold": max(0.0, threshold - _LOWER)}
    if script == PACKAGE:
        request.update(_rfdetr_request(reference))
    else:
        assert config is not None, "_script says so"
        request["config"] = str(config.absolute())
    with scratch_folder() as work:
        names = [f"picture_{number}.png" for number in range(len(pictures))]
        for name, picture in zip(names, pictures, strict=True):
            picture.image.save(work / name)
        answer, about = work / "answer.json", work / "about.json"
        request.update(pictures=[str(work / name) for name in names], answer=str(answer), about=str(about))
        (work / "request.json").write_text(json.dumps(request), encoding="utf-8")
        _run(python, Path(__file__).with_name(script), work)
        facts = read_json(about, "what --oracle wrote about itself", REPORT)
        differs = _rfdetr_differs(reference, facts) if script == PACKAGE else _yaml_differs(reference, facts)
        found = read_expected(answer, names, [picture.image.size for picture in pictures])
        source = f"{facts['project']} (--oracle)"
        return Answer(source, differs and f"{source} computes with other settings: {differs}", found)


def _script(reference: Reference, config: Path | None) -> str:
    """Chooses the script.

    Raises:
        UserError: no script can run the original of this checkpoint.
    """
    family, weights = reference.variant.family.name, Path(reference.source)
    script = SCRIPTS.get(family)
    if reference.random or not weights.is_file():
        transformers = "; a folder in transformers' form is read by transformers, which computes the reference itself"
        raise UserError(
            f"--oracle needs a checkpoint file that the original project reads, not {reference.source}"
            f"{transformers if weights.is_dir() else ''}; give --expected or --dataset"
        )
    if script is None:
        raise UserError(
            f"--oracle knows {', '.join(SCRIPTS)}, not {family}, whose settings are arguments of its own program; run its code "
            "yourself and give --expected"
        )
    if script == CLONE and config is None:
        raise UserError(
            f"--oracle of {family} needs --oracle-config, the YAML configuration of the training in a clone of the project"
        )
    if script != CLONE and config is not None:
        raise UserError(f"--oracle-config is for projects with YAML configurations, and {family} has none; leave it out")
    return script


def _run(python: Path, script: Path, work: Path) -> None:
    """Runs a script on ``request.json``.

    Raises:
        UserError: it could not be run, or failed; the last line of its messages says why.
    """
    try:
        done = subprocess.run(
            [str(python), str(script), str(work / "request.json")],
            cwd=work, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=_SECONDS, check=False,
        )  # fmt: skip
    except OSError as error:
        raise UserError(f"--oracle {python}: cannot be run ({reason(error)}); give the path of a python") from error
    except subprocess.TimeoutExpired as error:
        raise UserError(f"--oracle {python}: no answer after {_SECONDS} s") from error
    if done.returncode or not (work / "about.json").exists():
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise UserError(f"--oracle {python}: failed with exit code {done.returncode}: {lines[-1] if lines else 'no message'}")


def _rfdetr_request(reference: Reference) -> dict[str, Any]:
    """Returns what rfdetr's constructor may have to be told: what the file's tensors, its arguments or the user state.

    A setting that nobody states is left to the original: what it assumes then is what the comparison is about.
    """
    family = reference.variant.family
    by_setting = {setting: argument for argument, setting in family.arguments.items()}
    stated = {
        by_setting[name]: value.value.height if name == "resolution" else value.value
        for name, value in reference.settings
        if name in by_setting and not value.is_default and not (isinstance(value.value, Size) and _oblong(value.value))
    }
    config: Any = reference.module.model.config
    backbone = config.backbone_config
    shapes = {
        "patch_size": backbone.patch_size,
        "positional_encoding_size": backbone.image_size // backbone.patch_size,
        "group_detr": config.group_detr,
    }
    return {
        "class": reference.variant.class_name or f"a class of the size {reference.variant.name}",
        "stated": stated,
        "shapes": shapes,
        "channels": reference.channels,
    }


def _oblong(size: Size) -> bool:
    return size.height != size.width


def _rfdetr_differs(reference: Reference, facts: Mapping[str, Any]) -> str:
    """Names the settings of the reference that this version of rfdetr does not compute with."""
    family, settings = reference.variant.family, reference.settings
    effective, usual = facts["effective"], reference.variant.default_settings()
    differing = []
    for name, value in settings:
        argument = next((argument for argument, setting in family.arguments.items() if setting == name), None)
        if name == "resize":
            version = re.match(r"(\d+)\.(\d+)", facts["version"])
            plain = version is None or (int(version[1]), int(version[2])) >= (family.antialiased_before or (0, 0))
            own: Any = "bilinear" if plain else "bilinear_antialias"
        elif argument in effective:
            own = effective[argument]
            own = Size(own, own) if name == "resolution" else tuple(own) if isinstance(own, list) else own
        elif value.is_default or value.value == usual[name]:
            continue  # nothing to pass on: what a version without the argument computes with
        else:
            own = None
        if own != value.value:
            instead = "which it cannot be told" if own is None else f"not {in_words(own)}"
            differing.append(f"{name} {in_words(value.value)} here, {instead}")
    return "; ".join(differing)


def _yaml_differs(reference: Reference, facts: Mapping[str, Any]) -> str:
    """Names the settings of the reference that are others than the configuration's, with the options that make them equal."""
    settings, theirs = reference.settings, facts["settings"]
    differing = []
    for name, ours in (
        ("resolution", settings.resolution.value),
        ("num_queries", settings.num_queries.value),
        ("num_select", settings.num_select.value),
    ):
        own = theirs.get(name)
        own = Size(*own) if isinstance(own, list) else own
        if own is not None and own != ours:
            option = f"{own.height}x{own.width}" if isinstance(own, Size) else own
            differing.append(f"{name} {ours} here, not {own} (--set {name}={option})")
    return "; ".join(differing)
