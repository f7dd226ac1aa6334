from __future__ import annotations

import dataclasses
import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tiny_bundle
from outside_child import child
from PIL import Image

from detr2litert.host_runtime import compiled_graph, quiet
from detr2litert.host_runtime.bundle import load_bundle
from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.preprocess import preprocess
from detr2litert.host_runtime.runner import Runner


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("runner") / "bundle"
    tiny_bundle.write_bundle(root)
    return root


@pytest.fixture(scope="module")
def runner(root):
    with Runner(root) as runner:
        yield runner


def test_every_stage_by_hand(runner):
    image = preprocess(tiny_bundle.picture(), runner.bundle.manifest.preprocess)
    out = runner.run(image)
    cells = image[0].reshape(3, 4, 2, 4, 2).mean(axis=(2, 4)).reshape(3, 16).T[None]
    np.testing.assert_allclose(out.graph_a["memory"], cells, atol=1e-6)
    np.testing.assert_allclose(out.graph_a["enc_scores"], cells.sum(axis=2), atol=1e-6)
    # Two bright cells (row 1 column 2, row 3 column 0), tied, then the first two black ones.
    picked = [6, 12, 0, 1]
    np.testing.assert_allclose(out.host_step["selected_memory"], cells[:, picked], atol=1e-6)
    np.testing.assert_array_equal(out.host_step["selected_cells"], tiny_bundle.cell_grid()[:, picked])
    np.testing.assert_allclose(out.graph_b["logits"], cells[:, picked] * 20 - 10, atol=1e-5)
    np.testing.assert_array_equal(out.graph_b["boxes"], tiny_bundle.cell_grid()[:, picked])
    assert set(out.milliseconds) == {"graph_a", "host_step", "graph_b"}
    assert all(0 < value < 10_000 for value in out.milliseconds.values())
    assert set(out.tensors()) == {"enc_scores", "memory", "selected_memory", "selected_cells", "boxes", "logits"}


def test_detect_finds_the_cells_in_the_pictures_own_pixels(runner, tmp_path):
    large = tiny_bundle.picture().resize((80, 160), Image.Resampling.NEAREST)
    found = runner.detect(large)
    assert (found.width, found.height) == (80, 160)
    assert {(item.name, item.box) for item in found} == {("red", (40, 40, 60, 80)), ("green", (0, 120, 20, 160))}
    large.save(tmp_path / "x.png")
    assert runner.detect(tmp_path / "x.png") == found
    assert len(runner.detect(large, threshold=0.9999)) == 0


def test_a_second_picture_is_not_mixed_with_the_first(runner):
    first = runner.detect(tiny_bundle.picture())
    kept = runner.run(preprocess(tiny_bundle.picture(), runner.bundle.manifest.preprocess))
    before = {name: tensor.copy() for name, tensor in kept.tensors().items()}
    blue = Image.new("RGB", (8, 8), (0, 0, 255))
    assert [item.name for item in runner.detect(blue)] == ["blue"] * 4
    for name, tensor in kept.tensors().items():
        np.testing.assert_array_equal(tensor, before[name])
    assert runner.detect(tiny_bundle.picture()) == first


def test_nms_is_an_option(runner):
    assert len(runner.detect(Image.new("RGB", (8, 8), (0, 0, 255)), nms_iou=0.5)) == 4


@pytest.mark.parametrize("tensor", [np.zeros((1, 3, 8, 9), np.float32), np.zeros((1, 3, 8, 8))])
def test_a_tensor_that_does_not_fit_is_refused(runner, tensor):
    with pytest.raises(ValueError, match=r"graph_a.tflite's 'image' is float\d\d\[1, 3, 8, \d\], not float32\[1, 3, 8, 8\]"):
        runner.run(tensor)


def test_a_missing_tensor_is_named(runner):
    with pytest.raises(ValueError, match="needs 'selected_cells' but was given 'selected_memory'"):
        runner.graph_b({"selected_memory": np.zeros((1, 4, 3), np.float32)})


def test_a_zip_is_removed_when_the_runner_closes(root, tmp_path):
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        for path in root.rglob("*"):
            archive.write(path, path.relative_to(root).as_posix())
    with Runner(tmp_path / "b.zip") as runner:
        unpacked = runner.bundle.root
        assert len(runner.detect(tiny_bundle.picture())) == 2
    assert not unpacked.exists()


def test_a_bundle_given_is_not_closed(root):
    bundle = load_bundle(root)
    with Runner(bundle, threads=1) as runner:
        assert runner.bundle is bundle


