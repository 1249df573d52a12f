"""Text rules: normalisation and scripts."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyfact_dataset.common.text.normalise import clean, idle_joiner, markup, normalise, normalise_all
from polyfact_dataset.common.text.scripts import half_transliterated, in_scripts, mixes_scripts, script_of, scripts_of

# What makes normalisation difficult: controls, joiners, marks, case and compatibility forms, letters of all scripts.
AWKWARD = (
    "aZéßŉİςµΩжЁشىকযাあアー々漢가ℌªº™№㏀①Ⅷﬁ-.ʻ' "
    "\u00ad\u0301\u0338\u0345\u034f\u09cd\u1100\u1161\u115f\u200b\u200c\u200d\u200e\u202a\u202c\u2066\u2069\ufe0f"
)
TEXTS = st.one_of(st.text(), st.text(alphabet=AWKWARD, max_size=8))


def joined(text: str) -> set[frozenset[str]]:
    """The pairs of scripts whose letters follow each other inside a word. Japanese counts as one script."""
    found, last = set(), ""
    for char in text:
        script = script_of(char)
        if script != "Zyyy":
            script = "Jpan" if script in ("Hani", "Hira", "Kana") else script
            if last and last != script:
                found.add(frozenset((last, script)))
            last = script
        elif not char.isalnum() and unicodedata.category(char)[0] != "M":
            last = ""
    return found


@settings(max_examples=1000)
@given(TEXTS)
def test_normalise_is_idempotent(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)


@settings(max_examples=1000)
@given(TEXTS)
def test_normalise_and_clean_never_join_two_scripts(text: str) -> None:
    assert joined(normalise(text)) <= joined(text)
    assert joined(clean(text) or "") <= joined(text)


@pytest.mark.parametrize("first", range(0, 0x30000, 0x4000))
def test_no_single_character_changes_its_script(first: int) -> None:
    for char in map(chr, range(first, first + 0x4000)):
        form = normalise(char)
        assert scripts_of(form) <= scripts_of(char), hex(ord(char))
        assert normalise(form) == form, hex(ord(char))


@pytest.mark.parametrize("text", ["Ｎｏｋｉａ", " Straße  5000 ", "ＡＢＣ　１２３", "CAFÉ", "İstanbul", "ﬁlm"])
def test_normalise_is_idempotent_on_names(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)


@given(st.lists(st.text() | st.text("aA ŻﬁΣß\u0345\u09a1\u09bc\u09dc？É\u0301\n\u200b\u2028", max_size=6)))
def test_a_column_is_normalised_as_its_texts_are(texts: list[str]) -> None:
    assert normalise_all(texts) == [normalise(text) for text in texts]


def test_normalise_folds_width_case_and_space() -> None:
    assert normalise("  ＮＯＫＩＡ　 5000\t") == "nokia 5000"
    assert normalise("STRASSE") == normalise("Straße")


@given(TEXTS)
def test_clean_gives_nfc_without_outer_space_or_nothing(text: str) -> None:
    result = clean(text)
    if result is not None:
        assert result == unicodedata.normalize("NFC", result) == result.strip()
        assert not any(unicodedata.category(char) in ("Cc", "Co", "Cn", "Cs") for char in result)
        assert clean(result) == result


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Par\u00adis", "Paris"),
        ("\u200eParis\u200f", "Paris"),
        ("Paris\u202egnp.exe", None),
        ("\u202aParis\u202c", "Paris"),  # an embedding does nothing where all runs in one direction
        ("\u202bباريس\u202c", "باريس"),
        ("باريس \u2066Paris\u2069", None),  # here it moves what the reader sees
        ("Pa\u200bris", "Paris"),
        ("Par\u200cis", "Paris"),  # a joiner means nothing in Latin script
        ("ক্ \u200cষ\u200c", "ক্ ষ"),  # nor at the edge of a word
        ("ক্\u200d\u200d\u200dষ", "ক্\u200dষ"),
        ("Mos\u200bква", None),  # a control that parts two scripts
        ("Paris\U000e0069\U000e0067", None),  # letters of the tag block are not shown
        ("Paris\ufe0f", "Paris"),
        ("\u3164", None),  # a blank letter
        ("e\u200b\u0301", "é"),
        ("Paris\x07", None),
        ("\ue000", None),
        ("...", None),
        ("", None),
        ("ক্‍ষ", "ক্‍ষ"),
        ("a\n b", "a b"),
    ],
)
def test_clean(text: str, expected: str | None) -> None:
    assert clean(text) == expected


@pytest.mark.parametrize(
    ("text", "scripts", "allowed"),
    [
        ("Гданьск", ("Cyrl",), True),
        ("Windows", ("Cyrl",), True),
        ("東京タワー", ("Jpan",), True),
        ("東京タワー", ("Hans",), False),
        ("서울", ("Hans",), False),
        ("東京", ("Latn",), False),
        ("β-carotene", ("Latn",), True),
        ("Αθήνα", ("Latn",), False),
        ("Αθήνα", ("Grek",), True),
        ("ʻOkina", ("Latn",), True),
        ("தமிழ்நாடு", ("Taml",), True),
        ("తెలంగాణ", ("Telu",), True),
        ("አዲስ አበባ", ("Ethi",), True),
        ("ភ្នំពេញ", ("Khmr",), True),
        ("ရန်ကုန်မြို့", ("Mymr",), True),
        ("ਅੰਮ੍ਰਿਤਸਰ", ("Guru",), True),
        ("서울 京城", ("Kore",), True),
        ("서울", ("Jpan",), False),
        ("தமிழ்நாடு", ("Telu",), False),
    ],
)
def test_in_scripts(text: str, scripts: tuple[str, ...], allowed: bool) -> None:
    assert in_scripts(text, scripts) is allowed


@pytest.mark.parametrize(
    ("text", "mixed"),
    [
        ("গ্দাńsk", True),
        ("ماtejكو", True),
        ("Мoscow", True),
        ("Windows 10 от Microsoft", False),
        ("SEGA株式会社", False),
        ("Nintendo ويي", False),
        ("X-лучи", False),
        ("தமிழ்nadu", True),
        ("አዲስabeba", True),
        ("삼성Galaxy", False),
    ],
)
def test_mixes_scripts(text: str, mixed: bool) -> None:
    assert mixes_scripts(text) is mixed


def test_scripts_of_ignores_what_all_share() -> None:
    assert scripts_of("Paris 2024 – ー!") == {"Latn"}


@pytest.mark.parametrize(
    ("label", "part", "of_a_person"),
    [
        ("Лос-Angeles", "Angeles", "Angeles"),
        ("Гда ńsk", "ńsk", "ńsk"),
        ("ロンdon", "don", "don"),
        ("アンgelaス", "gela", "gela"),
        ("গ্দা ńsk", "ńsk", "ńsk"),
        ("ما tejكو", None, None),
        ("نيو-York", "York", "York"),
        ("نيو York", None, "York"),
        ("নিউ york", "york", "york"),
        ("Иван Smith", None, "Smith"),
        # Latin words of their own, abbreviations, numbers and brands.
        ("ядро Linux", None, None),
        ("Fas-рецептор", None, None),
        ("USB-кабель", None, None),
        ("Googleマップ", None, None),
        ("ニューiPhone", None, None),
        ("トヨタ・ist", None, None),
        ("SEGA株式会社", None, None),
        ("كاديلاك XTS", None, None),
        ("Иоанн Павел II", None, None),
        ("Los Angeles", None, None),
        ("Лос-Анджелес", None, None),
    ],
)
def test_half_transliterated(label: str, part: str | None, of_a_person: str | None) -> None:
    assert (half_transliterated(label), half_transliterated(label, person=True)) == (part, of_a_person)


@pytest.mark.parametrize(
    ("text", "sign"),
    [
        ("<b>Lyon</b>", "<b>"),
        ("[[Lyon]]", "[["),
        ("{{lang|fr|Lyon}}", "{{"),
        ("Lyon &amp; Turin", "&amp;"),
        ("&#39;Lyon", "&#39;"),
        ("''Lyon''", "''"),
        ("https://lyon.fr", "https://"),
        ("AT&T; more", None),
        ("I <3 Lyon", None),
        ("L'Aquila", None),
        ("1 < 2 > 0", None),
        ("[Lyon]", None),
    ],
)
def test_markup(text: str, sign: str | None) -> None:
    assert markup(text) == sign


@pytest.mark.parametrize(
    ("text", "idle", "cleaned"),
    [
        ("ঢা\u200cকা", True, "ঢাকা"),
        ("Ly\u200don", True, "Lyon"),
        ("ঢাকা\u200c", True, "ঢাকা"),
        ("ক্\u200cষ", False, "ক্\u200cষ"),
        ("র\u200d্যান্ড", False, "র\u200d্যান্ড"),
        ("می\u200cخواهم", False, "می\u200cخواهم"),
        ("ঢাকা", False, "ঢাকা"),
    ],
)
def test_joiners_stay_where_they_shape_a_letter(text: str, idle: bool, cleaned: str) -> None:
    assert idle_joiner(text) is idle and clean(text) == cleaned and not idle_joiner(cleaned)
