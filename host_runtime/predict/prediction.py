"""The detections of one picture, as arrays, as plain data, and in other tools' forms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from detr2litert.host_runtime.decode import Detections
from detr2litert.host_runtime.draw import draw_detections
from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.predict.frames import Frame

if TYPE_CHECKING:
    import supervision


@dataclass(frozen=True)
class Prediction:
    """The detections of one picture, best first.

    Attributes:
        frame: the picture.
        detections: in its pixels.
    """

    frame: Frame
    detections: Detections

    def __len__(self) -> int:
        return len(self.detections)

    @property
    def boxes(self) -> NDArray[np.float32]:
        """[N, 4] left, top, right, bottom, in the picture's pixels."""
        return np.array([item.box for item in self.detections], np.float32).reshape(-1, 4)

    @property
    def scores(self) -> NDArray[np.float32]:
        """[N], from 0 to 1."""
        return np.array([item.score for item in self.detections], np.float32)

    @property
    def class_ids(self) -> NDArray[np.int64]:
        """[N], the detector's columns: the index of the class name in the manifest's ``classes``."""
        return np.array([item.class_index for item in self.detections], np.int64)

    @property
    def masks(self) -> NDArray[np.bool_] | None:
        """[N, height, width], the picture's pixels of each object; None of a detector without masks."""
        masks = [item.mask.pixels for item in self.detections if item.mask is not None]
        return np.stack(masks) if masks else None

    @property
    def names(self) -> list[str]:
        """N class names."""
        return [item.name for item in self.detections]

    def to_dict(self) -> dict[str, Any]:
        """Returns plain data for JSON; of a film's frame, with its number and its seconds."""
        place = {"frame": self.frame.number, "seconds": self.frame.seconds} if self.frame.number is not None else {}
        return {"image": self.frame.source, **place, **self.detections.to_dict()}

    def to_coco(self, image_id: int) -> list[dict[str, Any]]:
        """Returns the list of COCO's result format: ``category_id`` is the class index, ``bbox`` left, top, width, height.

        A mask is its ``segmentation``, in COCO's run-length form.
        """
        return [
            {
                "image_id": image_id,
                "category_id": item.class_index,
                "bbox": [item.box[0], item.box[1], item.box[2] - item.box[0], item.box[3] - item.box[1]],
                "score": item.score,
                **({} if item.mask is None else {"segmentation": item.mask.to_dict()}),
            }
            for item in self.detections
        ]

    def to_supervision(self) -> supervision.Detections:
        """Returns the detections for the package ``supervision``, with their names as ``data["class_name"]``.

        Raises:
            UserError: it is not installed.
        """
        try:
            import supervision
        except ImportError as error:
            raise UserError("supervision is not installed: pip install supervision") from error
        names = {"class_name": np.array(self.names, dtype=np.str_)}
        return supervision.Detections(
            xyxy=self.boxes, confidence=self.scores, class_id=self.class_ids, mask=self.masks, data=names
        )

    def plot(self) -> Image.Image:
        """Returns a copy of the picture with boxes, names and scores drawn on it."""
        return draw_detections(self.frame.image, self.detections)
