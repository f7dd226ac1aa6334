"""Counting dispatches: compiled once, counted exactly, and a reason where nothing can be counted."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from detr2litert.host_runtime.tflite.writer import ModelWriter
from detr2litert.verify.delegate import dispatches as module
from detr2litert.verify.delegate.adapters import Adapter, Driver
from detr2litert.verify.delegate.dispatches import Counter, NotCounted, describe_counts, find_counter
from detr2litert.verify.delegate.run import DelegateRun, Job, run_models

SHAPE = (1, 4, 4, 8)
NOWHERE = Driver("environment", {}, (Adapter("none", "software", "1.3.0", False),))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    module._tried.cache_clear()
    yield tmp_path / "cache" / "detr2litert"
    module._tried.cache_clear()


def chain(path: Path, length: int) -> Path:
    """Softmaxes one after another, which the delegate does not fuse."""
    w = ModelWriter()
    last = w.input("x", SHAPE)
    for index in range(length):
        last = w.op("SOFTMAX", [last], {f"y{index}": SHAPE}, beta=1.0)
    return w.write(path, [last])


def ran(jobs: list[Job], driver: Driver, counter: Counter | None, repeats: int = 1) -> list[DelegateRun]:
    runs = run_models(jobs, driver=driver, counter=counter, repeats=repeats)
    assert all(run.ok for run in runs)
    return runs


@pytest.mark.gpu
def test_each_further_operator_of_a_chain_is_one_dispatch(tmp_path: Path, driver: Driver) -> None:
    counter = find_counter(driver)
    assert isinstance(counter, Counter)
    x = {"x": np.ones(SHAPE, np.float32)}
    jobs = [Job(chain(tmp_path / f"{length}.tflite", length), (x,)) for length in (1, 2, 5)]
    counts = [run.dispatches for run in ran(jobs, driver, counter)]
    assert None not in counts
    assert np.diff(np.array(counts)).tolist() == [1, 3]
    # Of one run, however many there are.
    assert [run.dispatches for run in ran(jobs, driver, counter, repeats=3)] == counts


@pytest.mark.gpu
def test_nothing_is_counted_unasked_or_without_a_run_or_on_the_cpu(
    tmp_path: Path, driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    counter = find_counter(driver)
    assert isinstance(counter, Counter)
    model = chain(tmp_path / "one.tflite", 1)
    given = (Job(model, ({"x": np.ones(SHAPE, np.float32)},)),)
    assert run_models([Job(model)], driver=driver, counter=counter)[0].dispatches is None
    assert run_models(given, accelerator="cpu", counter=counter)[0].dispatches is None
    monkeypatch.setenv("DETR2LITERT_DISPATCH_COUNT", str(module.new_counts(tmp_path / "count")))
    assert run_models(given, driver=driver)[0].dispatches is None


@pytest.mark.gpu
def test_the_layer_is_compiled_once_into_the_cache(cache: Path, driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    counter = find_counter(driver)
    assert isinstance(counter, Counter)
    assert counter.folder.parent == cache and sorted(p.name for p in counter.folder.iterdir()) == [
        "count_dispatches.json",
        "libcount_dispatches.so",
    ]
    monkeypatch.setattr(shutil, "which", lambda name: None)
    module._tried.cache_clear()
    assert find_counter(driver) == counter


@pytest.mark.gpu
def test_a_layer_that_does_not_load_is_not_used(
    cache: Path, tmp_path: Path, driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "other.c"
    source.write_text("int nothing;\n")
    monkeypatch.setattr(module, "_SOURCE", source)
    found = find_counter(driver)
    assert isinstance(found, NotCounted) and "does not load the counting layer" in found.reason


def test_without_a_vulkan_loader_the_reason_says_so(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "list_adapters", lambda environment: ())
    found = find_counter(NOWHERE)
    assert isinstance(found, NotCounted) and "Vulkan loader does not load" in found.reason


def test_without_a_compiler_the_reason_names_those_tried(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert find_counter(NOWHERE) == NotCounted("counting needs a C compiler (cc, gcc, clang), and none is installed")
    assert not list(cache.glob("dispatch-layer*"))


def test_a_compiler_that_fails_is_quoted_and_leaves_nothing(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "bin" / "cc"
    broken.parent.mkdir()
    broken.write_text("#!/bin/sh\necho 'note: here' >&2; echo 'x.c:1: fatal error: no fcntl.h' >&2; exit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", f"{broken.parent}{os.pathsep}/bin")
    found = find_counter(NOWHERE)
    assert isinstance(found, NotCounted)
    assert found.reason == f"{broken} does not compile the counting layer: x.c:1: fatal error: no fcntl.h"
    assert not list(cache.glob("dispatch-layer*"))


def test_a_cache_that_cannot_be_written_is_a_reason(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    found = find_counter(NOWHERE)
    assert isinstance(found, NotCounted) and "XDG_CACHE_HOME" in found.reason


def test_counts_are_described_form_by_form() -> None:
    assert describe_counts({"graph_a": 318, "graph_b": 179}) == "318 + 179 dispatches"
    both = {"graph_a": 318, "graph_b": None, "graph_a.native": 167}
    assert describe_counts(both) == "318 + ? dispatches (native 167 + ?)"
    assert describe_counts({"graph_a": None}) == describe_counts({}) == ""


def test_layers_of_the_users_stay(tmp_path: Path) -> None:
    counter = Counter(tmp_path)
    plain = counter.environment({}, tmp_path / "count")
    assert plain["VK_ADD_LAYER_PATH"] == str(tmp_path) and plain["VK_INSTANCE_LAYERS"] == module._LAYER
    added = counter.environment({"VK_ADD_LAYER_PATH": "/a", "VK_INSTANCE_LAYERS": "VK_LAYER_x"}, tmp_path / "count")
    assert added["VK_ADD_LAYER_PATH"] == f"/a{os.pathsep}{tmp_path}"
    assert added["VK_INSTANCE_LAYERS"] == f"VK_LAYER_x{os.pathsep}{module._LAYER}"
    alone = counter.environment({"VK_LAYER_PATH": "/b"}, tmp_path / "count")
    assert alone["VK_LAYER_PATH"] == f"/b{os.pathsep}{tmp_path}" and "VK_ADD_LAYER_PATH" not in alone


def test_the_source_compiles_without_a_warning(tmp_path: Path) -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    command = [compiler, "-Wall", "-Wextra", "-Werror", *module._FLAGS, "-o", str(tmp_path / "x.so"), str(module._SOURCE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
