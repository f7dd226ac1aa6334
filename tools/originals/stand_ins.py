"""Stand-ins for packages that an original project imports and that cannot be installed here, torchvision above all.

Of torchvision only what inference computes with is implemented: ``to_tensor``, ``normalize``, ``resize`` and ``box_area``. The
rest, and every other absent package, is a module whose attributes are empty classes, enough for imports and base classes.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

_ABSENT = (
    *("torchvision", "cv2", "albumentations", "kornia", "fairscale", "timm", "open_clip", "rf100vl", "roboflow", "pylabel"),
    *("wandb", "onnx", "onnxsim", "onnxruntime", "onnx_graphsurgeon", "polygraphy", "tensorrt", "pycuda", "pillow_avif", "pandas"),
    *("faster_coco_eval", "hotcoco", "ufcoco", "vernier"),
)


class _EmptyType(type):
    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _empty(name)


def _empty(name: str) -> Any:
    def init(_self: object, *_args: object, **_keywords: object) -> None:
        pass

    return _EmptyType(name, (), {"__init__": init})


class _EmptyModule(ModuleType):
    __version__ = "0.28.0"
    __path__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _empty(name)


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, fullname: str, _path: object = None, _target: object = None) -> Any:
        if fullname.partition(".")[0] in _ABSENT:
            return importlib.machinery.ModuleSpec(fullname, self, is_package=True)
        return None

    def create_module(self, spec: Any) -> ModuleType:
        return _EmptyModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        for name, value in _IMPLEMENTED.get(module.__name__, {}).items():
            setattr(module, name, value)


def install() -> None:
    """Makes every import of an absent package succeed. Packages that are installed stay as they are."""
    import transformers.utils.import_utils as installed

    installed.is_torchvision_available()  # asked, and remembered, before the stand-in looks like the package
    sys.meta_path.append(_Finder())


def to_tensor(picture: Image.Image | np.ndarray[Any, Any]) -> Tensor:
    """Returns the picture as ``[channels, height, width]``, bytes divided by 255."""
    values = torch.from_numpy(np.array(picture))
    values = (values if values.dim() == 3 else values[:, :, None]).permute(2, 0, 1).contiguous()
    return values.to(torch.float32).div(255) if values.dtype == torch.uint8 else values


def normalize(tensor: Tensor, mean: Sequence[float], std: Sequence[float], inplace: bool = False) -> Tensor:
    """Subtracts the mean and divides by the standard deviation of each channel."""
    shift, scale = (torch.as_tensor(values, dtype=tensor.dtype).view(-1, 1, 1) for values in (mean, std))
    return (tensor if inplace else tensor.clone()).sub_(shift).div_(scale)


def resize(
    picture: Tensor | Image.Image,
    size: Sequence[int],
    interpolation: object = None,
    max_size: int | None = None,
    antialias: bool = True,
) -> Any:
    """Resizes bilinearly to (height, width). torchvision's default for tensors is antialias since 0.17."""
    if isinstance(picture, Image.Image):
        return picture.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    batch = picture if picture.dim() == 4 else picture[None]
    resized = torch.nn.functional.interpolate(
        batch, size=tuple(size), mode="bilinear", align_corners=False, antialias=antialias
    )
    return resized if picture.dim() == 4 else resized[0]


def box_area(boxes: Tensor) -> Tensor:
    """Returns the area of each (x0, y0, x1, y1)."""
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


_IMPLEMENTED: dict[str, dict[str, Any]] = {
    "torchvision": {"_is_tracing": lambda: False},
    "torchvision.transforms.functional": {"to_tensor": to_tensor, "normalize": normalize, "resize": resize},
    "torchvision.ops.boxes": {"box_area": box_area},
}
