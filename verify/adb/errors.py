"""What can go wrong between this machine and an app on a device: one type each, one line each, with what to do next.

All are ``UserError``: the command prints the line and exits with 2.
"""

from __future__ import annotations

from detr2litert.host_runtime.errors import UserError


class DeviceError(UserError):
    """Any of the below."""


class NoAdbError(DeviceError):
    """There is no adb program."""


class NoDeviceError(DeviceError):
    """No device is connected, or not the one asked for."""


class UnauthorizedError(DeviceError):
    """The device has not accepted this machine's key."""


class OfflineError(DeviceError):
    """The device is known to adb and does not answer."""


class SeveralDevicesError(DeviceError):
    """More than one device, and none was named."""


class AppMissingError(DeviceError):
    """The app is not installed."""


class NotDebuggableError(DeviceError):
    """The app is installed, but run-as may not enter it: a release build."""


class DeviceFullError(DeviceError):
    """No space left on the device."""


class ConnectionCutError(DeviceError):
    """The device went away in the middle of a call."""


class AdbTimeoutError(DeviceError):
    """A call did not end within its limit.

    Attributes:
        stdout: what it had printed by then.
    """

    def __init__(self, message: str, stdout: str = "") -> None:
        super().__init__(message)
        self.stdout = stdout


class CommandFailedError(DeviceError):
    """A command on the device, or adb itself, failed in another way."""
