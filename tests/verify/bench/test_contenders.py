"""Each kind of contender on the same detector: its stages, its detections, its set-up, and what it refuses."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.manifest import NativeFiles
from detr2litert.host_runtime.runner import Runner
from detr2litert.verify.bench import bundle as bundle_module
from detr2litert.verify.bench.bundle import FALLBACK, SOFTWARE, BundleContender
from detr2litert.verify.bench.contender import BatchContender, Contender
from detr2litert.verify.bench.interleave import run_in_turns, time_frame
from detr2litert.verify.bench.onnx_file import OnnxContender
from detr2litert.verify.bench.pictures import find_pictures, pictures_sha256
from detr2litert.verify.bench.pytorch import TorchContender
from detr2litert.verify.bench.stages import DECODE, DETECTOR, FRAME, GRAPH_A, GRAPH_B, HOST_STEP, POSTPROCESS, PREPROCESS
from detr2litert.verify.delegate.adapters import Adapter, Driver
from tests.host_runtime.tiny_bundle import graph_a, manifest, picture, write_bundle
from tests.verify.bench.onnx_cells import Cells, metadata, write_onnx

ENDS = [POSTPROCESS, FRAME]


@pytest.fixture
def cells(tmp_path: Path) -> Path:
    write_bundle(tmp_path / "cells")
    return tmp_path / "cells"


@pytest.fixture
def onnx_file(tmp_path: Path) -> Path:
    return write_onnx(tmp_path / "cells.onnx", metadata())


def stages(contender: Contender, image: Any) -> list[str]:
    (frames,) = run_in_turns([contender], [image], 2, warm_up=0)
    assert frames.detections == 4  # a red cell and a green one in each frame
    assert all(len(times) == 2 for times in frames.stages.values())
    parts = sum(sum(times) for stage, times in frames.stages.items() if stage != FRAME)
    assert parts <= sum(frames.stages[FRAME])
    contender.close()
    return list(frames.stages)


def test_a_bundle_has_the_stages_of_its_graphs(cells: Path) -> None:
    contender = BundleContender("cells", cells, threads=1)
    setup = contender.setup
    assert (setup.engine, setup.accelerator, setup.form, setup.threads, setup.precision) == (
        "LiteRT",
        "cpu",
        "portable",
        1,
        "fp32",
    )
    assert (setup.height, setup.width, setup.device, setup.software) == (8, 8, "", False) and len(setup.sha256) == 64
    assert contender.notes == () and not isinstance(contender, BatchContender)
    assert stages(contender, cells / "golden/image.png") == [DECODE, PREPROCESS, GRAPH_A, HOST_STEP, GRAPH_B, *ENDS]


def test_a_decoded_picture_has_no_decoding(cells: Path) -> None:
    assert stages(BundleContender("cells", cells, threads=1), picture()) == [PREPROCESS, GRAPH_A, HOST_STEP, GRAPH_B, *ENDS]


def test_an_onnx_file_and_pytorch_have_a_detector_as_a_whole(cells: Path, onnx_file: Path) -> None:
    made: list[Contender] = [
        OnnxContender("cells.onnx", onnx_file, threads=2),
        TorchContender(Cells(), manifest(), threads=2, compiled=False),
    ]
    assert [one.setup.engine for one in made] == ["ONNX Runtime", "PyTorch eager"]
    for contender in made:
        assert contender.setup.form == "" and contender.setup.threads == 2 and contender.variant == "cells"
        assert stages(contender, cells / "golden/image.png") == [DECODE, PREPROCESS, DETECTOR, *ENDS]


def adapter(software: bool) -> Driver:
    return Driver("test", {}, (Adapter("An adapter", "software" if software else "integrated", "1.3.0", True),))


@pytest.mark.parametrize(("form", "notes"), [(None, (FALLBACK, SOFTWARE)), ("portable", (SOFTWARE,))])
def test_a_bundle_that_fell_back_to_its_portable_form_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: Any, notes: tuple[str, ...]
) -> None:
    """The native form's file is one that LiteRT refuses to compile, and the processor stands in for the GPU."""
    native = {"native.tflite": graph_a(image_name="another")}
    write_bundle(tmp_path / "cells", native, native=NativeFiles("native.tflite", "graph_b.tflite"))

    class OnTheCpu(Runner):
        def __init__(self, bundle: Any, accelerator: str, *, threads: int, form: Any) -> None:
            assert accelerator == "gpu"
            try:
                super().__init__(bundle, "cpu", threads=threads, form=form or "native")
            except UserError:
                super().__init__(bundle, "cpu", threads=threads, form="portable")

    monkeypatch.setattr(bundle_module, "Runner", OnTheCpu)
    contender = BundleContender("cells", tmp_path / "cells", threads=1, driver=adapter(software=True), form=form)
    assert contender.notes == notes
    setup = contender.setup
    assert (setup.accelerator, setup.form, setup.device, setup.software, setup.precision) == (
        "gpu", "portable", "An adapter", True, "fp16",
    )  # fmt: skip
    assert setup.driver == "test, Vulkan 1.3.0"
    contender.close()


