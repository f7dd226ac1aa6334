"""Rendered scenes held in memory, and batches drawn from them."""

from __future__ import annotations

import multiprocessing
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from detr2litert.convert.demo.corners import COUNTS, in_order
from detr2litert.convert.demo.scenes import CLASSES, SIDE, Scene, render

Targets = list[dict[str, Tensor]]
"""One entry per image: ``boxes`` ``[n, 4]`` as cx, cy, w, h in [0, 1], ``class_labels`` ``[n]``, ``keypoints`` ``[n, 5, 3]`` as
x, y in [0, 1] and visibility, 0 where a class has fewer, and, where a pool has masks, ``masks`` ``[n, S, S]`` bool."""


@dataclass(frozen=True)
class Pool:
    """Rendered scenes held in memory.

    Attributes:
        images: ``[n, S, S, 3]`` uint8.
        boxes: of each scene ``[k, 4]`` as cx, cy, w, h in [0, 1].
        labels: of each scene ``[k]``.
        keypoints: of each scene, of its k shapes, see ``Scene``, in [0, 1].
        masks: of each scene ``[k, S, S / 8]`` uint8, eight pixels a byte (``np.packbits``); empty for a pool without masks.
    """

    images: np.ndarray
    boxes: list[np.ndarray]
    labels: list[np.ndarray]
    keypoints: list[list[np.ndarray]]
    masks: list[np.ndarray] = field(default_factory=list)

    @classmethod
    def rendered(cls, count: int, start: int, processes: int, masks: bool = False) -> Pool:
        with multiprocessing.Pool(processes) as workers:
            scenes = workers.map(_packed if masks else render, range(start, start + count), chunksize=64)
        boxes = []
        for scene in scenes:
            low, high = scene.boxes[:, :2] / SIDE, scene.boxes[:, 2:] / SIDE
            boxes.append(np.concatenate([(low + high) / 2, high - low], 1).astype(np.float32))
        packed = [scene.masks for scene in scenes] if masks else []
        keypoints = [[points / (SIDE, SIDE, 1) for points in scene.keypoints] for scene in scenes]
        return cls(np.stack([np.asarray(s.image) for s in scenes]), boxes, [s.labels for s in scenes], keypoints, packed)

    def draw(self, rng: np.random.Generator, batch: int) -> tuple[Tensor, Targets]:
        """Draws a random batch, mirrored, transposed and recoloured: no class depends on direction or colour.

        Returns:
            Pixels ``[batch, 3, S, S]`` in [0, 1] and their targets.
        """
        images, targets = [], []
        for i in rng.integers(len(self.images), size=batch):
            image, boxes = self.images[i], self.boxes[i].copy()
            keypoints, mirrored = [points.copy() for points in self.keypoints[i]], False
            masks = np.unpackbits(self.masks[i], axis=-1).view(bool) if self.masks else None
            if rng.random() < 0.5:
                image = image[:, ::-1]
                masks = None if masks is None else masks[:, :, ::-1]
                boxes[:, 0] = 1 - boxes[:, 0]
                keypoints, mirrored = [points * (-1, 1, 1) + (1, 0, 0) for points in keypoints], not mirrored
            if rng.random() < 0.5:
                image = image[::-1]
                masks = None if masks is None else masks[:, ::-1]
                boxes[:, 1] = 1 - boxes[:, 1]
                keypoints, mirrored = [points * (1, -1, 1) + (0, 1, 0) for points in keypoints], not mirrored
            if rng.random() < 0.5:
                image = image.transpose(1, 0, 2)
                masks = None if masks is None else masks.transpose(0, 2, 1)
                boxes = boxes[:, [1, 0, 3, 2]]
                keypoints, mirrored = [points[:, [1, 0, 2]] for points in keypoints], not mirrored
            image = image[..., rng.permutation(3)]
            images.append(255 - image if rng.random() < 0.5 else image)
            target = {
                "boxes": torch.from_numpy(boxes),
                "class_labels": torch.from_numpy(self.labels[i]),
                "keypoints": torch.from_numpy(_padded(keypoints, self.labels[i], mirrored)),
            }
            targets.append(target if masks is None else {**target, "masks": torch.from_numpy(masks.copy())})
        return _pixels(np.stack(images)), targets

    def plain(self, which: slice) -> Tensor:
        """Returns the pixels ``[n, 3, S, S]`` in [0, 1] of some scenes without augmentation."""
        return _pixels(self.images[which])


def _padded(keypoints: list[np.ndarray], labels: np.ndarray, mirrored: bool) -> np.ndarray:
    """Returns the keypoints of shapes, in their order, as ``[n, 5, 3]`` float32."""
    padded = np.zeros((len(keypoints), max(COUNTS.values()), 3), np.float32)
    for row, points, label in zip(padded, keypoints, labels, strict=True):
        row[: len(points)] = in_order(CLASSES[label], points, mirrored)
    return padded


def _packed(index: int) -> Scene:
    """Renders a scene with its masks packed, eight pixels a byte."""
    scene = render(index)
    return replace(scene, masks=np.packbits(scene.masks, axis=-1))


def _pixels(images: np.ndarray) -> Tensor:
    # Already channels-last, which is faster for convolutions on a CPU.
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
