"""Texts of both directions where people read them: names in Latin letters inside Arabic questions, and the reverse.

A released column is plain, since models read it. On a page, a full stop or a plus sign after a Latin name in Arabic
text ("E.T.", "C++") would move to the name's other side (Unicode Standard Annex 9, rules N1 and N2) unless it is
isolated: by an element in HTML, by invisible characters elsewhere.
"""

from __future__ import annotations

import html
import re
from functools import cache
from typing import Literal

Direction = Literal["ltr", "rtl"]
FSI, RLI, PDI = "\u2068", "\u2067", "\u2069"
# The letters of each direction: Hebrew to Arabic with their presentation forms, and all others.
_RTL_LETTERS = r"\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff\U00010800-\U00010fff\U0001e800-\U0001efff"
# What is in those blocks, but belongs to no word: digits, the Arabic comma, semicolon and question mark.
_ENDS = r"\u060c\u061b\u061f\u066a-\u066d"
_MARKS = r"«»‹›“”„‘’「」『』《》\"()\[\]（）？?،؛"


@cache
def _runs(direction: Direction) -> re.Pattern[str]:
    """Matches words of the other direction with the punctuation that belongs to them, up to quotation marks."""
    if direction == "rtl":
        first, rest = rf"(?:(?![{_RTL_LETTERS}])[^\W\d_])", rf"[^{_RTL_LETTERS}{_MARKS}]"
    else:
        first, rest = rf"(?:(?![{_ENDS}])[{_RTL_LETTERS}])", rf"[^A-Za-zÀ-ɏͰ-ԯ{_MARKS}]"
    return re.compile(rf"{first}(?:{rest}*(?!\s){rest})?")


def isolated_runs(text: str, direction: Direction) -> str:
    """The text of a language of this direction with the runs of the other direction isolated (FSI, PDI)."""
    return _runs(direction).sub(lambda run: f"{FSI}{run[0]}{PDI}", text)


def as_html(text: str, direction: Direction) -> str:
    """The text escaped for an HTML element of this direction, with the runs of the other one in `<bdi>`."""
    parts, end = [], 0
    for run in _runs(direction).finditer(text):
        parts += [html.escape(text[end : run.start()]), f"<bdi>{html.escape(run[0])}</bdi>"]
        end = run.end()
    return "".join([*parts, html.escape(text[end:])])


def displayed(text: str, direction: Direction) -> str:
    """The text for a line that is not in its direction: `isolated_runs`, and right-to-left text isolated as a whole."""
    runs = isolated_runs(text, direction)
    return f"{RLI}{runs}{PDI}" if direction == "rtl" else runs
