"""adb's listing and its errors as types; the lines are those that adb 29 to 36 print."""

from __future__ import annotations

import sys
import time
from pathlib import Path, PurePosixPath

import pytest

from detr2litert.verify.adb.client import Adb, Device, Listed
from detr2litert.verify.adb.errors import (
    AdbTimeoutError,
    CommandFailedError,
    ConnectionCutError,
    DeviceError,
    DeviceFullError,
    NoDeviceError,
    OfflineError,
    SeveralDevicesError,
    UnauthorizedError,
)
from tests.verify.adb.scripted import READY, SERIAL, ScriptedAdb, answer_with

NO_RULES = (
    "no permissions (missing udev rules? user is in the plugdev group); see [http://developer.android.com/tools/device.html]"
)


def test_the_listing() -> None:
    """Of old versions too, which report their server on standard output."""
    message = f"""* daemon not running; starting now at tcp:5037
* daemon started successfully
List of devices attached
{SERIAL}\tdevice
emulator-5554\toffline
192.168.1.5:5555\tunauthorized
????????????\t{NO_RULES}

"""
    assert ScriptedAdb(listing=message).devices() == (
        Listed(SERIAL, "device"),
        Listed("emulator-5554", "offline"),
        Listed("192.168.1.5:5555", "unauthorized"),
        Listed("????????????", NO_RULES),
    )
    assert ScriptedAdb(listing="List of devices attached\n\n").devices() == ()


@pytest.mark.parametrize(
    ("state", "error", "words"),
    [
        ("unauthorized", UnauthorizedError, "accept this computer's key"),
        ("authorizing", UnauthorizedError, "accept this computer's key"),
        (NO_RULES, UnauthorizedError, "android-sdk-platform-tools-common"),
        ("offline", OfflineError, "is offline, not ready"),
        ("connecting", OfflineError, "is connecting, not ready"),
        ("recovery", OfflineError, "is recovery, not ready"),
        ("sideload", OfflineError, "is sideload, not ready"),
    ],
)
def test_a_device_that_is_not_ready(state: str, error: type[DeviceError], words: str) -> None:
    with pytest.raises(error, match=words):
        ScriptedAdb(listing=f"List of devices attached\n{SERIAL}\t{state}\n").choose()


def test_choosing() -> None:
    two = ScriptedAdb(listing=f"{READY.rstrip()}\nother\tdevice\n")
    assert [device.serial for device in two.choose(every=True)] == [SERIAL, "other"]
    assert [device.serial for device in two.choose(("other", "other"))] == ["other"]
    assert [device.serial for device in ScriptedAdb().choose()] == [SERIAL]
    with pytest.raises(SeveralDevicesError, match=f"2 devices are connected .{SERIAL}, other.; name one with --serial"):
        two.choose()
    with pytest.raises(NoDeviceError, match="the device third is not connected"):
        two.choose((SERIAL, "third"))
    with pytest.raises(NoDeviceError, match="no Android device is connected"):
        ScriptedAdb(listing="List of devices attached\n").choose((SERIAL,))


@pytest.mark.parametrize(
    "stderr",
    [
        "error: device offline",
        "adb: device offline",
        f"adb: device '{SERIAL}' not found",
        f"error: device '{SERIAL}' not found",
        "adb: no devices/emulators found",
        "error: closed",
        "error: protocol fault (couldn't read status): Connection reset by peer",
        "adb: device still connecting",
        "error: device still authorizing",
        "error: device unauthorized.\nThis adb server's $ADB_VENDOR_KEYS is not set",
    ],
)
def test_a_lost_device(stderr: str) -> None:
    device = Device(ScriptedAdb(answer_with(1, stderr), "List of devices attached\n"), SERIAL)
    with pytest.raises(ConnectionCutError, match=rf"{SERIAL}: the connection was cut \(it is missing; adb: .*run the same"):
        device.shell("true")


def test_a_missing_exit_code_is_a_cut_connection() -> None:
    with pytest.raises(ConnectionCutError, match="it is back; adb: no output"):
        Device(ScriptedAdb(answer_with(255, "")), SERIAL).shell("am instrument")


