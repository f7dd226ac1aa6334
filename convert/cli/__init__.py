"""The command line: each module holds the commands of one purpose, and does nothing until one is called."""

from detr2litert.convert.cli.main import cli, main

__all__ = ["cli", "main"]
