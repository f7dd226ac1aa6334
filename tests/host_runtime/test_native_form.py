"""The two forms of a bundle's graphs: which is compiled, when the other one is, and what crosses between the graphs."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import numpy as np
import pytest
import tiny_bundle
from outside_child import child

from detr2litert.host_runtime import runner as runner_module
from detr2litert.host_runtime.bundle import load_bundle
from detr2litert.host_runtime.compiled_graph import CompiledGraph
from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.manifest import Graphs, GraphSpec, HostOp, HostProgram, NativeFiles, Postprocess, TensorSpec
from detr2litert.host_runtime.preprocess import preprocess
from detr2litert.host_runtime.runner import Runner

A, B = "graph_a.native.tflite", "graph_b.native.tflite"
REFUSED = b"not a graph" * 50
DETECTIONS = {("red", (4.0, 2.0, 6.0, 4.0)), ("green", (0.0, 6.0, 2.0, 8.0))}


def bundle(root: Path, a: bytes | None = None, b: bytes | None = None) -> Path:
    """A bundle with a native form, whose files are right unless given."""
    files = {A: tiny_bundle.graph_a() if a is None else a, B: tiny_bundle.graph_b() if b is None else b}
    tiny_bundle.write_bundle(root, files, native=NativeFiles(A, B))
    return root


def files_of(runner: Runner) -> tuple[str, str]:
    return runner.graph_a.path.name, runner.graph_b.path.name


def found(runner: Runner) -> set[tuple[str | None, tuple[float, ...]]]:
    return {(item.name, item.box) for item in runner.detect(tiny_bundle.picture())}


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> list[CompiledGraph]:
    """A "GPU" that is LiteRT's CPU: which form is chosen does not depend on the accelerator. Returns the compiled graphs."""
    made: list[CompiledGraph] = []

    class OnTheCpu(CompiledGraph):
        def __init__(self, path: Path, spec: GraphSpec, **options: object) -> None:
            super().__init__(path, spec, **{**options, "accelerator": "cpu"})  # type: ignore[arg-type]
            self.closed = False
            made.append(self)

        def close(self) -> None:
            self.closed = True
            super().close()

    monkeypatch.setattr(runner_module, "CompiledGraph", OnTheCpu)
    return made


def test_on_a_gpu_the_native_form_is_used(tmp_path, gpu, caplog):
    with Runner(bundle(tmp_path), "gpu") as runner:
        assert (runner.form, files_of(runner)) == ("native", (A, B))
        assert found(runner) == DETECTIONS
    assert caplog.records == []


@pytest.mark.parametrize("refused", ["a", "b"])
def test_a_refused_native_file_makes_both_graphs_portable_with_one_warning(tmp_path, gpu, caplog, refused):
    with caplog.at_level(logging.WARNING), Runner(bundle(tmp_path, **{refused: REFUSED}), "gpu") as runner:
        assert (runner.form, files_of(runner)) == ("portable", ("graph_a.tflite", "graph_b.tflite"))
        assert found(runner) == DETECTIONS
    (record,) = caplog.records
    message = record.getMessage()
    assert "the native form does not run here, so the portable one is used" in message
    assert f"graph_{refused}.native.tflite" in message and "\n" not in message


def test_a_native_graph_that_was_compiled_before_the_other_was_refused_is_closed(tmp_path, gpu):
    with Runner(bundle(tmp_path, b=REFUSED), "gpu"):
        assert [(graph.path.name, graph.closed) for graph in gpu] == [
            (A, True),
            ("graph_a.tflite", False),
            ("graph_b.tflite", False),
        ]


def test_the_error_is_the_portable_forms_if_neither_runs(tmp_path, gpu):
    root = tmp_path / "bundle"
    tiny_bundle.write_bundle(root, {A: REFUSED, B: REFUSED, "graph_b.tflite": REFUSED}, native=NativeFiles(A, B))
    with pytest.raises(UserError, match=r"graph_b.tflite: not a LiteRT model"):
        Runner(root, "gpu")
    assert all(graph.closed for graph in gpu)


