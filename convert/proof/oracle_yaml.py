"""Runs a clone of RT-DETR, D-FINE, DEIM or DEIMv2 on pictures; started by ``oracle.py``, imports nothing of this project.

Argument: a JSON file with

- ``checkpoint``, ``config`` (a YAML file below the clone), ``pictures``, and ``threshold``, the lowest score;
- ``answer``, ``about``: the files to write: COCO results, and what answered.

Weights and picture go the way of the project's own inference (tools/inference/torch_inf.py in D-FINE, tools/infer.py in
RT-DETR): averaged weights where there are any, a model and a post-processing after ``deploy()``, a picture that Pillow resized,
divided by 255. The size is ``eval_spatial_size``, and mean and deviation are those of the evaluation's data set.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

_PACKAGES = ("src", "engine")
_BACKBONES = ("HGNetv2", "PResNet")
"""Backbones that fetch pre-trained weights unless told otherwise; the checkpoint has their weights."""
_SIDE = 640
"""Of RT-DETR's own inference, where a configuration has no size."""


def clone_of(config: Path) -> tuple[Path, str]:
    """Returns the folder above a configuration that has the project's package, and the package's name."""
    for folder in config.parents:
        for package in _PACKAGES:
            if (folder / package / "core").is_dir():
                return folder, package
    raise SystemExit(f"{config} is in no clone of a project: no folder above it has src/core or engine/core")


def configure(config: Path, package: str, checkpoint: str) -> Any:
    """Reads the configuration with the project's own reader; nothing is fetched."""
    settings = importlib.import_module(f"{package}.core").YAMLConfig(str(config), resume=checkpoint)
    for name, section in settings.yaml_cfg.items():
        if isinstance(section, dict) and (name in _BACKBONES or section.get("pretrained")):
            section["pretrained"] = False
    return settings


def state_of(checkpoint: str) -> Any:
    """Returns the evaluated weights of a checkpoint: the averaged ones if there are any."""
    import torch

    stored = torch.load(checkpoint, map_location="cpu", weights_only=True)
    if "ema" in stored:
        return stored["ema"]["module"]
    if "model" in stored:
        return stored["model"]
    raise SystemExit(f"{checkpoint} has neither ema nor model, which the project's inference reads")


def size_of(settings: Mapping[str, Any]) -> list[int]:
    """Returns height and width of the evaluation; RT-DETR's first version has them in its modules' sections."""
    for section in (settings, *(section for section in settings.values() if isinstance(section, dict))):
        if section.get("eval_spatial_size"):
            return list(section["eval_spatial_size"])
    return [_SIDE, _SIDE]


def normalisation_of(settings: Mapping[str, Any]) -> tuple[list[float], list[float]]:
    """Returns mean and deviation of the evaluation's transforms; 0 and 1 without any."""
    place: Any = settings
    for key in ("val_dataloader", "dataset", "transforms", "ops"):
        place = (place or {}).get(key)
    for step in place or []:
        if step.get("type") == "Normalize":
            return list(step["mean"]), list(step["std"])
    return [0.0], [1.0]


def names_of(settings: Mapping[str, Any], package: str) -> dict[int, str]:
    """Returns COCO's names by label where the project maps its labels to COCO's categories; else none."""
    if not settings.get("remap_mscoco_category"):
        return {}
    for name, module in list(sys.modules.items()):
        known = vars(module) if name.startswith(f"{package}.") else {}
        if "mscoco_label2category" in known and "mscoco_category2name" in known:
            named = known["mscoco_category2name"]
            return {label: named[category] for label, category in known["mscoco_label2category"].items()}
    return {}


def detector(
    settings: Any, checkpoint: str, size: list[int]
) -> tuple[Callable[[Any], tuple[Any, Any, Any]], dict[str, int | None]]:
    """Returns a function from a picture to labels, boxes and scores, and the numbers of queries and of selected detections."""
    import numpy
    import torch
    from PIL import Image

    model = settings.model
    model.load_state_dict(state_of(checkpoint))
    queries = next((module.num_queries for module in model.modules() if hasattr(module, "num_queries")), None)
    model, process = model.deploy(), settings.postprocessor.deploy()
    mean, deviation = (torch.tensor(values)[:, None, None] for values in normalisation_of(settings.yaml_cfg))

    def detect(picture: Any) -> tuple[Any, Any, Any]:
        resized = picture.resize((size[1], size[0]), Image.Resampling.BILINEAR)
        values = torch.from_numpy(numpy.array(resized)).permute(2, 0, 1).float().div(255)
        with torch.no_grad():
            output = process(model(((values - mean) / deviation)[None]), torch.tensor([picture.size]))
        labels, boxes, scores = output
        return labels[0], boxes[0], scores[0]

    return detect, {"num_queries": queries, "num_select": getattr(process, "num_top_queries", None)}


def rows(
    detect: Callable[[Any], tuple[Any, Any, Any]], path: str, threshold: float, names: Mapping[int, str]
) -> Iterator[dict[str, Any]]:
    """One picture's detections; ids are labels, which are columns of the class head."""
    from PIL import Image

    labels, boxes, scores = detect(Image.open(path).convert("RGB"))
    for label, (left, top, right, bottom), score in zip(labels.tolist(), boxes.tolist(), scores.tolist(), strict=True):
        if score > threshold and right > left and bottom > top:
            row = {"image_id": Path(path).name, "category_id": label, "score": score}
            row["bbox"] = [left, top, right - left, bottom - top]
            yield {**row, "category_name": names[label]} if label in names else row


def main() -> None:
    """Answers the request."""
    request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    config = Path(request["config"])
    clone, package = clone_of(config)
    sys.path.insert(0, str(clone))
    # Paths in a configuration are relative to the clone, from where the project's own programs are run.
    os.chdir(clone)
    settings = configure(config, package, request["checkpoint"])
    size = size_of(settings.yaml_cfg)
    detect, numbers = detector(settings, request["checkpoint"], size)
    names = names_of(settings.yaml_cfg, package)
    found = [row for path in request["pictures"] for row in rows(detect, path, request["threshold"], names)]
    Path(request["answer"]).write_text(json.dumps(found), encoding="utf-8")
    about = {"project": f"{clone.name} with {config.name}", "settings": {"resolution": size, **numbers}}
    Path(request["about"]).write_text(json.dumps(about), encoding="utf-8")


if __name__ == "__main__":
    main()
