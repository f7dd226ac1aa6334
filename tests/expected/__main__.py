"""``python -m tests.expected [NAME…]`` rewrites the expected texts of the named variants, or of all."""

from __future__ import annotations

import argparse

from detr2litert.convert.models.variants import VARIANTS
from tests.expected.files import compiled_text, difference, path_of, stale_files


def main() -> None:
    """Writes and lists the texts that changed, and, for all variants, removes texts of variants that no longer exist."""
    parser = argparse.ArgumentParser(prog="python -m tests.expected", description="Rewrites expected texts.")
    parser.add_argument("names", metavar="NAME", nargs="*", help="a variant; by default all")
    names = parser.parse_args().names
    if unknown := sorted(set(names) - set(VARIANTS)):
        parser.error(f"unknown variant {', '.join(unknown)}")
    for name in names or VARIANTS:
        text = compiled_text(name)
        changed = difference(name, text) != ""
        path_of(name).write_text(text, encoding="utf-8")
        print(f"{name}: {'changed' if changed else 'unchanged'}", flush=True)
    for path in stale_files() if not names else []:
        path.unlink()
        print(f"{path.stem}: removed, there is no such variant")


if __name__ == "__main__":
    main()
