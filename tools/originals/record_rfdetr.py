"""Records what rfdetr detects with checkpoints in the forms that its versions write: ``tests/originals/recipes/rfdetr-*.json``.

Runs in an environment with rfdetr's dependencies, see ``tests/originals/README.md``::

    python tools/originals/record_rfdetr.py --packages FOLDER [NAME ...]

``FOLDER/1.4.1`` holds the files of rfdetr 1.4.1, and so on; each version has a process of its own. For each recipe, the model
is built by the class of that version, its weights are drawn by the rules of a recipe, the file is written in the structure of
that version's training, opened again with that version's own means, and ``predict`` is called on the pictures.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))

import stand_ins
from agreement import ROBUST, above, difference, perturb, threshold_of
from recording import ORIGINALS, Found, recipe_module, rows_of, write_recipe
from rfdetr_file import payload_of, template_of
from rfdetr_recipes import RECIPES
from session import Session
from wanted import Wanted

INIT: list[list[Any]] = [
    [r"_kp_active_mask$", "value", 0],
    [r"layer_scale\d\.lambda1$", "noise", 0.3],
    [r"(norm\w*|layernorm|\.bn)\.weight$", "near_one", 0.1],
    [r"projector\.\S+\.(norm|\d+)\.weight$", "near_one", 0.1],
    [r"(position_embeddings|cls_token|mask_token|register_tokens)$", "noise", 0.1],
    [r"lora_(A|B)\.", "normal", 0.5],
    [r"lora_magnitude_vector", "near_one", 0.1],
    [r"(query|key)\.(base_layer\.)?weight$", "normal", 1.5],
    [r"in_proj_weight$", "normal", 1.3],
    [r"sampling_offsets\.bias$", "noise", 1.5],
    [r"refpoint_embed\.weight$", "noise", 0.01],
    [r"query_feat\.weight$", "noise", 0.03],
    [r"(keypoint_pos_embed|keypoint_query_initializer\w*\.queries)$", "noise", 1.0],
    [r"instance_kp_layer_scale$", "noise", 0.5],
    [r"keypoint_embed(\.\d+)?\.layers\.2\.weight$", "normal", 0.5],
    [r"keypoint_embed(\.\d+)?\.layers\.\d\.weight$", "normal", 1.4],
    [r"bbox_embed(\.\d+)?\.layers\.2\.weight$", "normal", 0.3],
    [r"bbox_embed(\.\d+)?\.layers\.\d\.weight$", "normal", 1.4],
    [r"class_embed(\.\d+)?\.weight$", "normal", 2.5],
    [r"enc_out_bbox_embed\.\d+\.layers\.2\.bias$", "literal", [0.0, 0.0, 1.2, 1.2]],
    [r"bias$", "noise", 0.1],
    [r"weight$", "normal", 1.0],
]
"""Attention is not uniform, boxes differ from their proposals, scores reach from 0 to above 0.5."""


def main() -> None:
    """Records the named recipes, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="recipes; all without")
    parser.add_argument("--packages", type=Path, required=True, help="folder with one folder for each version of rfdetr")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        names = options.only.split(",")
        _prepare(next(wanted for wanted in RECIPES if wanted.name in names), options.packages)
        for wanted in RECIPES:
            if wanted.name in names:
                try:
                    record(wanted)
                except Exception:  # the other recipes do not depend on it
                    print(f":: {wanted.name}: FAILED\n{traceback.format_exc()[-2500:]}", flush=True)
        return
    old = importlib.metadata.version("transformers").startswith("4.")
    chosen = [wanted for wanted in RECIPES if not options.names or wanted.name in options.names]
    for wanted in chosen:
        if wanted.needs_transformers_4 != old:
            print(f"{wanted.name}: needs transformers {'4' if wanted.needs_transformers_4 else '5'}, skipped", flush=True)
    for version in dict.fromkeys(wanted.version for wanted in chosen if wanted.needs_transformers_4 == old):
        environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "TQDM_DISABLE": "1", "HF_HUB_OFFLINE": "1"}
        names = ",".join(wanted.name for wanted in chosen if wanted.version == version)
        command = [sys.executable, __file__, "--packages", str(options.packages), "--only", names]
        subprocess.run(command, env=environment, stderr=subprocess.DEVNULL, check=False)


