"""Hypothesis strategies for hostile text, JSON and bytes: valid input with some of its parts replaced."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import strategies as st

# As written in JSON: characters on which parsers, databases and encoders fail.
FRAGMENTS = (
    *("null", "true", "[]", "{}", "[null]", "[[]]", "-1", "0", "1e999", "-1e999", "NaN", "1.5"),
    *(str(2**63), str(-(2**70)), "9" * 5_000, '""', '" "'),
    *('"\\ud800"', '"\\udfff\\ud800"', '"\\u0000"', '"\\u202e\\u200b"', '"\\ufdd0"'),
    *('"../../x"', '"' + "x" * 100_000 + '"', '"/"', '"."', '"=1+1"', '"<script>"', '"\\ud83d\\ude00"'),
    *("[" * 10_000 + "]" * 10_000, '{"a":' * 10_000 + "1" + "}" * 10_000, "[" * 10_000, '{"a": 1, "a": 2}'),
)  # fmt: skip
SPLICES = (
    b"\xff",
    b"\x00",
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
    b"\xc0\x80",
    b"\n",
    b'"',
    b"\\",
    b"{",
    b"]",
    b",",
    b"\x1b[2J",
)


def json_values() -> st.SearchStrategy[Any]:
    """Any JSON value, small."""
    leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    names = st.text(max_size=10)

    def grown(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        return st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3)

    return st.recursive(leaves, grown, max_leaves=6)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all parts of a JSON value, the whole value first."""
    if isinstance(value, dict):
        inner = [place for key, part in value.items() for place in places(part, (*path, key))]
    elif isinstance(value, list):
        inner = [place for key, part in enumerate(value) for place in places(part, (*path, key))]
    else:
        inner = []
    return [path, *inner]


@st.composite
def mutated_json(draw: st.DrawFn, base: Any) -> str:
    """JSON text of `base` with up to three parts replaced or removed."""
    root, fragments = [copy.deepcopy(base)], list[str]()
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.sampled_from(places(root)[1:] or [(0,)]))
        holder = root
        for key in place[:-1]:
            holder = holder[key]
        if draw(st.integers(0, 3)) == 0 and isinstance(holder, dict):
            del holder[place[-1]]
        else:
            holder[place[-1]] = f"\x00{len(fragments)}\x00"
            sound = json_values().map(json.dumps)
            fragments.append(draw(st.sampled_from(FRAGMENTS) | sound))
        if not root or not places(root)[1:]:
            break
    text = json.dumps(root[0] if root else None)
    for number, fragment in enumerate(fragments):
        text = text.replace(json.dumps(f"\x00{number}\x00"), fragment)
    return text


@st.composite
def mutated_bytes(draw: st.DrawFn, data: bytes) -> bytes:
    """Bytes with up to four places changed, removed or added to, or cut off."""
    found = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        place, length = draw(st.integers(0, max(len(found) - 1, 0))), draw(st.integers(0, 64))
        kind = draw(st.sampled_from(("splice", "replace", "remove", "flip", "cut")))
        if kind == "splice":
            found[place:place] = draw(st.sampled_from(SPLICES))
        elif kind == "replace":
            found[place : place + length] = draw(st.binary(min_size=length, max_size=length))
        elif kind == "remove":
            del found[place : place + length]
        elif kind == "flip" and found:
            found[place] ^= 1 << draw(st.integers(0, 7))
        elif kind == "cut" and draw(st.booleans()):
            del found[place:]
    return bytes(found)


def hostile_json(base: Any) -> st.SearchStrategy[bytes]:
    """A document like `base`: with parts replaced, with bytes changed, or both."""
    text = mutated_json(base).map(lambda text: text.encode("utf-8", "surrogatepass"))
    return text | mutated_bytes(json.dumps(base, ensure_ascii=False).encode()) | text.flatmap(mutated_bytes)
