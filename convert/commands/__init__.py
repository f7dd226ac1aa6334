"""The commands: one module each, with the options and the body, and nothing else in this folder.

The program, and what its commands share, is in ``convert.cli``, a folder of its own, so that this one lists the commands.
A command imports from there and never from another command. ``--help`` imports every module here: none does anything on import
or loads anything that takes long, PyTorch least of all. What a body needs is imported inside its functions.
"""

COMMANDS = (
    "run",
    "export",
    "variants",
    "targets",
    "rewrites",
    "check",
    "cost",
    "explore",
    "bench",
    "verify",
    "detect",
    "card",
    "probe",
    "doctor",
    "push",
    "app_assets",
    "device",
)
"""The modules in the order of ``--help``. Each has a command that is called like the module."""
