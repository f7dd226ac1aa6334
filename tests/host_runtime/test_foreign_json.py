from __future__ import annotations

import json
import time

import pytest

from detr2litert.host_runtime.errors import UserError
from detr2litert.host_runtime.foreign_json import OTHERS, OWN, JsonLimits, conform, escaped, parse_json, read_json

SCHEMA = {
    "type": "object",
    "properties": {"side": {"$ref": "#/$defs/side"}, "sides": {"type": "array", "items": {"$ref": "#/$defs/side"}}},
    "additionalProperties": {"type": "number"},
    "$defs": {"side": {"type": "integer", "minimum": 1}},
}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"a": 1, "b": {"c": 1, "\\u0063": 2}}', "the name 'c' is given twice"),
        ('{"a": [0, NaN]}', "$.a[1] is not a finite number"),
        ('{"a": 1e999}', "$.a is not a finite number"),
        ("1" + "0" * 400, "$ is not a finite number"),
        ("1" * 5000, "4300 digits"),
        ('["\\ud83d"]', "$[0] has the unprintable character U+D83D"),
        ('{"\\u001b": 1}', r"$.\x1b has the unprintable character U+001B"),
        ('["\\n"]', "U+000A"),
        (f'["{"x" * 4097}"]', "$[0] is a text of 4097 characters, more than 4096"),
        ("[" * 33 + "]" * 33, "nested deeper than 32"),
        ("[" * 1_000_000, "nested deeper than 32"),
        ("\ufeff{}", "BOM"),
        (b"\xff{}", "not UTF-8"),
        (" " * (OWN.size + 1), f"larger than {OWN.size} bytes"),
    ],
)
def test_what_is_refused(text, words):
    with pytest.raises(ValueError) as refused:
        parse_json(text)
    assert words in str(refused.value) and str(refused.value).isprintable()


@pytest.mark.parametrize(
    "value", [{"a": [1, -2.5, 1e300, None, True, "क्\u200dष 👩\u200d🚀 é"]}, "x" * 4096, json.loads("[" * 32 + "]" * 32)]
)
def test_what_is_read(value):
    assert parse_json(json.dumps(value)) == value
    assert parse_json(json.dumps(value, ensure_ascii=False).encode()) == value


def test_files_of_other_projects_may_have_lines_and_a_byte_order_mark():
    assert parse_json(b'\xef\xbb\xbf["a\\nb\\tc"]', OTHERS) == ["a\nb\tc"]
    with pytest.raises(ValueError, match=r"U\+001B"):
        parse_json('["\\u001b"]', OTHERS)


def test_a_file_that_grows_is_not_read_beyond_its_limit(tmp_path):
    (tmp_path / "x.json").write_text("[1, 2, 3]")
    assert read_json(tmp_path / "x.json", "a list", JsonLimits(9)) == [1, 2, 3]
    with pytest.raises(UserError, match=r"x\.json: not valid JSON \(it is larger than 8 bytes\); give the path of a list"):
        read_json(tmp_path / "x.json", "a list", JsonLimits(8))
    with pytest.raises(UserError, match="cannot be read"):
        read_json(tmp_path, "a list")


def test_whole_numbers_become_whole_where_the_schema_says_so():
    read = conform({"side": 2.0, "sides": [1.0, 3], "scale": 2.0}, SCHEMA)
    assert read == {"side": 2, "sides": [1, 3], "scale": 2.0}
    assert [type(value) for value in (read["side"], *read["sides"], read["scale"])] == [int, int, int, float]


@pytest.mark.parametrize("wrong", [1.5, 0, True, "1", None, -(10**30)])
def test_other_numbers_are_refused_with_their_place(wrong):
    with pytest.raises(ValueError, match=r"^at \$\.sides\[1\]: "):
        conform({"sides": [1, wrong]}, SCHEMA)


def test_time_is_linear_in_the_size():
    many = ",".join(f'"{number}":0' for number in range(200_000))
    start = time.process_time()
    assert len(parse_json(f"{{{many}}}")) == 200_000
    with pytest.raises(ValueError, match="'199999' is given twice"):
        parse_json(f'{{{many},"199999":1}}')
    assert time.process_time() - start < 5  # 0.3 s


def test_what_this_project_writes_it_can_read():
    odd = "a\x1b[2J\u202e\ud800\nb"
    assert parse_json(json.dumps(escaped(odd))) == r"a\x1b[2J\u202e\ud800\nb"
    assert parse_json(json.dumps(escaped(odd, lines=True)), OTHERS) == "a\\x1b[2J\\u202e\\ud800\nb"