def test_the_cpu_does_not_try_the_native_form(tmp_path, caplog):
    with Runner(bundle(tmp_path, REFUSED, REFUSED), "cpu") as runner:
        assert runner.form == "portable" and found(runner) == DETECTIONS
    assert caplog.records == []


def test_a_form_that_is_asked_for_is_the_only_one_tried(tmp_path, gpu):
    root = bundle(tmp_path, b=REFUSED)
    with Runner(root, "gpu", form="portable") as runner:
        assert runner.form == "portable"
    with pytest.raises(UserError, match=rf"{B}: not a LiteRT model"):
        Runner(root, "gpu", form="native")
    with Runner(bundle(tmp_path / "right"), "cpu", form="native") as runner:
        assert (runner.form, files_of(runner)) == ("native", (A, B))


def test_a_native_form_that_the_bundle_lacks_is_refused_in_one_line(tmp_path):
    tiny_bundle.write_bundle(tmp_path)
    with pytest.raises(UserError, match="has no native form; convert it again without --no-native") as caught:
        Runner(tmp_path, "cpu", form="native")
    assert "\n" not in str(caught.value)


def test_a_bundle_without_a_native_form_runs_on_a_gpu_as_before(tmp_path, gpu, caplog):
    tiny_bundle.write_bundle(tmp_path)
    with Runner(tmp_path, "gpu") as runner:
        assert runner.form == "portable" and found(runner) == DETECTIONS
    assert caplog.records == []


def test_one_native_graph_runs_beside_the_portable_other_that_has_no_native_operator(tmp_path, gpu):
    root = tmp_path / "bundle"
    tiny_bundle.write_bundle(root, {B: tiny_bundle.graph_b()}, native=NativeFiles("graph_a.tflite", B))
    with Runner(root, "gpu") as runner:
        assert (runner.form, files_of(runner)) == ("native", ("graph_a.tflite", B))
        assert found(runner) == DETECTIONS


class TestWhatCrossesFromGraphAToGraphB:
    """Graph B reads graph A's memory itself, as with the layout of indices: logits of every cell, in the picture's order."""

    @pytest.fixture
    def root(self, tmp_path):
        cells = tiny_bundle.CELLS
        memory, boxes = TensorSpec("memory", (1, cells, 3)), TensorSpec("selected_cells", (1, cells, 4))
        outputs = (TensorSpec("boxes", (1, cells, 4)), TensorSpec("logits", (1, cells, 3)))
        usual = tiny_bundle.manifest()
        program = HostProgram(
            inputs=("enc_scores",),
            constants=usual.host_step.constants,
            ops=(
                HostOp("topk", ("enc_scores",), "indices", {"k": cells, "axis": 1}),
                HostOp("gather", ("cells", "indices"), "selected_cells", {"axis": 1}),
            ),
            outputs=("selected_cells",),
        )
        tiny_bundle.write_bundle(
            tmp_path,
            {"graph_b.tflite": tiny_bundle.graph_b("memory", cells)},
            graphs=Graphs(usual.graphs.a, GraphSpec("graph_b.tflite", (memory, boxes), outputs)),
            host_step=program,
            postprocess=Postprocess(num_select=cells),
        )
        return tmp_path

    @pytest.mark.parametrize("all_outputs", [True, False])
    def test_is_the_memory_of_the_same_picture(self, root, all_outputs):
        generator = np.random.default_rng(0)
        with Runner(root) as runner:
            assert "memory" not in runner.graph_b._inputs
            for _ in range(3):
                image = generator.random((1, 3, 8, 8), dtype=np.float32)
                out = runner.run(image, all_outputs=all_outputs)
                cells = image[0].reshape(3, 4, 2, 4, 2).mean(axis=(2, 4)).reshape(3, 16).T[None]
                np.testing.assert_allclose(out.graph_b["logits"], cells * 20 - 10, atol=1e-5)
                assert set(out.graph_a) == ({"enc_scores", "memory"} if all_outputs else {"enc_scores"})

    def test_is_not_copied_by_the_host_and_detects_the_same(self, root):
        with Runner(root) as runner:
            image = preprocess(tiny_bundle.picture(), runner.bundle.manifest.preprocess)
            before = runner.run(image).graph_b
            after = runner.run(image, all_outputs=False).graph_b
            for name, value in before.items():
                np.testing.assert_array_equal(after[name], value)


