"""The command line: the program, and what its commands share. The commands are in ``convert.commands``."""
