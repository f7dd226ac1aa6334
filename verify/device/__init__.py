"""Parity on a device: runs the app's instrumentation over adb and judges its output on this machine."""
