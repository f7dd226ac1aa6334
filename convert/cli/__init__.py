"""The command line: each module holds the commands of one purpose, and does nothing on import."""

from detr2litert.convert.cli.main import cli, main

__all__ = ["cli", "main"]
