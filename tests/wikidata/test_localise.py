"""One label per language, with its provenance and attestation."""

from __future__ import annotations

import pytest

from polyfact_dataset.languages import language
from polyfact_dataset.wikidata.localise import resolve, simplified, usable


@pytest.mark.parametrize(
    ("code", "labels", "titles", "expected"),
    [
        ("en", {"en": "Colour", "en-gb": "Other"}, {}, ("Colour", "label", True)),
        ("en", {"en-gb": "Colour"}, {}, ("Colour", "variant", True)),
        ("pt", {"pt-br": "Trem"}, {}, ("Trem", "variant", True)),
        ("zh", {"zh": "臺灣", "zh-hans": "台湾"}, {}, ("台湾", "variant", True)),
        ("zh", {"zh-hant": "憂鬱的臺灣烏龜"}, {}, ("忧郁的台湾乌龟", "variant", True)),
        ("sw", {}, {"swwiki": "Paris (mji)"}, ("Paris", "title", True)),
        ("sw", {"mul": "Paris"}, {}, ("Paris", "mul", True)),
        ("ru", {"mul": "Paris"}, {}, None),
        ("ja", {"mul": "Paris"}, {}, None),
        ("de", {"en": "Paris"}, {"enwiki": "Paris"}, None),
        ("bn", {"bn": "গ্দাńsk"}, {"bnwiki": "গদানস্ক"}, ("গদানস্ক", "title", True)),
        ("zh", {"zh": "서울"}, {}, None),
        ("de", {"de": "東京"}, {}, None),
        ("en", {"en": "Paris\u202egnp"}, {}, None),
        ("en", {"en": "Par\u200bis"}, {}, ("Paris", "label", True)),
        ("en", {"en": "x" * 121}, {}, None),
        ("ru", {"ru": "Windows"}, {}, ("Windows", "label", True)),
    ],
)
def test_resolve(code: str, labels: dict, titles: dict, expected: tuple | None) -> None:
    found = resolve(language(code), labels, {}, titles)
    assert (found and tuple(found.values())) == expected


def test_simplified() -> None:
    assert simplified("紐約") == "纽约" and simplified("纽约") == "纽约"


def test_usable_keeps_the_joiners_bengali_needs() -> None:
    assert usable("র‍্যাম", language("bn")) == "র‍্যাম"