@pytest.mark.parametrize(
    "stderr",
    [
        "adb: error: failed to copy 'a' to '/data/local/tmp/b': remote couldn't write to file: No space left on device",
        "adb: error: failed to copy 'a' to '/data/local/tmp/b': remote write failed: No space left on device",
        "cat: write error: No space left on device",
    ],
)
def test_a_full_device(stderr: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    device = Device(ScriptedAdb(answer_with(1, stderr)), SERIAL)
    with pytest.raises(DeviceFullError, match="no space left"):
        device.push(tmp_path / "a", PurePosixPath("/data/local/tmp/b"))
    with pytest.raises(DeviceFullError):
        device.output("cat a >> b")


def test_a_failed_push_is_a_cut_connection_only_if_the_device_is_gone(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    answer = answer_with(1, "adb: error: failed to copy 'a' to 'b': remote secure_mkdirs failed: Operation not permitted")
    with pytest.raises(CommandFailedError, match="Operation not permitted"):
        Device(ScriptedAdb(answer), SERIAL).push(tmp_path / "a", PurePosixPath("b"))
    with pytest.raises(ConnectionCutError, match="it is offline"):
        Device(ScriptedAdb(answer, READY.replace("\tdevice", "\toffline")), SERIAL).push(tmp_path / "a", PurePosixPath("b"))


def test_a_push_that_lost_its_device_is_a_cut_connection_before_the_server_notices(tmp_path: Path) -> None:
    """adb 29 reports it on standard output."""
    (tmp_path / "a").write_bytes(b"a")
    message = "adb: error: failed to copy 'a' to 'b': couldn't read from device\na: 0 files pushed, 0 skipped."
    with pytest.raises(ConnectionCutError, match=r"it is back; adb: .*couldn't read from device"):
        Device(ScriptedAdb(answer_with(1, "", message)), SERIAL).push(tmp_path / "a", PurePosixPath("b"))


def test_a_failed_command_is_one_line_with_its_output() -> None:
    answer = answer_with(7, "sh: line one\n\tline two\n")
    with pytest.raises(CommandFailedError, match=r"`rm x` failed with exit code 7: sh: line one line two$"):
        Device(ScriptedAdb(answer), SERIAL).output("rm x")


def test_a_command_is_one_argument() -> None:
    """adb joins its arguments with blanks, unquoted: a second one would be split or joined by the device's shell."""
    adb = ScriptedAdb()
    Device(adb, SERIAL).shell("echo 'a  b'; echo $HOME")
    assert adb.calls == [("-s", SERIAL, "shell", "-T", "-n", "echo 'a  b'; echo $HOME")]


def test_properties() -> None:
    message = "[ro.product.model]: [Pixel 8]\r\n[empty]: []\n[odd]: [a]: [b]]\nnoise\n".replace("\r", "")
    found = Device(ScriptedAdb(answer_with(0, "", message)), SERIAL).properties()
    assert found["ro.product.model"] == "Pixel 8"
    assert found["empty"] == ""
    assert "noise" not in found


def program(path: Path, text: str) -> Path:
    path.write_text(f"#!{sys.executable}\n{text}\n")
    path.chmod(0o755)
    return path


def test_a_call_that_does_not_end_is_killed(tmp_path: Path) -> None:
    slow = program(tmp_path / "adb", "import time; print('so far', flush=True); time.sleep(60)")
    start = time.monotonic()
    with pytest.raises(AdbTimeoutError, match=r"`adb shell x` did not end within 3 s") as caught:
        Adb(slow).call("shell", "x", timeout=3)
    assert caught.value.stdout == "so far\n"
    assert time.monotonic() - start < 30


def test_a_program_that_cannot_be_run(tmp_path: Path) -> None:
    (tmp_path / "adb").write_bytes(b"\x7fELF of another machine")
    (tmp_path / "adb").chmod(0o755)
    with pytest.raises(CommandFailedError, match="cannot be run"):
        Adb(tmp_path / "adb").devices()


def test_a_server_that_does_not_start(tmp_path: Path) -> None:
    broken = program(tmp_path / "adb", "import sys; sys.exit('error: could not install smartsocket: Address in use')")
    with pytest.raises(CommandFailedError, match=r"could not install .*; try `adb kill-server`"):
        Adb(broken).devices()