def test_nan_is_an_error_of_the_user(cells: Path, onnx_file: Path) -> None:
    class Broken(nn.Module):
        def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
            return torch.zeros(1, 16, 4), torch.full((1, 16, 3), torch.nan)

    contender = TorchContender(Broken(), manifest(), threads=1, compiled=False)
    with closing(contender), pytest.raises(UserError, match="NaN"):
        time_frame(contender, picture())


def test_what_torch_compile_cannot_compile_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_module: Any) -> Any:
        def called(_tensor: Tensor) -> Any:
            raise RuntimeError("no compiler\nand a long traceback")

        return called

    monkeypatch.setattr(torch, "compile", fail)
    contender = TorchContender(Cells(), manifest(), threads=1, compiled=True)
    with closing(contender), pytest.raises(UserError, match=r"\(RuntimeError: no compiler\).*--against pytorch") as error:
        time_frame(contender, picture())
    assert "\n" not in str(error.value)


def test_pytorch_gets_its_number_of_threads_back() -> None:
    before = torch.get_num_threads()
    contender = TorchContender(Cells(), manifest(), threads=before + 1, compiled=False)
    assert torch.get_num_threads() == before + 1
    contender.close()
    assert torch.get_num_threads() == before


def test_an_onnx_file_computes_batches_of_any_size(onnx_file: Path) -> None:
    contender = OnnxContender("cells.onnx", onnx_file, threads=1)
    assert isinstance(contender, BatchContender) and contender.fixed_batch is None
    black = Image.new("RGB", (8, 8))
    found = contender.infer_batch([contender.prepare(image) for image in (picture(), black, picture())])
    assert found.detections == 4 and set(found.milliseconds) == {DETECTOR, POSTPROCESS}


def test_an_onnx_file_without_metadata_takes_that_of_the_bundle(tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "bare.onnx", {})
    contender = OnnxContender("bare.onnx", path, threads=1, beside=("cells", manifest()))
    assert contender.notes == ("its metadata has no pre-processing: that of the bundle cells is used",)
    assert contender.variant == "cells" and stages(contender, picture()) == [PREPROCESS, DETECTOR, *ENDS]
    with pytest.raises(UserError, match=r"bare\.onnx says nothing of its pre-processing"):
        OnnxContender("bare.onnx", path, threads=1)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"classes": None}, "no 'classes'"),
        ({"preprocess": "{"}, "'preprocess' cannot be used"),
        ({"preprocess": "[]"}, "'preprocess' cannot be used"),
        ({"postprocess": '{"kind": "softmax"}'}, "'postprocess' cannot be used"),
        ({"classes": '["\\u001b[31m", "b", "c"]'}, "'classes' cannot be used"),
    ],
    ids=range(5),
)
def test_foreign_metadata_is_refused(tmp_path: Path, changed: dict[str, str | None], words: str) -> None:
    with pytest.raises(UserError, match=words):
        OnnxContender("x", write_onnx(tmp_path / "x.onnx", metadata(**changed)), threads=1)


def test_metadata_for_other_pictures_than_the_input_is_refused(tmp_path: Path) -> None:
    for was, now, words in (('"height": 8', '"height": 16', "reads pictures of"), ('"RGB"', '"L"', "does not fit 1 channels")):
        wrong = metadata()["preprocess"].replace(was, now)
        with pytest.raises(UserError, match=words):
            OnnxContender("x", write_onnx(tmp_path / "x.onnx", metadata(preprocess=wrong)), threads=1)


def test_foreign_onnx_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("no model")
    (tmp_path / "empty.onnx").write_bytes(b"")
    for name, words in (("text.onnx", "cannot load"), ("empty.onnx", "cannot load|has inputs"), ("none.onnx", "no file at")):
        with pytest.raises(UserError, match=words):
            OnnxContender("x", tmp_path / name, threads=1)
    named = write_onnx(tmp_path / "named.onnx", metadata(), outputs=("boxes", "logits"))
    with pytest.raises(UserError, match="'dets' and 'labels'"):
        OnnxContender("x", named, threads=1)
    with pytest.raises(UserError, match="batches of 4 only"):
        OnnxContender("x", write_onnx(tmp_path / "four.onnx", metadata(), batch=4), threads=1)
    assert OnnxContender("x", write_onnx(tmp_path / "one.onnx", metadata(), batch=1), threads=1).fixed_batch == 1


def test_the_pictures_of_a_folder_are_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("b.png", "a.PNG", "c.jpg"):
        picture().save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "more.png").mkdir()
    found = find_pictures(tmp_path)
    assert [path.name for path in found] == ["a.PNG", "b.png", "c.jpg"]
    assert find_pictures(tmp_path / "b.png") == (tmp_path / "b.png",)
    before = pictures_sha256(found)
    assert pictures_sha256(found) == before
    Image.fromarray(255 - np.asarray(picture())).save(tmp_path / "b.png")
    assert pictures_sha256(found) != before


def test_folders_without_a_readable_picture_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no folder of pictures at"):
        find_pictures(tmp_path / "none")
    with pytest.raises(UserError, match="has no picture"):
        find_pictures(tmp_path)
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n")
    with pytest.raises(UserError, match=r"broken\.png"):
        find_pictures(tmp_path)
