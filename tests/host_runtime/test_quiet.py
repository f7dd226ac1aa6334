from __future__ import annotations

import os

import pytest

from detr2litert.host_runtime import quiet
from detr2litert.host_runtime.quiet import NativeLog, native_log


@pytest.fixture
def silenced(monkeypatch):
    """As in a command's main, without its effect at exit."""
    monkeypatch.setattr(quiet, "_silenced", True)


def native(text: str, descriptor: int = 2) -> None:
    """Write as native code does, past Python's sys.stderr."""
    os.write(descriptor, text.encode())


@pytest.mark.usefixtures("silenced")
def test_noise_is_kept_and_not_shown(capfd):
    with native_log() as log:
        native("INFO: chatter\n")
        native("Failed to load OpenCL library\n", 1)
    assert log.lines == ["INFO: chatter", "Failed to load OpenCL library"]
    assert capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("silenced")
def test_errors_of_a_block_that_ends_well_are_repeated(capfd):
    with native_log():
        native("INFO: chatter\nERROR: broken\n")
    assert capfd.readouterr().err == "ERROR: broken\n"


@pytest.mark.usefixtures("silenced")
def test_errors_of_a_block_that_raises_are_given_to_the_caller(capfd):
    log = NativeLog()
    with pytest.raises(RuntimeError, match="boom"), native_log(log):
        native("ERROR: Following operations are not supported by GPU delegate:\nGATHER_ND: Operation is not supported.\n")
        native("10 operations will run on the GPU, and the remaining 6 operations will run on the CPU.\nINFO: chatter\n")
        raise RuntimeError("boom")
    assert log.errors == [
        "ERROR: Following operations are not supported by GPU delegate:",
        "GATHER_ND: Operation is not supported.",
    ]
    assert capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("silenced")
def test_output_before_and_after_is_in_its_place(capfd):
    print("before")
    with native_log() as log:
        native("inside\n", 1)
    print("after")
    assert capfd.readouterr().out == "before\nafter\n"
    assert log.lines == ["inside"]


@pytest.mark.usefixtures("silenced")
def test_bytes_that_are_not_text_do_no_harm():
    with native_log() as log:
        os.write(2, b"\xff\xfe\n")
    assert len(log.lines) == 1
