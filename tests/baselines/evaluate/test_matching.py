"""Matching of generated answers in KLAR's 17 languages, and the failure modes."""

from __future__ import annotations

import pytest

from baselines.evaluate.klar import LANGUAGES
from baselines.evaluate.matching import Match, Names, declines, failure_mode, matches, matches_any, paper_fold
from polyfact_dataset.catalog.language import known, language
from polyfact_dataset.common.text.answers import fold

# language -> (prediction, target, exact, folded)
CASES: dict[str, list[tuple[str, str, bool, bool]]] = {
    "en": [
        ("Paris.", "paris", True, True),
        ("Paris, the capital", "Paris", False, True),
        ("It is Paris", "Paris", False, True),
        ("the New York area", "New York", False, False),  # several words in the middle are no token
        ("Parisian", "Paris", False, True),  # the protocol takes any beginning
        ("Greater Paris-Saclay", "Paris", False, True),
        ("", "Paris", False, False),
        ("...", "Paris", False, False),
    ],
    "es": [("¿Perú?", "perú", True, True), ("«Perú»", "Perú", True, True), ("PERÚ", "Perú", True, True)],
    "fr": [("l’Allemagne", "Allemagne", False, True), ("Côte d'Ivoire", "côte d’ivoire", True, True)],
    "ru": [("Москва", "москва", True, True), ("в Москве", "Москва", False, False), ("„Москва“", "Москва", True, True)],
    "zh": [
        ("巴黎。", "巴黎", True, True),
        ("《巴黎》", "巴黎", True, True),
        ("巴黎是法国的首都", "巴黎", False, True),
        ("是巴黎", "巴黎", False, False),
        ("法国，巴黎", "巴黎", False, True),
    ],
    "ja": [("「パリ」です", "パリ", False, True), ("レオナルド・ダ・ヴィンチ", "レオナルド ダ ヴィンチ", True, True)],
    "ar": [("باريس!", "باريس", True, True), ("في باريس", "باريس", False, True), ("لباريس", "باريس", False, False)],
    "ca": [("Barcelona…", "barcelona", True, True), ("L'Hospitalet", "l’hospitalet", True, True)],
    "el": [("Αθήνα", "αθήνα", True, True), ("στην Αθήνα;", "Αθήνα", False, True)],
    "fa": [("تهران.", "تهران", True, True), ("شهر تهران", "تهران", False, True)],
    "he": [("ירושלים!", "ירושלים", True, True), ("בירושלים", "ירושלים", False, False)],
    "hu": [("„Budapest”", "budapest", True, True), ("Budapesten", "Budapest", False, True)],
    "ko": [
        ("서울, 대한민국", "서울", False, True),
        ("서울은", "서울", False, True),
        ("대한민국서울", "서울", False, False),
    ],
    "nl": [("'s-Gravenhage", "s gravenhage", True, True), ("Den Haag", "Haag", False, True)],
    "tr": [("Ankara'da", "Ankara", False, True), ("ANKARA", "ankara", True, True)],
    "uk": [("Київ", "київ", True, True), ("“Київ”", "Київ", True, True), ("Києва", "Київ", False, False)],
    "vi": [("Hà Nội", "hà nội", True, True), ("Thành phố Hà Nội", "Hà Nội", False, False)],
}


def test_all_languages_have_cases() -> None:
    assert set(CASES) == set(LANGUAGES) and len(LANGUAGES) == 17


@pytest.mark.parametrize("code", LANGUAGES)
def test_matching(code: str) -> None:
    for prediction, target, exact, folded in CASES[code]:
        found = matches(prediction, target)
        assert (found.exact, found.folded) == (exact, folded), (prediction, target)


def test_composed_and_decomposed_letters_are_one() -> None:
    assert matches("Peru\u0301", "Perú") == (True, True, True) and fold("A\u030angstro\u0308m") == "ångström"


def test_spaces_and_punctuation_are_one_space() -> None:
    assert fold("  a ,;  b\t—“c” ") == "a b c" and fold("!?") == ""
    assert matches("anything", "?!") == (False, False, False)  # an empty target matches nothing


def test_any_of_several_answers() -> None:
    assert matches_any("Holland", ["Netherlands", "Holland"]) == (True, True, True)
    assert matches_any("in Holland", ["Netherlands", "Holland"]) == (False, True, True)
    assert matches_any("Holland", []) == (False, False, False)


