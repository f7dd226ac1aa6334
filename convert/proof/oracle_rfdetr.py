"""Runs rfdetr on pictures, in the environment where it is installed; started by ``oracle.py``, imports nothing of this project.

Argument: a JSON file with

- ``checkpoint``, ``class`` (``RFDETRNano``), ``pictures``, and ``threshold``, the lowest score;
- ``stated``: what the file or the user states of the model, by argument of the constructor;
- ``shapes``: the same of what the file's tensors show, which an older version may have no argument for;
- ``channels`` of the input;
- ``answer``, ``about``: the files to write: COCO results with names, and what answered.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


def load(request: Mapping[str, Any], version: str) -> tuple[Any, dict[str, Any]]:
    """Loads with the package's own loader: the one that reads the class from the file, else the class of that size.

    Returns the model, and what it was told: the arguments that differ from the defaults of its class.
    """
    package, kind = importlib.import_module("rfdetr"), request["class"]
    config = getattr(importlib.import_module("rfdetr.config"), f"{kind}Config", None)
    if config is None or not hasattr(package, kind):
        raise SystemExit(f"rfdetr {version} has no {kind}; give the python of another version")
    known = config.model_fields
    arguments = {name: value for name, value in {**request["shapes"], **request["stated"]}.items() if name in known}
    base = getattr(importlib.import_module("rfdetr.detr"), "RFDETR", None)
    if base is not None and hasattr(base, "from_checkpoint"):
        try:
            # All of them: the file may state others than the class, and than the user.
            model = base.from_checkpoint(request["checkpoint"], device="cpu", **arguments)
            return model, other_than(type(model.model_config).model_fields, arguments)
        except (KeyError, TypeError, ValueError) as error:
            print(f"from_checkpoint: {error}", file=sys.stderr)
    told = other_than(known, arguments)
    return getattr(package, kind)(pretrain_weights=request["checkpoint"], device="cpu", **told), told


def other_than(fields: Mapping[str, Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the arguments that are not the default of their field."""
    return {
        name: value
        for name, value in arguments.items()
        if name not in fields or fields[name].get_default(call_default_factory=True) != value
    }


def effective(model: Any, request: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what the model computes with, of what it could be told and of what its prediction decides itself."""
    own = {name: getattr(model.model_config, name) for name in request["stated"] if hasattr(model.model_config, name)}
    inner = model.model
    own["resolution"] = inner.resolution
    process: Any = getattr(inner, "postprocess", None) or getattr(inner, "postprocessors", {}).get("bbox")
    if hasattr(process, "num_select"):
        # Some versions select another number than the model's settings say.
        own["num_select"] = process.num_select
    return own


def names_of(model: Any) -> dict[int, str]:
    """Class id → name: a mapping in older versions, a list in newer ones."""
    names = getattr(model, "class_names", None) or {}
    return dict(names) if isinstance(names, dict) else dict(enumerate(names))


def read(path: str, channels: int) -> Any:
    """Reads a picture: as rfdetr takes it, or for other than three channels as the tensor that it needs."""
    from PIL import Image

    picture = Image.open(path).convert({1: "L", 4: "RGBA"}.get(channels, "RGB"))
    if channels == 3:
        return picture
    import numpy
    import torch

    values = torch.from_numpy(numpy.array(picture)).float().div(255)
    return values[None] if values.dim() == 2 else values.permute(2, 0, 1)


def rows(model: Any, path: str, request: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """One picture's detections."""
    found = model.predict(read(path, request["channels"]), threshold=request["threshold"])
    known, data = names_of(model), getattr(found, "data", {}).get("class_name")
    for i, (left, top, right, bottom) in enumerate(found.xyxy.tolist()):
        score, number = found.confidence[i], found.class_id[i]
        row = {"image_id": Path(path).name, "category_id": int(number), "score": float(score)}
        row["bbox"] = [left, top, right - left, bottom - top]
        if getattr(found, "mask", None) is not None:
            row["segmentation"] = run_lengths(found.mask[i])
        name = str(data[i]) if data is not None else known.get(int(number))
        if right > left and bottom > top and name != "__background__":
            yield {**row, "category_name": name} if name is not None else row


def run_lengths(mask: Any) -> dict[str, Any]:
    """Returns a mask [height, width] in COCO's form: pixels column by column, the runs of 0 and 1 in turn, of 0 first."""
    import numpy

    pixels = numpy.asarray(mask, bool)
    ends = numpy.flatnonzero(numpy.diff(pixels.T.reshape(-1), prepend=False, append=not pixels[-1, -1]))
    return {"size": list(pixels.shape), "counts": numpy.diff(ends, prepend=0).tolist()}


def main() -> None:
    """Answers the request."""
    request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    version = importlib.metadata.version("rfdetr")
    model, told = load(request, version)
    found = [row for path in request["pictures"] for row in rows(model, path, request)]
    Path(request["answer"]).write_text(json.dumps(found), encoding="utf-8")
    arguments = ", ".join(f"{name}={value}" for name, value in sorted(told.items()))
    about = {
        "project": f"rfdetr {version}" + (f", {type(model).__name__}({arguments})" if told else ""),
        "version": version,
        "effective": effective(model, request),
    }
    Path(request["about"]).write_text(json.dumps(about), encoding="utf-8")


if __name__ == "__main__":
    main()
