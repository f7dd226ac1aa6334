"""Errors between this machine and an app on a device: one type each, with a one-line message that says what to do next.

All are ``UserError``: the command prints the line and exits with 2.
"""

from __future__ import annotations

from detr2litert.host_runtime.errors import UserError


class DeviceError(UserError):
    """Base class of all errors of a device."""


class NoAdbError(DeviceError):
    """The adb program was not found."""


class NoDeviceError(DeviceError):
    """No device is connected, or not the requested one."""


class UnauthorizedError(DeviceError):
    """The device has not accepted this machine's key."""


class OfflineError(DeviceError):
    """The device is known to adb but does not respond."""


class SeveralDevicesError(DeviceError):
    """More than one device is connected and none was named."""


class AppMissingError(DeviceError):
    """The app is not installed."""


class NotDebuggableError(DeviceError):
    """The app is a release build, which run-as may not enter."""


class DeviceFullError(DeviceError):
    """The device has no space left."""


class ConnectionCutError(DeviceError):
    """The connection to the device was lost during a call."""


class AdbTimeoutError(DeviceError):
    """A call did not end within its time limit.

    Attributes:
        stdout: what it had printed by then.
    """

    def __init__(self, message: str, stdout: str = "") -> None:
        super().__init__(message)
        self.stdout = stdout


class TooMuchSaidError(DeviceError):
    """A device, or adb itself, wrote more than any answer has."""


class CommandFailedError(DeviceError):
    """A command on the device, or adb itself, failed for another reason."""
