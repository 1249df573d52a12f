"""One label per language, with its provenance and attestation."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyfact_dataset.catalog.language import PAPER_LANGUAGES, language
from polyfact_dataset.facts.chinese import simplified
from polyfact_dataset.facts.labels import Texts, Traits, is_attested, localise_rows, names, resolve, uninverted, usable


@pytest.mark.parametrize(
    ("code", "labels", "titles", "expected"),
    [
        ("en", {"en": "Colour", "en-gb": "Other"}, {}, ("Colour", "label", True)),
        ("en", {"en-gb": "Colour"}, {}, ("Colour", "variant", True)),
        ("pt", {"pt-br": "Trem"}, {}, ("Trem", "variant", True)),
        ("zh", {"zh": "臺灣", "zh-hans": "台湾"}, {}, ("台湾", "variant", True)),
        ("zh", {"zh": "臺灣", "zh-tw": "台灣島"}, {}, ("台湾", "label+opencc", False)),
        ("zh", {"zh-hant": "憂鬱的臺灣烏龜"}, {}, ("忧郁的台湾乌龟", "variant+opencc", False)),
        ("zh", {"zh-hant": "臺灣"}, {"zhwiki": "台湾"}, ("台湾", "variant+opencc", True)),
        # What is entered as Simplified is never converted: it is shown as it is, or not at all.
        ("zh", {"zh-hans": "約克郡"}, {}, None),
        ("zh", {"zh-hans": "約克郡", "zh-hant": "約克郡"}, {}, ("约克郡", "variant+opencc", False)),
        ("zh", {"zh": "洪昇"}, {}, ("洪昇", "label", True)),
        ("zh", {"zh-cn": "乾安县"}, {}, ("乾安县", "variant", True)),
        ("zh", {"zh": "毕昇"}, {}, ("毕昇", "label", True)),
        ("zh", {"zh-hans": "徐乾学"}, {}, ("徐乾学", "variant", True)),
        ("zh", {"zh": "王汎森"}, {}, ("王汎森", "label", True)),
        ("zh", {"zh-hant": "畢昇"}, {}, ("毕昇", "variant+opencc", False)),
        ("zh", {}, {"zhwiki": "水星 (行星)"}, ("水星", "title", True)),
        ("zh", {"zh-hk": "意大利", "zh": "서울"}, {}, ("意大利", "variant", True)),
        ("en", {"en-ca": "Colour", "en-gb": "Other colour"}, {}, ("Other colour", "variant", True)),
        ("de", {"de-ch": "Strasse", "de-at": "Straße"}, {}, ("Straße", "variant", True)),
        ("de", {"mul": "Paris"}, {"dewiki": "Paris (Stadt)"}, ("Paris", "title", True)),
        ("ja", {}, {"jawiki": "水星（惑星）"}, ("水星", "title", True)),
        ("en", {}, {"enwiki": "(500)"}, ("(500)", "title", True)),
        ("en", {"en": "<b>Paris</b>"}, {"enwiki": "Paris"}, ("Paris", "title", True)),
        ("en", {"en": "{{PAGENAME}}", "en-gb": "see https://example.org"}, {}, None),
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
    found = resolve(language(code), Texts(labels=labels, titles=titles))
    assert (found and tuple(found.values())) == expected


def test_the_api_gives_only_what_the_dump_lacks() -> None:
    dump = Texts(labels={"mul": "Paris"})
    api = Texts(labels={"sw": "Parisi", "ru": "Париж", "zh-tw": "臺灣"})
    assert resolve(language("sw"), dump, api) == {"text": "Paris", "provenance": "mul", "attested": True}
    assert resolve(language("ru"), dump, api) == {"text": "Париж", "provenance": "api", "attested": True}
    assert resolve(language("zh"), dump, api) == {"text": "台湾", "provenance": "api+opencc", "attested": False}
    assert resolve(language("bn"), dump, api) is None


@pytest.mark.parametrize(
    ("code", "text", "attested"),
    [
        ("zh", "台湾", False),  # the variant zh-hant, but only once Traditional characters are converted
        ("zh", "宝岛", True),  # an alias
        ("zh", "中国台湾省", True),  # the Wikipedia title, without its disambiguation
        ("zh", "台灣島", False),
        ("en", "TAIWAN", True),  # after normalisation
        ("en", "Formosa", True),  # an alias under `mul`
        ("ru", "Formosa", False),  # `mul` is no name in another script
        ("de", "Taiwan", False),  # English is not German
    ],
)
def test_attestation_looks_at_everything_that_wikidata_calls_it(code: str, text: str, attested: bool) -> None:
    texts = Texts(
        labels={"en": "Taiwan", "zh-hant": "臺灣"},
        aliases={"zh": ["宝岛", "福爾摩沙"], "mul": ["Formosa"]},
        titles={"zhwiki": "中国台湾省 (地区)"},
    )
    assert is_attested(text, language(code), texts) is attested


@pytest.mark.parametrize(
    ("label", "shown"),
    [
        ("Хаббл, Эдвин Пауэлл", "Эдвин Пауэлл Хаббл"),
        ("Дюма, Александр (отец)", "Александр Дюма (отец)"),
        ("Саид-Галиев, Сахиб", "Сахиб Саид-Галиев"),
        # A title, a generation, a list, a number and a plain name are no given names.
        ("Людовик XIV, король Франции", "Людовик XIV, король Франции"),
        ("Дюма, мл.", "Дюма, мл."),
        ("Иванов, Пётр, Сидоров", "Иванов, Пётр, Сидоров"),
        ("Дом 5, Москва", "Москва Дом 5"),
        ("Эдвин Хаббл", "Эдвин Хаббл"),
    ],
)
def test_a_name_with_the_given_names_first(label: str, shown: str) -> None:
    assert uninverted(label) == shown
    texts = Texts(labels={"ru": label}, traits=Traits(person=True))
    changed = shown != label
    assert resolve(language("ru"), texts) == {
        "text": shown,
        "provenance": "label+reordered" if changed else "label",
        "attested": not changed,
    }
    assert list(names(language("ru"), texts)) == ([shown, label] if changed else [label])
    # Only of persons, and only in a language that lists them so.
    assert resolve(language("ru"), Texts(labels={"ru": label}))["text"] == label
    assert (
        resolve(language("bn"), Texts(labels={"bn": "হাবল, এডউইন"}, traits=Traits(person=True)))["text"] == "হাবল, এডউইন"
    )


def test_a_reordered_name_is_attested_by_an_alias() -> None:
    texts = Texts(labels={"ru": "Хаббл, Эдвин"}, aliases={"ru": ["Эдвин Хаббл"]}, traits=Traits(person=True))
    assert resolve(language("ru"), texts)["attested"] is True


@pytest.mark.parametrize(
    ("code", "label_class", "label", "shown", "marks", "attested"),
    [
        ("id", "genre", "Film laga", "film laga", "+recased", True),
        ("id", "genre", "Musik Kristen", "musik Kristen", "+recased", True),
        ("id", "genre", "J-pop", "J-pop", "", True),
        ("id", "genre", "RPG", "RPG", "", True),
        ("id", "currency", "Dolar Kanada", "dolar Kanada", "+recased", True),
        ("id", "language", "Bahasa Breton", "bahasa Breton", "+recased", True),
        ("id", "language", "Belanda", "bahasa Belanda", "+class_word", False),
        ("pt", "language", "língua sueca", "sueco", "+class_word", False),
        ("pt", "language", "Língua tâmil", "tâmil", "+class_word", False),
        ("pt", "language", "língua norueguesa", "norueguês", "+class_word", False),
        ("pt", "language", "língua catalã", "catalão", "+class_word", False),
        # Not known to have a masculine form: kept.
        ("pt", "language", "língua xhosa", "língua xhosa", "", True),
        ("pt", "language", "Língua de sinais dinamarquesa", "língua de sinais dinamarquesa", "+recased", True),
        ("pt", "language", "Cantonês", "cantonês", "+recased", True),
        ("ru", "language", "французский язык", "французский язык", "", True),
        ("ru", "language", "язык малаялам", "малаялам", "+class_word", False),
        ("ru", "genre", "Сибуя-кэй", "Сибуя-кэй", "", True),
        ("ru", "genre", "Чикагский блюз", "чикагский блюз", "+recased", True),
        ("bn", "language", "ভোজপুরি", "ভোজপুরি ভাষা", "+class_word", False),
        ("bn", "language", "ক্যান্টনীয় উপভাষা", "ক্যান্টনীয় উপভাষা", "", True),
        ("ja", "language", "サンスクリット", "サンスクリット語", "+class_word", False),
        ("ja", "language", "デンマーク手話", "デンマーク手話", "", True),
        ("ar", "language", "اللغة الفرنسية", "الفرنسية", "+class_word", False),
        ("en", "language", "Matigsalug language", "Matigsalug", "+class_word", False),
        ("en", "language", "Danish Sign Language", "Danish Sign Language", "", True),
        ("sw", "language", "kibengali", "Kibengali", "+recased", True),
        ("sw", "genre", "Simfoni", "simfoni", "+recased", True),
        ("es", "dish", "Ceviche", "ceviche", "+recased", True),
        ("es", "dish", "Wiener Schnitzel", "Wiener Schnitzel", "", True),
        ("es", "genre", "Neue Deutsche Welle", "Neue Deutsche Welle", "", True),
        ("fr", "language", "Chavacano", "chavacano", "+recased", True),
        # Orthography of German: nouns are capitals, an adjective before them is small.
        ("de", "genre", "Oper", "Oper", "", True),
        ("id", None, "Film laga", "Film laga", "", True),
    ],
)
def test_labels_of_a_class_are_written_alike(
    code: str, label_class: str | None, label: str, shown: str, marks: str, attested: bool
) -> None:
    texts = Texts(labels={code: label}, traits=Traits(label_class=label_class, answer=True))
    assert resolve(language(code), texts) == {"text": shown, "provenance": f"label{marks}", "attested": attested}
    # The name as Wikidata has it is accepted as an answer too.
    assert list(names(language(code), texts)) == ([shown, label] if "+class_word" in marks else [shown])


def test_class_words_are_kept_in_subjects_and_aliases() -> None:
    subject = Texts(labels={"pt": "Língua sueca"}, traits=Traits(label_class="language"))
    assert resolve(language("pt"), subject)["text"] == "língua sueca"
    aliases = Texts(labels={"pt": "sueco"}, aliases={"pt": ["Língua sueca"]}, traits=Traits(False, "language", True))
    assert list(names(language("pt"), aliases)) == ["sueco", "Língua sueca"]


def test_a_label_without_its_class_word_is_attested_by_an_alias() -> None:
    texts = Texts(
        labels={"pt": "língua sueca"}, aliases={"pt": ["sueco"]}, traits=Traits(label_class="language", answer=True)
    )
    assert resolve(language("pt"), texts)["attested"] is True


def test_the_class_of_a_label_comes_from_its_types() -> None:
    genre = row(types=["Q188451"], labels=[{"code": "id", "text": "Opera"}])
    brand = row(types=["Q746549", "Q431289"], labels=[{"code": "id", "text": "Skyr"}])
    shown, _ = localise_rows([genre, brand], ["id"])
    assert [entry["id"]["text"] for entry in shown.to_pylist()] == ["opera", "Skyr"]


def test_names_are_distinct_in_their_script_and_labels_come_first() -> None:
    dump = Texts(labels={"bn": "প্যারিস"}, aliases={"bn": ["Paris", "প্যারী", "প্যা\u200dরিস", "Париж"], "en": ["Lutetia"]})
    api = Texts(titles={"bnwiki": "পারি"})
    assert list(names(language("bn"), dump, api)) == ["প্যারিস", "পারি", "Paris", "প্যারী"]


def row(**changes: object) -> dict:
    """A joined row of dump and API."""
    lists = dict.fromkeys(("labels", "aliases", "titles", "api_labels", "api_aliases", "api_titles", "written_labels"))
    return {"id": "Q90", "is_object": True, "types": ["Q515"], "sitelinks": 3, **lists, **changes}


def test_rows_say_where_there_are_articles_and_what_is_accepted() -> None:
    known = row(
        labels=[{"code": "en", "text": "Paris"}],
        aliases=[{"code": "en", "text": "City of Light"}],
        titles=[{"code": "swwiki", "text": "Paris"}, {"code": "enwiki", "text": "Paris"}],
        api_titles=[{"code": "zhwiki", "text": "巴黎"}],
    )
    shown, answers = localise_rows([known, row(id="Q91", is_object=False)], PAPER_LANGUAGES)
    first, second = shown.to_pylist()
    assert first["articles"] == ["en", "sw", "zh"]
    assert (first["en"]["provenance"], first["sw"]["provenance"], first["zh"]["provenance"]) == (
        "label",
        "title",
        "api",
    )
    assert first["de"] is None and second["articles"] == [] and second["en"] is None
    assert [r["entity_id"] for r in answers.to_pylist()] == ["Q90"]
    assert answers.to_pylist()[0]["en"] == ["Paris", "City of Light"]
    assert answers.to_pylist()[0]["de"] == []


@given(st.sampled_from(PAPER_LANGUAGES), st.text(max_size=12))
def test_what_is_shown_would_be_shown_again(code: str, text: str) -> None:
    shown = usable(text, language(code))
    assert shown is None or usable(shown, language(code)) == shown


def test_simplified() -> None:
    assert simplified("紐約") == "纽约" and simplified("纽约") == "纽约"


def test_usable_keeps_the_joiners_bengali_needs() -> None:
    assert usable("র‍্যাম", language("bn")) == "র‍্যাম"


def test_the_table_of_the_docs_is_what_the_benchmark_prints(real_extraction: Path) -> None:
    root = Path(__file__).parents[2]
    command = [sys.executable, root / "benchmarks" / "labels.py", "--build", real_extraction]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    page = (root / "docs" / "labels.md").read_text(encoding="utf-8").splitlines()
    assert len(printed) == 2 + 2 + len(PAPER_LANGUAGES) + 1
    assert printed[2:] == [line for line in page if line in printed[2:]]
