"""A runner inside somebody's program: its threads, its descriptors, and what it hands over."""

from __future__ import annotations

import io
import os
import threading

import numpy as np
import pytest
import tiny_bundle
from outside_child import child
from PIL import Image

from detr2litert.host_runtime import quiet
from detr2litert.host_runtime.errors import BusyError, UserError
from detr2litert.host_runtime.quiet import native_log
from detr2litert.host_runtime.runner import Runner

TWO_RUNNERS = """
    import os, sys, threading
    from detr2litert.host_runtime import quiet
    from detr2litert.host_runtime.runner import Runner

    if sys.argv[2] == "command":
        quiet.silence_native_log()
    files = lambda: [(os.fstat(number).st_dev, os.fstat(number).st_ino) for number in (1, 2)]
    before, barrier, found = files(), threading.Barrier(4), []

    def work():
        barrier.wait()
        for _ in range(5):
            with Runner(sys.argv[1], threads=1) as runner:
                found.append(len(runner.detect(sys.argv[1] + "/golden/image.png")))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    same = files() == before
    print(same, found == [2] * 20, flush=True)
    os.write(1, b"written to 1\\n")
    os.write(2, b"written to 2\\n")
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("program") / "bundle"
    tiny_bundle.write_bundle(root)
    return root


@pytest.mark.parametrize("program", ["service", "command"])
def test_runners_in_threads_leave_the_descriptors_as_they_were(root, program):
    done = child(TWO_RUNNERS, str(root), program)
    assert (done.returncode, done.stdout) == (0, "True True\nwritten to 1\n"), done.stderr
    assert "written to 2\n" in done.stderr
    # LiteRT's lines are written where the program has not asked for silence, and a command of ours shows none of them.
    assert ("INFO" in done.stderr) == (program == "service")


def test_the_descriptors_are_not_touched_unless_a_command_asks(monkeypatch):
    monkeypatch.setattr(quiet, "_silenced", False)  # a tool's main in another test may have asked
    before = [os.fstat(number) for number in (1, 2)]
    with native_log() as log:
        assert [os.fstat(number) for number in (1, 2)] == before
        print("the program's own line")
    assert (log.captured, log.lines) == (False, [])


class Entered(threading.Event):
    """The host step of a runner, replaced by one that waits between graph A and graph B."""

    def __init__(self, runner):
        super().__init__()
        self.compute, self.leave = runner.host_step, threading.Event()

    def __call__(self, tensors):
        self.set()
        assert self.leave.wait(60)
        return self.compute(tensors)


def test_a_second_thread_gets_one_error_and_nothing_is_mixed(root):
    red, blue = Image.new("RGB", (8, 8), (255, 0, 0)), Image.new("RGB", (8, 8), (0, 0, 255))
    found = []
    with Runner(root) as runner:
        runner.host_step = entered = Entered(runner)
        first = threading.Thread(target=lambda: found.append(runner.detect(red)))
        first.start()
        assert entered.wait(60)
        for use in (lambda: runner.detect(blue), runner.close):
            with pytest.raises(
                BusyError, match=r"in use by another thread, .*; give each thread a Runner of its own"
            ) as caught:
                use()
            assert "\n" not in str(caught.value)
        entered.leave.set()
        first.join()
        assert [item.name for item in found[0]] == ["red"] * 4
        assert [item.name for item in runner.detect(blue)] == ["blue"] * 4, "it is free again"


def test_a_failed_run_leaves_the_runner_free(root):
    with Runner(root) as runner:
        with pytest.raises(ValueError, match="'image'"):
            runner.run(np.zeros((1, 3, 8, 9), np.float32))
        assert len(runner.detect(tiny_bundle.picture())) == 2


def test_a_closed_runner_says_so(root):
    runner = Runner(root)
    runner.close()
    runner.close()
    with pytest.raises(UserError, match="this Runner is closed; make another one"):
        runner.detect(tiny_bundle.picture())


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (np.zeros((4, 5, 3), np.uint8), r"ndarray of uint8\[4, 5, 3\]"),
        (np.zeros((4, 5), np.float32), r"ndarray of float32\[4, 5\]"),
        (io.BytesIO(b"PNG"), "BytesIO"),
        (b"PNG", "bytes"),
        (None, "NoneType"),
    ],
    ids=["pixels", "floats", "stream", "bytes", "none"],
)
def test_detect_says_what_it_takes(root, given, named):
    with (
        Runner(root) as runner,
        pytest.raises(
            UserError, match=rf"takes a picture's path or a Pillow image, not {named}; give PIL.Image.fromarray\(array\)"
        ),
    ):
        runner.detect(given)


def test_what_detect_says_works(root):
    pixels = np.asarray(tiny_bundle.picture())
    encoded = io.BytesIO()
    tiny_bundle.picture().save(encoded, "PNG")
    with Runner(root) as runner:
        expected = runner.detect(tiny_bundle.picture())
        assert runner.detect(Image.fromarray(pixels)) == expected
        assert runner.detect(Image.open(encoded)) == expected
