"""The options of the training commands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest
import torch
from click.testing import CliRunner

from tools.demo_training import train, train_keypoints, train_masks
from tools.demo_training.training import training_options

COMMANDS = (train.main, train_masks.main, train_keypoints.main)


def test_the_threads_are_set_and_the_rest_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[Any] = []
    monkeypatch.setattr(torch, "set_num_threads", called.append)

    @click.command()
    @training_options({"--first-steps": (7, "of the first"), "--last-steps": (8, "of the last")}, threads=3)
    def main(**options: Any) -> None:
        called.append(options)

    given = {"last_steps": 9, "seed": 0, "stop_after": None, "out": tmp_path}
    assert CliRunner().invoke(main, ["--last-steps", "9", "--out", str(tmp_path)]).exit_code == 0
    assert called == [3, {"first_steps": 7, **given}]
    assert [option.opts[0] for option in main.params] == [
        *("--first-steps", "--last-steps", "--stop-after", "--seed", "--threads", "--out")
    ]
    assert CliRunner().invoke(main, []).exit_code == 2


def test_all_commands_have_the_same_options_but_for_their_steps() -> None:
    shared = [
        [
            {"help": option.help, "required": option.required, "type": option.type.name}
            for option in command.params
            if isinstance(option, click.Option) and not option.opts[0].endswith("steps")
        ]
        for command in COMMANDS
    ]
    assert shared[0] == shared[1] == shared[2] and len(shared[0]) == 4