@pytest.mark.parametrize(
    ("prediction", "target", "lenient", "folded"),
    [
        ("巴黎。", "巴黎", True, True),
        ("（巴黎）", "巴黎", True, True),
        ("« Paris »", "Paris", True, True),
        ("“Київ”", "Київ", True, True),
        # Not in the paper's punctuation: marks of other scripts, other brackets, dots between names, long dashes.
        ("《巴黎》", "巴黎", False, True),
        ("١٢ دكا،", "دكا", False, True),
        ("ঢাকা।", "ঢাকা", True, True),
        ("Paris—France", "Paris", True, True),
        ("The city of Baden—Baden", "Baden-Baden", False, False),
        ("レオナルド・ダ・ヴィンチ", "ダ", False, True),
        ("¡Daca!", "Daca", False, True),
        ("\u200fدكا", "دكا", False, True),
        ("ＮＨＫ", "NHK", False, True),
    ],
)
def test_the_papers_punctuation_and_ours(prediction: str, target: str, lenient: bool, folded: bool) -> None:
    found = matches(prediction, target)
    assert (found.lenient, found.folded) == (lenient, folded)


def test_the_papers_normalisation_keeps_what_is_not_in_its_set() -> None:
    assert paper_fold("Côte d’Ivoire — a·b…") == "côte d ivoire — a·b…"
    assert matches("x", "x") == Match(True, True, True)


@pytest.mark.parametrize(
    ("answer", "code", "declined"),
    [
        ("I don't know.", "en", True),
        ("I DON’T KNOW the answer", "en", True),
        ("Paris", "en", False),
        ("", "en", False),
        ("Ich weiß es nicht", "de", True),
        ("わかりません。", "ja", True),
        ("我不知道", "zh", True),
        ("لا أعرف", "ar", True),
        ("আমি জানি না।", "bn", True),
        ("Sijui", "sw", True),
        ("I don't know", "ca", False),  # no language file, so no phrases
    ],
)
def test_declining(answer: str, code: str, declined: bool) -> None:
    assert declines(answer, code) == declined


def test_every_language_can_decline_and_no_name_does() -> None:
    for code in known():
        phrases = language(code).declines.phrases
        assert len(phrases) >= 5 and len(set(map(fold, phrases))) == len(phrases)
        assert all(declines(phrase, code) for phrase in phrases)
        assert not any(declines(name, code) for name in ("Paris", "Николай", "不丹", "日本", "Sizwe", "Nobody Knows"))


NAMES = Names(
    {
        "de": ["Wien", "München", "Rom", "Neu-Delhi"],
        "en": ["Vienna", "Munich", "Rome", "New Delhi"],
        "ja": ["ウィーン", "ローマ", "津"],
    }
)
VIENNA = {"de": ("Wien",), "en": ("Vienna",), "ja": ("ウィーン",)}


@pytest.mark.parametrize(
    ("prediction", "code", "mode"),
    [
        ("Wien", "de", "correct"),
        ("Die Stadt Wien.", "de", "correct"),
        ("Vienna", "de", "wrong_language"),
        ("Vienna, Austria", "de", "wrong_language"),
        ("Viennale", "de", "incoherent"),
        ("München", "de", "wrong_fact"),
        ("Neu-Delhi, Indien", "de", "wrong_fact"),
        ("Neu", "de", "incoherent"),
        ("Romantik", "de", "incoherent"),
        ("Munich", "de", "incoherent"),  # a wrong fact, and not in the language asked for
        ("was", "de", "incoherent"),
        ("1", "de", "incoherent"),
        ("", "de", "incoherent"),
        ("Ich weiß es nicht.", "de", "declined"),
        ("Ich weiß es nicht, vielleicht Wien", "de", "correct"),
        ("ウィーンです", "ja", "correct"),
        ("Vienna", "ja", "wrong_language"),
        ("ローマです", "ja", "wrong_fact"),
        ("津波", "ja", "incoherent"),  # a name of one character begins too many words
        ("津", "ja", "wrong_fact"),
        ("ウィーン", "en", "wrong_language"),
    ],
)
def test_failure_modes(prediction: str, code: str, mode: str) -> None:
    assert failure_mode(prediction, code, VIENNA, NAMES) == mode
