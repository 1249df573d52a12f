"""Whether a generated answer is right, and if not, in which way it is wrong (definitions: KLAR, failure modes)."""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from polyfact_dataset.catalog.language import known, language
from polyfact_dataset.common.files import digest_json

# ASCII; CJK and full-width punctuation, interpunct, long dash and ellipsis; typographic quotes and guillemets.
_CJK = "\u00b7\u2014\u2026\u3000-\u3003\u3008-\u3011\u3014-\u301f\u30fb"
_WIDE = "\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65"
_QUOTES = "\u00ab\u00bb\u2018-\u201f\u2039\u203a"
_BREAKS = re.compile(f"[{re.escape(string.punctuation)}{_CJK}{_WIDE}{_QUOTES}\\s]+")


@lru_cache(maxsize=1 << 18)
def fold(text: str) -> str:
    """NFC, lower case, runs of punctuation and space as one space, none at the ends."""
    return _BREAKS.sub(" ", unicodedata.normalize("NFC", text).lower()).strip()


def matches(prediction: str, target: str) -> tuple[bool, bool]:
    """(exact, lenient): equal; or equal, or the target is a token of the prediction or its beginning (paper)."""
    said, wanted = fold(prediction), fold(target)
    if not wanted or not said:
        return False, False
    exact = said == wanted
    return exact, exact or wanted in said.split(" ") or said.startswith(wanted)


def matches_any(prediction: str, targets: Iterable[str]) -> tuple[bool, bool]:
    """(exact, lenient) over several accepted answers."""
    found = [matches(prediction, target) for target in targets]
    return any(exact for exact, _ in found), any(lenient for _, lenient in found)


def _spaced(code: str) -> bool:
    return language(code).spaced if code in known() else code not in ("ja", "zh")


def _begins(said: str, name: str, spaced: bool) -> bool:
    """Whether a folded answer is `name` or begins with it as whole words; from 2 characters on without spaces."""
    if said == name:
        return True
    return said.startswith(f"{name} ") if spaced else len(name) > 1 and said.startswith(name)


class Names:
    """All entity names known in each language, to tell a wrong fact from no answer at all."""

    def __init__(self, names: Mapping[str, Iterable[str]]) -> None:
        self._names = {code: {fold(name) for name in found} - {""} for code, found in names.items()}

    @property
    def digest(self) -> str:
        """SHA-256 of all names."""
        return digest_json({code: sorted(found) for code, found in self._names.items()})

    def begins(self, prediction: str, code: str) -> bool:
        """Whether the prediction is or begins with some entity's name in the language."""
        said, known_names = fold(prediction), self._names[code]
        if said in known_names:
            return True
        if _spaced(code):
            words = said.split(" ")
            return any(" ".join(words[:count]) in known_names for count in range(1, len(words)))
        return any(said[:count] in known_names for count in range(2, len(said)))


def failure_mode(prediction: str, code: str, accepted: Mapping[str, Sequence[str]], names: Names) -> str:
    """`correct`, `wrong_language`, `wrong_fact` or `incoherent`; `accepted` holds the gold's names by language.

    A right fact in the wrong language is, or begins with, a name of the gold in another language as whole words:
    stricter than the lenient match, by which any short name of eleven languages would be found somewhere.
    """
    if matches_any(prediction, accepted[code])[1]:
        return "correct"
    said = fold(prediction)
    for other, own in accepted.items():
        if other != code and any(_begins(said, fold(name), _spaced(code)) for name in own if fold(name)):
            return "wrong_language"
    return "wrong_fact" if names.begins(prediction, code) else "incoherent"
