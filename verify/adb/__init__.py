"""Android devices over the adb program: finding it, calling it with time limits, and an app's private files."""
