"""Pictures of more than 8 bits: what their range is taken to be, and what is said where it is lost."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from detr2litert.host_runtime.preprocess import load_image


def saved(folder, image, name):
    image.save(folder / name)
    return folder / name


def test_16_bit_files_of_a_camera_of_12_bits_say_what_is_lost(tmp_path, caplog):
    values = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    grey = saved(tmp_path, Image.fromarray(values), "grey.png")
    assert np.asarray(load_image(grey)).max() == 16
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith(
        f"{grey} has 16-bit pixels, the brightest of which becomes 16 of 255, so that 17 of 256 levels are left;"
    )
    assert "multiply" in line and "\n" not in line
    caplog.clear()
    whole = saved(tmp_path, Image.fromarray(values * 16), "whole.png")
    assert np.asarray(load_image(whole)).max() == 255
    load_image(saved(tmp_path, Image.fromarray(values * 0), "black.png"))
    load_image(saved(tmp_path, Image.fromarray((values // 256).astype(np.uint8)), "dark but of 8 bits.png"))
    assert caplog.records == []


@pytest.mark.parametrize(("kind", "channels"), [(2, 3), (4, 2), (6, 4)], ids=["RGB", "grey with opacity", "RGBA"])
def test_16_bit_colours_of_12_bits_say_what_is_lost(tmp_path, caplog, kind, channels):
    values = np.broadcast_to(np.arange(0, 4096, 64, dtype=np.uint16)[None, :, None], (2, 64, channels)).copy()
    values[..., 3 if kind == 6 else 1 if kind == 4 else 0] = 65535 if kind != 2 else 4095
    path = tmp_path / "x.png"
    path.write_bytes(png_16_bit(values, kind))
    assert np.asarray(load_image(path)).max() == 15
    assert [record.getMessage().partition(";")[0] for record in caplog.records] == [
        f"{path} has 16-bit pixels, the brightest of which becomes 15 of 255, so that 16 of 256 levels are left"
    ]


def test_a_tiff_of_12_bits_is_scaled_by_its_own_range(tmp_path, caplog):
    values = np.array([[0, 1, 2048, 4095], [16, 100, 1000, 4000]], np.uint16)
    path = tmp_path / "x.tif"
    path.write_bytes(tiff_12_bit(values))
    assert np.asarray(load_image(path))[..., 0].tolist() == np.rint(values * (255 / 4095)).astype(int).tolist()
    assert caplog.records == []


def png_16_bit(values, kind):
    """A PNG of 16 bits and this colour type (2: RGB, 4: grey with opacity, 6: RGBA), which Pillow cannot write."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def tiff_12_bit(values):
    """An uncompressed TIFF of 12 bits a pixel, two pixels in three bytes, of an even width."""
    height, width = values.shape
    pairs = values.reshape(-1, 2).astype(np.uint32)
    packed = (pairs[:, 0] << 12 | pairs[:, 1]).astype(">u4").view(np.uint8).reshape(-1, 4)[:, 1:].tobytes()
    tags = {256: width, 257: height, 258: 12, 259: 1, 262: 1, 273: 0, 277: 1, 278: height, 279: len(packed)}
    tags[273] = 8 + 2 + 12 * len(tags) + 4
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + struct.pack("<I", 0) + packed
