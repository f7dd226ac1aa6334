"""A stub of rfdetr in an environment of its own, and what the oracle reads of a reference."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from detr2litert.convert.models.configuration import settings_of
from detr2litert.convert.models.reference import Reference
from detr2litert.convert.models.settings.setting import SETTINGS
from detr2litert.convert.models.variants import VARIANTS

FAKE = """
import sys, types
from pathlib import Path
class Rows(list):
    def tolist(self):
        return list(self)
class RFDETR:
    def __init__(self, pretrain_weights, device, **told):
        assert Path(pretrain_weights).read_text() == "weights" and device == "cpu"
        self.model_config = sys.modules["rfdetr.config"].RFDETRNanoConfig(**told)
        process = types.SimpleNamespace(num_select=self.model_config.num_select)
        self.model = types.SimpleNamespace(resolution=self.model_config.resolution, postprocess=process)
    class_names = {CLASS_NAMES}
    def predict(self, image, threshold):
        assert image.size == (90, 60) and abs(threshold - 0.4) < 1e-6
        return types.SimpleNamespace(xyxy=Rows([[1, 2, 31, 42], [5, 5, 5, 9]]), confidence=[0.9, 0.8], class_id=[1, 0], data={})
class RFDETRNano(RFDETR):
    pass
class RFDETRSegNano(RFDETR):
    def predict(self, image, threshold):
        import numpy
        found = super().predict(image, threshold)
        found.mask = numpy.zeros((2, 60, 90), bool)
        found.mask[0, 2:42, 1:31] = True
        found.mask[0, 2, 1] = found.mask[0, 59, 89] = False
        return found
"""
CONFIG = """
class Field:
    def __init__(self, default):
        self.default = default
    def get_default(self, call_default_factory):
        return self.default
class RFDETRNanoConfig:
    model_fields = {name: Field(value) for name, value in dict(
        resolution=384, num_queries=300, num_select=300, patch_size=16, positional_encoding_size=24,
    ).items()}
    def __init__(self, **told):
        vars(self).update({name: field.default for name, field in self.model_fields.items()})
        assert set(told) <= set(self.model_fields), told
        vars(self).update(told)
class RFDETRSegNanoConfig(RFDETRNanoConfig):
    pass
"""
FROM_CHECKPOINT = """
    @classmethod
    def from_checkpoint(cls, path, device, **told):
        return RFDETRNano(path, device, **told)
"""


def reference(variant: str, source: str, random: bool = False, side: int = 160, **requested: Any) -> Reference:
    """What the oracle reads of a reference, without its weights."""
    row = VARIANTS[variant]
    settings = settings_of(row, None, {name: SETTINGS[name].parse(value) for name, value in requested.items()})
    backbone = SimpleNamespace(patch_size=16, image_size=320)
    module = SimpleNamespace(model=SimpleNamespace(config=SimpleNamespace(backbone_config=backbone, group_detr=13)))
    return cast(
        Reference,
        SimpleNamespace(
            variant=row,
            source=source,
            random=random,
            size=(side, side),
            settings=settings,
            module=module,
            channels=settings.channels,
            masks="masks" in settings.architecture and settings.architecture["masks"].value == "on",
        ),
    )


def environment_of(folder: Path, source: str) -> Path:
    """Returns an interpreter in whose environment a package named rfdetr, of this source, is installed."""
    package = folder / "site" / "rfdetr"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(source)
    (package / "detr.py").write_text("from rfdetr import RFDETR\n")
    (package / "config.py").write_text(CONFIG)
    info = folder / "site" / "rfdetr-9.9.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: rfdetr\nVersion: 9.9\n")
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={folder / "site"} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    return python