class TestPixels:
    """A native form whose graph A takes the resized picture's pixels."""

    @staticmethod
    def bundle(root: Path, a: bytes | None = None) -> Path:
        files = {A: tiny_bundle.graph_a_of_pixels() if a is None else a, B: tiny_bundle.graph_b()}
        tiny_bundle.write_bundle(root, files, **tiny_bundle.in_pixels(NativeFiles(A, B)))
        return root

    def test_it_is_fed_the_pixels_and_detects_the_same(self, tmp_path):
        with Runner(self.bundle(tmp_path), form="native") as runner:
            taken = runner.prepare(tiny_bundle.picture())
            assert (taken.dtype, taken.shape) == (np.uint8, (1, 8, 8, 3))
            np.testing.assert_array_equal(taken[0], np.asarray(tiny_bundle.picture()))
            native = runner.run(taken).graph_a
            assert found(runner) == DETECTIONS
        with Runner(tmp_path, form="portable") as runner:
            image = runner.prepare(tiny_bundle.picture())
            assert (image.dtype, image.shape) == (np.float32, (1, 3, 8, 8))
            for name, value in runner.run(image).graph_a.items():
                np.testing.assert_allclose(native[name], value, atol=1e-6)
            assert found(runner) == DETECTIONS

    def test_the_portable_form_that_replaces_it_is_fed_floats(self, tmp_path, gpu):
        with Runner(self.bundle(tmp_path, a=REFUSED), "gpu") as runner:
            assert runner.form == "portable" and found(runner) == DETECTIONS

    def test_the_golden_vectors_hold_them(self, tmp_path):
        files = {A: tiny_bundle.graph_a_of_pixels(), B: tiny_bundle.graph_b()}
        tiny_bundle.write_recorded_bundle(tmp_path, files, **tiny_bundle.in_pixels(NativeFiles(A, B)))
        recorded = load_bundle(tmp_path).golden_tensors()["pixels"]
        np.testing.assert_array_equal(recorded[0], np.asarray(tiny_bundle.picture()))

    def test_floats_in_their_place_are_refused(self, tmp_path):
        with (
            Runner(self.bundle(tmp_path), form="native") as runner,
            pytest.raises(ValueError, match=r"not uint8\[1, 8, 8, 3\]"),
        ):
            runner.run(np.zeros((1, 8, 8, 3), np.float32))


@pytest.mark.gpu
def test_on_a_real_gpu_a_refused_native_form_is_replaced(tmp_path, driver):
    """In a child, as a GPU compile should be."""
    done = child(
        """
        import sys
        from detr2litert.host_runtime.quiet import silence_native_log
        from detr2litert.host_runtime.runner import Runner
        silence_native_log()
        with Runner(sys.argv[1], "gpu", enforce_f32=True) as runner:
            print(runner.form, sorted(item.name for item in runner.detect(sys.argv[1] + "/golden/image.png")))
        """,
        str(bundle(tmp_path, b=REFUSED)),
        **{name: value for name, value in {**os.environ, **driver.environment}.items() if name != "PYTHONPATH"},
    )
    assert done.stdout == "portable ['green', 'red']\n"
    assert done.stderr.count("the native form does not run here") == 1 and done.stderr.count("\n") == 1
