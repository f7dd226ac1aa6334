"""Parity on a device: drive the app's instrumentation over adb, judge here what it wrote down."""
