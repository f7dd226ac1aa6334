"""Hypothesis strategies: a valid JSON document with one member changed into something hostile, or with damaged text."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

Path = tuple[str | int, ...]

LIMIT = timedelta(seconds=20)
"""For one input."""


def generated(count: int) -> settings:
    """Settings of a test with ``count`` inputs: the same ones in every run."""
    return settings(
        max_examples=count,
        deadline=LIMIT,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
    )


class Literal(str):
    """JSON text that is written as it is."""


_NUMBERS = [
    *(-1, 0, 1, 1.5, 2.0, 2**31, 2**53, 10**30, -(10**30), 1e300, 1e-300, -0.0, float("nan"), float("inf")),
    *map(Literal, ("1e999", "-1e999", "1" + "0" * 400, "-1" + "0" * 5000, "1.5E+2", "01", "1_000")),
]
_TEXTS = [
    *(
        "",
        " ",
        "\0",
        "a\nerror: b",
        "\x1b[2J\x1b]0;x\x07",
        "\u202eabc",
        "\x85",
        "../../etc/passwd",
        "__proto__",
        "\U0001f680",
        "0",
    ),
    *("x" * 300, "x" * 5000, "x" * 1_000_000, "9" * 5000, "²", "%s%n{0}", "[bold red]"),
    *map(Literal, ('"\\ud800"', '"\\ude00\\ud83d"', '"\\u0000"', '"\\uZZZZ"', '"open')),
]
_NESTED = [
    *([], {}, [[]], [{}], {"": None}, [[[[[[[[]]]]]]]], [0] * 5000),
    *map(Literal, ("[" * 100_000, "[" * 100_000 + "]" * 100_000, '{"a":' * 5000, "[" * 40 + "]" * 40, '{"a":1,"a":2}')),
]

values = st.one_of(
    st.sampled_from([None, True, False]),
    st.sampled_from(_NUMBERS),
    st.sampled_from(_TEXTS),
    st.sampled_from(_NESTED),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
)


@st.composite
def mutated(draw: st.DrawFn, document: Any) -> bytes:
    """The document's text with one or two members replaced, removed, renamed or repeated; sometimes cut or with other bytes."""
    data = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 2))):
        paths = list(_paths(data))
        if paths:
            _change(draw, data, draw(st.sampled_from(paths)))
    text = _text(data).encode("utf-8", "surrogatepass")
    damage = draw(st.integers(0, 11))
    if damage == 11:
        return text[: draw(st.integers(0, len(text)))]
    if damage == 10:
        at = draw(st.integers(0, len(text)))
        return text[:at] + draw(st.binary(min_size=1, max_size=4)) + text[at:]
    return text


def _change(draw: st.DrawFn, data: Any, path: Path) -> None:
    place = data
    for step in path[:-1]:
        place = place[step]
    key = path[-1]
    kind = draw(st.sampled_from(["replace"] * 6 + ["remove", "rename", "repeat"]))
    if kind == "remove":
        del place[key]
    elif kind == "rename" and isinstance(place, dict):
        name = draw(st.one_of(st.sampled_from([t for t in _TEXTS if not isinstance(t, Literal)]), st.text(max_size=10)))
        place[name] = place.pop(key)
    elif kind == "repeat" and isinstance(place, list):
        place[:] = place * draw(st.sampled_from([2, 70, 3000]))
    else:
        place[key] = copy.deepcopy(draw(values))  # a second change must not change the list that is drawn from


def _paths(value: Any, path: Path = ()) -> Iterator[Path]:
    if path:
        yield path
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _paths(item, (*path, key))


def _text(value: Any) -> str:
    """As ``json.dumps``, with `Literal` members as they are; characters outside ASCII are sometimes escaped, as there."""
    if isinstance(value, Literal):
        return str(value)
    if isinstance(value, dict):
        return f"{{{','.join(f'{json.dumps(name)}:{_text(item)}' for name, item in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_text, value))}]"
    return json.dumps(value)
