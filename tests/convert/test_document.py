"""Generated passages go between their markers and nowhere else."""

from __future__ import annotations

import pytest

from detr2litert.convert.document import insert, read_document
from detr2litert.host_runtime.errors import UserError

BEGIN, END = "<!-- figures:begin -->", "<!-- figures:end -->"


def test_a_passage_replaces_what_was_between_its_markers_and_nothing_else():
    document = f"# Title\n\n{BEGIN}\nold\n{END}\n\ntail\n<!-- other:begin -->\nkept\n<!-- other:end -->\n"
    once = insert(document, "figures", "\nnew\n")
    assert once == document.replace("old", "new")
    assert insert(once, "figures", "new") == once


@pytest.mark.parametrize("document", ["nothing", f"{BEGIN} only", f"{END} {BEGIN}", "<!-- other:begin --><!-- other:end -->"])
def test_a_document_without_the_markers_is_refused(document, tmp_path):
    with pytest.raises(UserError, match="figures:begin"):
        insert(document, "figures", "new")
    (tmp_path / "document.md").write_text(document, encoding="utf-8")
    with pytest.raises(UserError, match="figures:begin"):
        read_document(tmp_path / "document.md", "figures")


def test_a_missing_document_is_named(tmp_path):
    with pytest.raises(UserError, match=r"cannot read .*missing\.md"):
        read_document(tmp_path / "missing.md", "figures")
