"""Builds the object that a version of rfdetr saves at the end of a training, and its description in a recipe."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import inspect
from types import SimpleNamespace
from typing import Any

import torch
from session import Session
from torch import Tensor

DATASET = "/data/shapes"


def payload_of(session: Session, model: Any, weights: dict[str, Tensor]) -> Any:
    """Returns what the version's training saves, in one of the forms that it has."""
    wanted = session.wanted
    averaged = {name: value * 0.9 for name, value in weights.items()}
    if wanted.form == "upload":
        # RFDETR.deploy_to_roboflow saves the model's own arguments.
        arguments = model.model.args
        arguments.pretrain_weights = wanted.started_from
        if wanted.class_names is not None:
            arguments.class_names = list(wanted.class_names)
        return {"model": weights, "args": arguments}
    if session.at < (1, 6):
        arguments = _old_arguments(session, model)
        payload = {
            "model": weights,
            "optimizer": {"state": {}, "param_groups": []},
            "lr_scheduler": {"last_epoch": 11},
            "epoch": 11,
            "args": arguments,
        }
        if wanted.form == "stripped":
            return {"model": weights, "args": arguments}
        return {**payload, "ema_model": averaged} if wanted.form == "training" else payload
    if wanted.form == "converted":
        from rfdetr.training.checkpoint import convert_legacy_checkpoint

        source = session.recipe.read_recipe(session.recipe.FOLDER / "recipes" / f"{wanted.converted_from}.json")
        old = session.recipe.fill(source.container, weights)
        torch.save({**old, "ema_model": averaged}, session.folder / "old.pth")
        convert_legacy_checkpoint(str(session.folder / "old.pth"), str(session.folder / "new.ckpt"))
        return torch.load(session.folder / "new.ckpt", weights_only=False)
    payload = _callback_payload(session, model, weights)
    if wanted.form == "best":
        return payload
    if wanted.form == "total":
        from rfdetr.utilities.state_dict import strip_checkpoint

        path = session.folder / "total.pth"
        torch.save(payload, path)
        extra = {"extra_metadata": {"best_total_source": "ema"}} if session.at >= (1, 9) else {}
        strip_checkpoint(path, **extra)
        return torch.load(path, weights_only=False)
    # Lightning's own file. RFDETRModelModule keeps the network in `model`, under torch.compile with one name more.
    prefix = "model._orig_mod." if wanted.form == "compiled" else "model."
    described = ("args", "model_name", "model_config", "rfdetr_version") if session.at >= (1, 11, 1) else ()
    return {
        "epoch": 11,
        "global_step": 1200,
        "pytorch-lightning_version": payload["pytorch-lightning_version"],
        "state_dict": {prefix + name: value for name, value in weights.items()},
        "loops": payload["loops"],
        "callbacks": {
            "RFDETREMACallback": {
                "average_model_state_dict": {f"module.{prefix}{name}": value for name, value in averaged.items()}
            }
        },
        "optimizer_states": [{"state": {}, "param_groups": []}],
        "lr_schedulers": [{"last_epoch": 1200}],
        **{key: payload[key] for key in described if key in payload},
    }


def _old_arguments(session: Session, model: Any) -> argparse.Namespace:
    """Merges model and training settings into one namespace, as ``train_from_config`` of the versions before 1.6 does."""
    wanted = session.wanted
    train = {"dataset_dir": DATASET, "output_dir": "output", **wanted.train}
    training = model.get_train_config(**train).model_dump()
    architecture = model.model_config.model_dump()
    if "class_names" in training and training["class_names"] is None:
        if wanted.class_names == "coco":
            training["class_names"] = dict(importlib.import_module("rfdetr.util.coco_classes").COCO_CLASSES)
        else:
            training["class_names"] = _list(wanted.class_names)
    merged = {**architecture, **train, **training, "num_classes": wanted.num_classes, "pretrain_weights": wanted.started_from}
    arguments: argparse.Namespace = importlib.import_module("rfdetr.main").populate_args(**merged)
    arguments.distributed = False
    return arguments


def _callback_payload(session: Session, model: Any, weights: dict[str, Tensor]) -> dict[str, Any]:
    """Has the callback of 1.6 and later build its dictionary."""
    from rfdetr.training.callbacks.best_model import BestModelCallback

    wanted = session.wanted
    train = {name: value for name, value in wanted.train.items() if name != "resolution"}
    config = model.get_train_config(dataset_dir=DATASET, output_dir="/data/output", **train)
    if wanted.class_names is not None:
        config = config.model_copy(update={"class_names": list(wanted.class_names)})
    build = BestModelCallback._build_checkpoint_payload
    known = inspect.signature(build).parameters
    architecture = model.model_config.model_dump()
    architecture.update(pretrain_weights=wanted.started_from, num_classes=wanted.columns - 1)
    if "model_name" in architecture:
        architecture["model_name"] = wanted.model
    extra = {"model_name": wanted.model, "model_config_dict": architecture}
    return build(
        weights,
        config.model_dump(),
        SimpleNamespace(current_epoch=11, global_step=1200, callbacks=[]),
        **{name: value for name, value in extra.items() if name in known},
    )


def _list(names: Any) -> list[str] | None:
    return None if names is None else list(names)


def template_of(value: Any, weights: dict[str, Tensor]) -> Any:
    """Replaces state dicts and namespaces by the placeholders of ``recipe.fill``."""
    if isinstance(value, dict) and value and all(isinstance(one, Tensor) for one in value.values()):
        first, reference = next(iter(value)), next(iter(weights))
        if not first.endswith(reference) or len(value) != len(weights):
            raise ValueError(f"tensors that are not the model's: {first}")
        same = torch.equal(value[first], weights[reference])
        return {"$tensors": first.removesuffix(reference), **({} if same else {"$times": 0.9})}
    if isinstance(value, argparse.Namespace):
        return {"$namespace": template_of(vars(value), weights)}
    if isinstance(value, SimpleNamespace):
        return {"$simple_namespace": template_of(vars(value), weights)}
    if isinstance(value, dict) and not all(isinstance(key, str) for key in value):
        return {"$items": [[key, template_of(one, weights)] for key, one in value.items()]}
    if isinstance(value, dict):
        return {key: template_of(one, weights) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [template_of(one, weights) for one in value]
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, str):  # an enum of strings: rfdetr's serialisers write the plain value
        raise ValueError(f"{type(value)} is not a plain string")
    raise ValueError(f"{type(value)} in the file")
