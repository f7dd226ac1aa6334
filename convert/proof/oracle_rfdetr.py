"""Runs rfdetr on pictures, in the environment where it is installed; started by ``oracle.py``, imports nothing of this project.

Arguments: checkpoint, size (``nano``), lowest score, file for the answer, pictures. Writes COCO results with names; prints the
version of rfdetr.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def load(checkpoint: str, size: str) -> Any:
    """Loads with the package's own loader: the one that reads the class from the file, else the class of that size."""
    package = importlib.import_module("rfdetr")
    base = getattr(importlib.import_module("rfdetr.detr"), "RFDETR", None)
    if base is not None and hasattr(base, "from_checkpoint"):
        try:
            return base.from_checkpoint(checkpoint, device="cpu")
        except (KeyError, TypeError, ValueError) as error:
            print(f"from_checkpoint: {error}", file=sys.stderr)
    return getattr(package, f"RFDETR{size.title()}")(pretrain_weights=checkpoint, device="cpu")


def names_of(model: Any) -> dict[int, str]:
    """Class id → name: a mapping in older versions, a list in newer ones."""
    names = getattr(model, "class_names", None) or {}
    return dict(names) if isinstance(names, dict) else dict(enumerate(names))


def rows(model: Any, path: str, threshold: float) -> Iterator[dict[str, Any]]:
    """One picture's detections."""
    from PIL import Image

    found = model.predict(Image.open(path).convert("RGB"), threshold=threshold)
    known, data = names_of(model), getattr(found, "data", {}).get("class_name")
    for i, (left, top, right, bottom) in enumerate(found.xyxy.tolist()):
        score, number = found.confidence[i], found.class_id[i]
        row = {"image_id": Path(path).name, "category_id": int(number), "score": float(score)}
        row["bbox"] = [left, top, right - left, bottom - top]
        name = str(data[i]) if data is not None else known.get(int(number))
        if right > left and bottom > top and name != "__background__":
            yield {**row, "category_name": name} if name is not None else row


def main() -> None:
    """Answers for the arguments of the command line."""
    checkpoint, size, threshold, answer, *pictures = sys.argv[1:]
    model = load(checkpoint, size)
    found = [row for path in pictures for row in rows(model, path, float(threshold))]
    Path(answer).write_text(json.dumps(found), encoding="utf-8")
    print(f"rfdetr {importlib.metadata.version('rfdetr')}")


if __name__ == "__main__":
    main()
