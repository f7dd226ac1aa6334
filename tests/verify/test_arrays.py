"""Named arrays, written and read again."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from detr2litert.verify.arrays import load_arrays, save_arrays


def test_names_order_types_and_shapes_round_trip(tmp_path: Path) -> None:
    values = {
        "in/put:0": np.arange(6, dtype=np.int32).reshape(2, 3),
        "": np.array(1.5, np.float32),
        "größe": np.zeros((0, 4), np.bool_),
    }
    found = load_arrays(save_arrays(values, tmp_path / "a.npz"))
    assert list(found) == list(values)
    for name, value in values.items():
        assert found[name].dtype == value.dtype
        np.testing.assert_array_equal(found[name], value)
    assert load_arrays(save_arrays({}, tmp_path / "none.npz")) == {}
