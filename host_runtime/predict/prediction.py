"""The detections of one picture, as arrays, as plain data, and in other tools' forms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from detr2litert.host_runtime.decode import Detections
from detr2litert.host_runtime.draw import draw_detections
from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.keypoints import FINDABLE, Keypoint
from detr2litert.host_runtime.manifest_keypoints import Keypoints
from detr2litert.host_runtime.predict.frames import Frame

if TYPE_CHECKING:
    import supervision


@dataclass(frozen=True)
class Prediction:
    """The detections of one picture, best first.

    Attributes:
        frame: the picture.
        detections: in its pixels.
        skeletons: the manifest's keypoints, for drawing them; None of a detector without.
    """

    frame: Frame
    detections: Detections
    skeletons: Keypoints | None = None

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
    def keypoints(self) -> NDArray[np.float32] | None:
        """[N, K, 3], x and y in the picture's pixels and score; None if no object has any.

        K is the largest number of keypoints of an object; after those of an object with fewer follow zeros.
        """
        if all(item.keypoints is None for item in self.detections):
            return None
        result = np.zeros((len(self), max(len(item.keypoints or ()) for item in self.detections), 3), np.float32)
        for row, item in enumerate(self.detections):
            for column, point in enumerate(item.keypoints or ()):
                result[row, column] = point.x, point.y, point.score
        return result

    @property
    def keypoint_covariances(self) -> NDArray[np.float32] | None:
        """[N, K, 2, 2], of x and y in square pixels, as ``keypoints``; NaN where there is no keypoint or no covariance."""
        points = self.keypoints
        if points is None:
            return None
        result = np.full((*points.shape[:2], 2, 2), np.nan, np.float32)
        for row, item in enumerate(self.detections):
            for column, point in enumerate(item.keypoints or ()):
                if point.covariance is not None:
                    xx, xy, yy = point.covariance
                    result[row, column] = (xx, xy), (xy, yy)
        return result

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

        A mask is its ``segmentation``, in COCO's run-length form. ``keypoints`` are x, y and COCO's visibility, 2 from a score
        of 0.5 on, else 0, and ``num_keypoints`` the number of the former.
        """
        return [
            {
                "image_id": image_id,
                "category_id": item.class_index,
                "bbox": [item.box[0], item.box[1], item.box[2] - item.box[0], item.box[3] - item.box[1]],
                "score": item.score,
                **({} if item.mask is None else {"segmentation": item.mask.to_dict()}),
                **({} if item.keypoints is None else _coco_keypoints(item.keypoints)),
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

    def to_supervision_keypoints(self) -> supervision.KeyPoints:
        """Returns the keypoints for the package ``supervision``, with ``data["class_name"]``, and ``"xyxy"``, the boxes.

        Raises:
            UserError: it is not installed, or no object has keypoints.
        """
        try:
            import supervision
        except ImportError as error:
            raise UserError("supervision is not installed: pip install supervision") from error
        points = self.keypoints
        if points is None:
            raise UserError("no object in this picture has keypoints; use to_supervision")
        data = {"class_name": np.array(self.names, dtype=np.str_), "xyxy": self.boxes}
        return supervision.KeyPoints(xy=points[..., :2], confidence=points[..., 2], class_id=self.class_ids, data=data)

    def plot(self) -> Image.Image:
        """Returns a copy of the picture with boxes, keypoints, names and scores drawn on it."""
        return draw_detections(self.frame.image, self.detections, self.skeletons)


def _coco_keypoints(points: Sequence[Keypoint]) -> dict[str, Any]:
    found = [point.score >= FINDABLE for point in points]
    flat = [value for point, own in zip(points, found, strict=True) for value in (point.x, point.y, 2 * int(own))]
    return {"keypoints": flat, "num_keypoints": sum(found)}
