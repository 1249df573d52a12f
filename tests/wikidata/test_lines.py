"""Whole lines from pieces of text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from polyfact_dataset.wikidata.lines import LineCutter, joined

TEXTS = st.lists(st.sampled_from([b"a", b"bc", b"\n", b"\n\n", b"defgh"]), max_size=30).map(b"".join)


def fed(cutter: LineCutter, text: bytes) -> bytes:
    return b"".join(data[start:stop] for data, start, stop in cutter.feed(text))


@given(TEXTS, st.lists(st.integers(0, 60), max_size=6), st.booleans())
def test_head_lines_and_tail_are_the_text(text: bytes, cuts: list[int], at_line: bool) -> None:
    borders = [0, *sorted(cuts), len(text)]
    cutter = LineCutter(1000, at_line=at_line)
    lines = b"".join(fed(cutter, text[begin:end]) for begin, end in zip(borders, borders[1:]))
    if at_line or b"\n" not in text:
        assert cutter.head is None and lines + cutter.tail == text
    else:
        assert cutter.head + b"\n" + lines + cutter.tail == text
    assert b"\n" not in (cutter.head or b"") + cutter.tail and lines[-1:] in (b"", b"\n")


def test_a_line_above_the_limit_keeps_one_byte_too_many() -> None:
    cutter = LineCutter(5, at_line=True)
    lines = fed(cutter, b"12\n3456") + fed(cutter, b"789012345") + fed(cutter, b"6\n7")
    assert lines == b"12\n345678\n" and cutter.tail == b"7"
    assert joined(b"123", b"45", 5) == b"12345" and joined(b"123456", b"789", 5) == b"123456"
