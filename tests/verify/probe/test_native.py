"""The references of the delegate's own operators, which the CPU cannot run, and what the lint reads from their files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from detr2litert.host_runtime.tflite.graph import Op, read_graph
from detr2litert.host_runtime.tflite.writer import ModelWriter
from detr2litert.verify.lint.op_lint import lint_file
from detr2litert.verify.lint.rules.native import custom_options
from detr2litert.verify.probe.probe import Behaviour, Probe, Values
from detr2litert.verify.probe.suite import native

_BY_NAME = {probe.name: probe for probe in (*native.PROBES, *native.FP16_PROBES)}
_JUDGED = [probe for probe in _BY_NAME.values() if probe.does in (Behaviour.ACCEPTED, Behaviour.WRONG)]


def _reference(probe: Probe, folder: Path) -> tuple[Values, Values]:
    given = probe.inputs(probe.write(folder))
    assert probe.reference is not None
    return given, probe.reference(given)


@pytest.mark.parametrize("probe", _JUDGED, ids=lambda probe: probe.name)
def test_a_probe_with_numbers_has_a_finite_reference_of_the_outputs_shapes(probe: Probe, tmp_path: Path) -> None:
    _, made = _reference(probe, tmp_path)
    graph = read_graph(tmp_path / f"{probe.name}.tflite")
    for name, index in graph.signature_outputs.items():
        # Groups that do not divide the channels are judged by others.
        assert made[name].shape == graph.tensors[index].shape and np.isfinite(made[name]).all()


@pytest.mark.parametrize("rank", [2, 3, 4])
def test_norms_are_pytorchs(rank: int, tmp_path: Path) -> None:
    scale, bias = (torch.from_numpy(native.data(8, seed=seed)) for seed in (1, 2))
    given, made = _reference(_BY_NAME[f"native_layer_norm_{rank}d"], tmp_path)
    x = torch.from_numpy(given["x0"])
    np.testing.assert_allclose(made["y"], functional.layer_norm(x, [8], scale, bias, 1e-5), atol=1e-5)
    given, made = _reference(_BY_NAME[f"native_rms_norm_{rank}d"], tmp_path)
    np.testing.assert_allclose(made["y"], functional.rms_norm(torch.from_numpy(given["x0"]), [8], scale, 1e-5), atol=1e-5)
    given, made = _reference(_BY_NAME[f"native_group_norm_{rank}d"], tmp_path)
    x = torch.from_numpy(given["x0"])
    first = (x if rank > 2 else x[:, None]).movedim(-1, 1)  # rank 2 is [B, C]: every row is a batch entry of its own
    expected = functional.group_norm(first, 2, scale, bias, 1e-5).movedim(1, -1).reshape(x.shape)
    np.testing.assert_allclose(made["y"], expected, atol=1e-5)


@pytest.mark.parametrize("name", ["resampler_3", "resampler_batch", "resampler_outside", "resampler_one_pixel"])
def test_a_resampler_is_a_grid_sample_with_zeros_outside(name: str, tmp_path: Path) -> None:
    given, made = _reference(_BY_NAME[name], tmp_path)
    image, points = torch.from_numpy(given["x0"]).permute(0, 3, 1, 2), torch.from_numpy(given["x1"])
    size = torch.tensor([image.shape[3], image.shape[2]])
    expected = functional.grid_sample(image, (points * 2 + 1) / size - 1, align_corners=False).permute(0, 2, 3, 1)
    np.testing.assert_allclose(made["y"], expected, atol=1e-4)


def test_pool_and_its_inverse_and_the_transposed_convolution_are_pytorchs(tmp_path: Path) -> None:
    given, made = _reference(_BY_NAME["argmax_pool"], tmp_path)
    x = torch.from_numpy(given["x0"]).permute(0, 3, 1, 2)
    values, places = functional.max_pool2d(x, 2, return_indices=True)
    np.testing.assert_array_equal(made["y"], values.permute(0, 2, 3, 1))
    in_window = (places // 4 % 2) * 2 + places % 2  # PyTorch counts in the map, of four columns
    np.testing.assert_array_equal(made["i"], in_window.permute(0, 2, 3, 1))
    unpool = _BY_NAME["unpool"].reference
    assert unpool is not None
    expected = functional.max_unpool2d(values, places, 2).permute(0, 2, 3, 1)
    np.testing.assert_array_equal(unpool({"x0": made["y"], "x1": made["i"]})["y"], expected)
    given, made = _reference(_BY_NAME["transpose_conv_bias"], tmp_path)
    x = torch.from_numpy(given["x0"]).permute(0, 3, 1, 2)
    weights = torch.from_numpy(native.data(8, 2, 2, 8, seed=3)).permute(3, 0, 1, 2)
    made_by_torch = functional.conv_transpose2d(x, weights, torch.from_numpy(native.data(8, seed=2)), stride=2)
    np.testing.assert_allclose(made["y"], made_by_torch.permute(0, 2, 3, 1), atol=1e-4)


def test_options_round_trip_through_a_file(tmp_path: Path) -> None:
    (op,) = read_graph(_BY_NAME["native_group_norm_4d"].write(tmp_path)).ops
    assert custom_options(op) == pytest.approx({"epsilon": 1e-5, "num_groups": 2})
    (pool,) = read_graph(_BY_NAME["argmax_pool"].write(tmp_path)).ops
    assert pool.custom_options == native.pool_options() and len(pool.custom_options) == 40


@pytest.mark.parametrize("raw", [b"", b"\1", b"\1\2\3\4\5", b"\0" * 40, b"\xff" * 3, native.pool_options()])
def test_what_is_no_map_of_options_is_an_empty_one(raw: bytes) -> None:
    assert custom_options(Op(0, "CUSTOM:x", 1, (), (), custom_options=raw)) == {}


def test_a_registered_code_without_a_probe_is_a_risk_and_any_other_is_refused(tmp_path: Path) -> None:
    def rules(code: str) -> list[tuple[str, str]]:
        w = ModelWriter()
        w.custom(code, [w.input("x", (1, 4))], {"y": (1, 4)})
        return [(finding.rule, finding.severity) for finding in lint_file(w.write(tmp_path / "m.tflite", ["y"]))]

    assert rules("Mfcc") == [("unmeasured-op", "risk")]
    assert rules("Mystery") == [("unregistered-custom-op", "refused")]
    assert rules("custom_call.PixelShuffle") == [("pixel-shuffle", "wrong")]