def _prepare(wanted: Wanted, packages: Path) -> None:
    """Makes this version importable, with stand-ins for what it cannot import."""
    torch.set_num_threads(1)
    # Every weight is drawn or read afterwards.
    for name in ("trunc_normal_", "kaiming_uniform_", "xavier_uniform_", "normal_", "uniform_"):
        setattr(torch.nn.init, name, lambda tensor, *_arguments, **_keywords: tensor)
    sys.path.insert(0, str((packages / wanted.version).resolve()))
    stand_ins.install()
    if wanted.needs_hub_config:
        _keep_hub_configs((packages / "1.2.1" / "rfdetr" / "models" / "backbone" / "dinov2_configs").resolve())


def record(wanted: Wanted) -> None:
    """Records one recipe."""
    with tempfile.TemporaryDirectory() as folder:
        session = Session(wanted, recipe_module(), Path(folder))
        os.chdir(folder)
        for seed in range(wanted.seed, wanted.seed + 6):
            if _try_seed(session, seed):
                return
        raise RuntimeError("no seed gives robust detections")


def _keep_hub_configs(folder: Path) -> None:
    """Answers the request of rfdetr 1.0 and 1.1 for DINOv2's config.json with the copy that 1.2 brings."""
    from transformers import AutoConfig, Dinov2Config, PreTrainedModel

    def from_pretrained(name: str, **changes: Any) -> Any:
        file = folder / f"dinov2_{name.rpartition('-')[2]}.json"
        values = {
            key: value for key, value in json.loads(file.read_text()).items() if key not in ("architectures", "model_type")
        }
        keywords = {key: value for key, value in changes.items() if key != "return_dict"}
        return Dinov2Config(**{**values, **keywords})

    AutoConfig.from_pretrained = from_pretrained
    PreTrainedModel.from_pretrained = classmethod(lambda cls, _name, config, **_others: cls(config))


def _try_seed(session: Session, seed: int) -> bool:
    wanted = session.wanted
    session.notes.clear()
    # Scores around 0.5 are furthest apart; with more columns the best is higher.
    model = _trained_model(session)
    bias = -7.0 if wanted.columns > 50 else -4.5
    init = [[r"class_embed(\.\d+)?\.bias$", "value", bias], *_schema(model.model.model), *INIT]
    shapes = model.model.model.state_dict()
    tensors = {name: (str(value.dtype).removeprefix("torch."), tuple(value.shape)) for name, value in shapes.items()}
    weights = {name: session.recipe.draw(name, *kind, init, seed) for name, kind in tensors.items()}
    container = template_of(payload_of(session, model, weights), weights)
    recipe = session.recipe.Recipe(
        name=wanted.name,
        project="rfdetr",
        version=wanted.version,
        made_by=wanted.made_by,
        tensors=tensors,
        init=init,
        seed=seed,
        container=container,
        options=wanted.options,
        threshold=0.0,
        detections={},
    )
    path = recipe.write(session.folder)
    if wanted.reload is None:
        model.model.model.load_state_dict(weights)
        loaded = model
    else:
        loaded = _reload(session, path)
    everything = _predict(loaded, wanted)
    threshold = threshold_of(everything, all_selected=wanted.all_selected)
    if threshold is None:
        print(f":: {wanted.name}: seed {seed}: no threshold", flush=True)
        return False
    kept = above(everything, threshold)
    perturb(loaded.model.model)
    apart = difference(kept, above(_predict(loaded, wanted), threshold))
    if apart > ROBUST:
        print(f":: {wanted.name}: seed {seed}: depends on the last bit ({apart:.2g})", flush=True)
        return False
    if wanted.contrast is not None:
        other = _predict(_reload(session, path, wanted.contrast), wanted)
        contrast = difference(kept, above(other, threshold))
        session.notes.append(f"Opened with {wanted.contrast or 'nothing beside the path'}: difference {contrast:.3g}.")
    names = _class_names(loaded)
    rows = {
        picture: rows_of([(*one[:3], _name_of(one, names, wanted), *one[4:]) for one in found])
        for picture, found in kept.items()
    }
    write_recipe(session.recipe, recipe, threshold, rows, architecture=wanted.architecture, notes=session.notes)
    scores = [one[1] for found in kept.values() for one in found]
    print(
        f":: {wanted.name}: seed {seed}, {[len(found) for found in kept.values()]} of "
        f"{[len(found) for found in everything.values()]} above {threshold}, best {max(scores):.2f}, robust {apart:.1e}",
        *session.notes,
        flush=True,
    )
    return True


