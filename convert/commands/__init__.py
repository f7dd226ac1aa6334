"""The commands: one module each, with the options and the body, and nothing else in this folder.

The program, and what its commands share, is in ``convert.cli``, a folder of its own: this one is then a list of the commands, and a
command imports from there and never from another command. ``--help`` imports every module here, so a module does nothing on import
and loads nothing that takes long, PyTorch least of all: what its body needs is imported inside the functions.
"""

COMMANDS = (
    "run",
    "variants",
    "targets",
    "rewrites",
    "check",
    "verify",
    "detect",
    "probe",
    "doctor",
    "push",
    "app_assets",
    "device",
)
"""The modules in the order of ``--help``. Each has a command that is called like the module."""
