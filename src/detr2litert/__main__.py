"""The entry of the command: ``python -m detr2litert``, and both installed scripts."""

from __future__ import annotations

import sys

_EXTRA = (
    "ai_edge_quantizer",
    "click",
    "jinja2",
    "litert_torch",
    "networkx",
    "packaging",
    "yaml",
    "rich",
    "torch",
    "transformers",
)
"""Modules that the base install does not bring: running a bundle takes host_runtime alone."""
_BAD_USE = 2


def main() -> None:
    """Run the command; where the converter's packages are not installed, say so in one line and exit with 2."""
    try:
        from detr2litert.convert.cli.main import main as command
        from detr2litert.convert.cli.program import end_process

        try:
            command()
        except SystemExit as ended:
            end_process(ended.code if isinstance(ended.code, int) else 0)
    except KeyboardInterrupt:
        # While the modules above are loaded; from then on the command handles it.
        from detr2litert.host_runtime.interrupt import exit_process

        print("error: interrupted before it was done; run the same command again", file=sys.stderr)
        exit_process(_BAD_USE)
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        if module not in _EXTRA:
            raise
        print(
            f"error: {module} is not installed, and the converter needs it: in the repository, run "
            "pip install -c constraints.txt -e '.[convert]' (running a bundle needs only host_runtime)",
            file=sys.stderr,
        )
        sys.exit(_BAD_USE)


if __name__ == "__main__":
    main()