def _schema(model: Any) -> list[list[Any]]:
    """Returns rules for the buffers that say which class has which keypoints; of other detectors they are empty, or zero."""
    buffers = {
        name: value for name, value in model.named_buffers() if name.endswith(("_kp_active_mask", "keypoint_class_mask"))
    }
    return [
        [rf"{name.rpartition('.')[2]}$", "literal", value.int().flatten().tolist()]
        for name, value in buffers.items()
        if value.numel() and getattr(model, "use_grouppose_keypoints", False)
    ]


def _trained_model(session: Session) -> Any:
    """Builds the model as before training, from a starting file, and gives it the head that training gives it."""
    wanted = session.wanted
    starter = session.folder / "starter.pth"
    channels = wanted.config.get("num_channels", 3)
    torch.save({"model": {"class_embed.bias": torch.zeros(91)}, "args": argparse.Namespace()}, starter)
    model = _class(wanted)(pretrain_weights=str(starter), **{**wanted.base, **wanted.config})
    if wanted.columns != 91:
        model.model.reinitialize_detection_head(wanted.columns)
        if session.at >= (1, 6):
            model.model_config.num_classes = wanted.columns - 1
    if wanted.grid:
        embeddings = model.model.model.backbone[0].encoder.encoder.embeddings
        width = embeddings.position_embeddings.shape[-1]
        embeddings.position_embeddings = torch.nn.Parameter(torch.zeros(1, wanted.grid**2 + 1, width))
        model.model_config.resolution = model.model.resolution = wanted.train["resolution"]
        model.model_config.positional_encoding_size = wanted.grid
    if channels != 3:
        session.notes.append(f"{channels} channels.")
    return model


def _class(wanted: Wanted) -> Any:
    return getattr(importlib.import_module("rfdetr"), wanted.model)


def _reload(session: Session, path: Path, keywords: dict[str, Any] | None = None) -> Any:
    wanted = session.wanted
    if wanted.reload == "from_checkpoint" and keywords is None:
        return _class(wanted).from_checkpoint(str(path))
    chosen = wanted.reload if keywords is None else keywords
    return _class(wanted)(pretrain_weights=str(path), **{**wanted.base, **chosen})


# --- The detections ---------------------------------------------------------------------------------------------------------


def _predict(model: Any, wanted: Wanted) -> dict[str, list[Found]]:
    """Returns everything that predict selects, by picture."""
    found = {}
    for path in sorted((ORIGINALS / "pictures").glob("*.png")):
        picture: Any = Image.open(path)
        channels = wanted.config.get("num_channels", 3)
        if channels != 3:
            picture = stand_ins.to_tensor(picture.convert("L" if channels == 1 else "RGBA"))
        result = model.predict(picture, threshold=-1.0)
        given = result.data.get("class_name") if hasattr(result, "data") else None
        masks = getattr(result, "mask", None)
        of_keypoints = hasattr(result, "detection_confidence")
        scores = result.detection_confidence if of_keypoints else result.confidence
        boxes = result.data["xyxy"] if of_keypoints else result.xyxy
        found[path.name] = [
            (
                int(column),
                float(score),
                [float(side) for side in box],
                None if given is None else str(given[i]) or None,
                None if masks is None else masks[i],
                np.c_[result.xy[i], result.keypoint_confidence[i]] if of_keypoints else None,
            )
            for i, (column, score, box) in enumerate(zip(result.class_id, scores, boxes.reshape(-1, 4), strict=True))
        ]
    return found


def _class_names(model: Any) -> Any:
    """Returns the property ``class_names`` of the versions before 1.6: column → name."""
    names = getattr(model, "class_names", None)
    stated = getattr(model.model, "class_names", None)
    if isinstance(stated, dict):
        return stated  # the property enumerates the dict's keys
    return names if isinstance(names, dict) else {}


def _name_of(one: Found, names: dict[int, Any], wanted: Wanted) -> str | None:
    column, name = one[0], one[3]
    if wanted.class_names is None and wanted.columns != 91:
        return None  # rfdetr gives COCO's names to a head that is not COCO's
    if wanted.reload is None and wanted.class_names is not None:
        return dict(enumerate(wanted.class_names)).get(column)  # the names are read only from a file
    if name == "__background__":
        name = None  # what predict says for the last column since 1.9; the property class_names has no such name
    return names.get(column) if name is None else name


if __name__ == "__main__":
    main()