class TestGraphsThatDoNotMatchTheManifest:
    def test_another_name(self, tmp_path):
        tiny_bundle.write_bundle(tmp_path, {"graph_a.tflite": tiny_bundle.graph_a("args_0")})
        with pytest.raises(UserError, match=r"graph_a.tflite has no input 'image', only 'args_0'; make the bundle again"):
            Runner(tmp_path)

    def test_another_signature(self, tmp_path):
        graphs = tiny_bundle.manifest().graphs
        renamed = dataclasses.replace(graphs, a=dataclasses.replace(graphs.a, signature="main"))
        tiny_bundle.write_bundle(tmp_path, graphs=renamed)
        with pytest.raises(UserError, match="has no signature 'main', only 'serving_default'"):
            Runner(tmp_path)

    def test_another_shape(self, tmp_path):
        graphs = tiny_bundle.manifest().graphs
        outputs = tuple(dataclasses.replace(spec, shape=(1, 5, spec.shape[2])) for spec in graphs.b.outputs)
        tiny_bundle.write_bundle(tmp_path, graphs=dataclasses.replace(graphs, b=dataclasses.replace(graphs.b, outputs=outputs)))
        with pytest.raises(UserError, match=r"output 'boxes' of .* is float32\[1, 4, 4\] but the manifest has"):
            Runner(tmp_path)

    def test_an_input_the_manifest_does_not_list(self, tmp_path):
        graphs = tiny_bundle.manifest().graphs
        fewer = dataclasses.replace(graphs.b, inputs=graphs.b.inputs[:1])
        host_step = dataclasses.replace(tiny_bundle.manifest().host_step, outputs=("selected_memory",))
        tiny_bundle.write_bundle(tmp_path, graphs=dataclasses.replace(graphs, b=fewer), host_step=host_step)
        with pytest.raises(UserError, match="needs the input 'selected_cells', which the manifest does not list"):
            Runner(tmp_path)

    @pytest.mark.parametrize("data", [b"", b"not a graph" * 50, tiny_bundle.graph_a()[:600]])
    def test_not_a_graph(self, tmp_path, data):
        tiny_bundle.write_bundle(tmp_path, {"graph_a.tflite": data})
        with pytest.raises(
            UserError, match=r"graph_a.tflite: (not a LiteRT model|truncated or damaged LiteRT model) \(.*\); (give|make)"
        ) as caught:
            Runner(tmp_path)
        assert "\n" not in str(caught.value)

    def test_the_reason_is_in_the_message_where_the_log_is_captured(self, tmp_path, capfd, monkeypatch):
        monkeypatch.setattr(quiet, "_silenced", True)
        monkeypatch.setattr(compiled_graph, "verify_file", lambda *_, **__: None)  # which refuses such a file first
        tiny_bundle.write_bundle(tmp_path, {"graph_a.tflite": b"not a graph" * 50})
        with pytest.raises(UserError, match=r"cannot compile .* should be 'TFL3'\); make the bundle"):
            Runner(tmp_path)
        assert capfd.readouterr() == ("", "")


def test_a_whole_run_prints_nothing_of_its_own(root, tmp_path):
    shutil.copy(root / "golden/image.png", tmp_path / "x.png")
    done = child(
        """
        import sys
        from detr2litert.host_runtime.quiet import silence_native_log
        from detr2litert.host_runtime.runner import Runner
        silence_native_log()
        with Runner(sys.argv[1]) as runner:
            print(len(runner.detect(sys.argv[2])))
        """,
        str(root),
        str(tmp_path / "x.png"),
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "2\n", "")


def test_no_gpu_is_said_in_one_line(root):
    done = child(
        """
        import sys
        from detr2litert.host_runtime.errors import UserError
        from detr2litert.host_runtime.quiet import silence_native_log
        from detr2litert.host_runtime.runner import Runner
        silence_native_log()
        try:
            Runner(sys.argv[1], "gpu")
        except UserError as error:
            print(error)
        """,
        str(root),
        VK_ICD_FILENAMES="/nowhere.json",
        VK_DRIVER_FILES="/nowhere.json",
    )
    assert done.stdout.startswith("no GPU was found to run"), done.stdout + done.stderr
    assert done.stdout.count("\n") == 1


@pytest.mark.gpu
def test_on_the_gpu_it_finds_the_same(root, driver):
    """In a child, as a GPU compile should be; the environment says where the Vulkan driver is."""
    done = child(
        """
        import sys
        from detr2litert.host_runtime.quiet import silence_native_log
        from detr2litert.host_runtime.runner import Runner
        silence_native_log()
        with Runner(sys.argv[1], "gpu", enforce_f32=True) as runner:
            found = runner.detect(sys.argv[1] + "/golden/image.png")
        print([(item.name, round(item.score, 4), item.box) for item in found])
        """,
        str(root),
        **{name: value for name, value in {**os.environ, **driver.environment}.items() if name != "PYTHONPATH"},
    )
    expected = [("red", 1.0, (4.0, 2.0, 6.0, 4.0)), ("green", 1.0, (0.0, 6.0, 2.0, 8.0))]
    assert (done.stdout, done.stderr, done.returncode) == (f"{expected}\n", "", 0)


def test_a_traceback_is_not_silenced():
    done = child("from detr2litert.host_runtime import quiet; quiet.silence_native_log(); raise RuntimeError('seen')")
    assert done.returncode == 1
    assert "RuntimeError: seen" in done.stderr


def test_a_path_that_litert_does_not_take_is_refused_in_words(root, tmp_path):
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    shutil.copytree(root, odd)
    with pytest.raises(UserError, match=r"graph_a.tflite: LiteRT accepts UTF-8 paths only; rename"):
        Runner(odd)
