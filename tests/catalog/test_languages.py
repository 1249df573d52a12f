"""The language files: complete, in their own script and punctuation, and never giving the answer away."""

from __future__ import annotations

import re
import shutil
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from polyfact_dataset.catalog import language as languages
from polyfact_dataset.catalog import show
from polyfact_dataset.catalog.forms import Forms, forms
from polyfact_dataset.catalog.language import PAPER_LANGUAGES, Language, chosen, group_of, known, language
from polyfact_dataset.catalog.relation import all_relations, kind_chain, kind_of, label_class, label_classes
from polyfact_dataset.catalog.spelling import Spelling
from polyfact_dataset.catalog.subject import Subject
from polyfact_dataset.catalog.wordings import SAFE, Asked, Wordings
from polyfact_dataset.common.errors import ConfigError
from polyfact_dataset.common.text.mentions import mention
from polyfact_dataset.common.text.normalise import normalise
from polyfact_dataset.common.text.scripts import in_scripts, scripts_of
from polyfact_dataset.sample.tables import (
    further_languages,
    load_entities,
    load_further_labels,
    load_labels,
    load_statements,
)
from polyfact_dataset.sample.template import template

GOLDEN = Path(__file__).parents[1] / "golden" / "wordings"
# The tables of the sample, read once.
entities, statements, written_labels = map(cache, (load_entities, load_statements, load_labels))


def test_all_twelve_and_all_22_come_first() -> None:
    assert known()[:12] == PAPER_LANGUAGES and len(PAPER_LANGUAGES) == 12
    paper = "P36 P17 P30 P37 P38 P47 P27 P19 P20 P69 P108 P50 P57 P170 P178 P136 P495 P407 P400 P176 P84 P61"
    assert " ".join(list(all_relations())[:22]) == paper


def test_languages_are_chosen_by_a_word_or_a_list() -> None:
    assert chosen("paper") == PAPER_LANGUAGES and chosen("all") == known() and chosen(["en", "sw"]) == ("en", "sw")
    with pytest.raises(ConfigError, match="'papers'; it must be 'paper', 'all' or a list"):
        chosen("papers")


def test_only_the_papers_languages_are_in_its_groups() -> None:
    groups = {code: group_of(code) for code in (*known(), "xx")}
    assert [code for code, group in groups.items() if group == "low"] == ["id", "bn", "sw"]
    assert {code for code, group in groups.items() if group != "neither"} == set(PAPER_LANGUAGES)


@pytest.mark.parametrize(
    ("code", "relation", "kind", "question"),
    [
        ("en", "P57", "film", "Who directed the film “Voices” (of 2007)?"),
        ("en", "P19", None, "Where was Voices (of 2007) born?"),
        ("zh", "P57", "film", "电影《Voices》（of 2007）的导演是谁？"),
        ("ja", "P57", "film", None),
        ("fr", "P57", "film", None),
        ("de", "P57", "film", None),
        ("bn", "P57", "film", None),
    ],
)
def test_a_description_follows_the_name_and_its_quotes(
    code: str, relation: str, kind: str | None, question: str | None
) -> None:
    entry = language(code)
    plain = entry.question(relation, kind, "Voices")
    told = entry.question(relation, kind, "Voices", "of 2007")
    if question is not None:
        assert told == question
    assert told.replace(entry.described.format(description="of 2007"), "") == plain
    if kind == "film":
        assert "Voices (" not in told and "Voices（" not in told
    # Braces in a label or a description are text.
    assert "{subject}" in entry.question(relation, kind, "{subject}", "{description}")


@pytest.mark.parametrize("code", known())
def test_questions_are_in_their_script(code: str) -> None:
    entry = language(code)
    for key, text in entry.texts.items():
        bare = text.replace("{subject}", "")
        assert in_scripts(bare, entry.scripts), key
        if entry.scripts != ("Latn",):
            assert "Latn" not in scripts_of(bare), key
    for text in entry.prompt.model_dump().values():
        assert text == text.strip() and in_scripts(text, entry.scripts)


@cache
def answers_in(code: str) -> dict[str, set[str]]:
    """Relation -> the names of its answers in the sample, or in CLDR where the sample lacks the language."""
    names = {entity.qid: entity.labels[code] for entity in entities() if code in entity.labels}
    if code in further_languages():
        names = {qid: label.text for qid, label in load_further_labels(code).items() if label.text}
    elif code not in PAPER_LANGUAGES:
        pytest.importorskip("babel", reason="needs polyfact[dev]")
        names = {qid: name for qid, _, name in (line.split("\t") for line in template(code, cldr=True)) if name}
    assert len(names) > (400 if code in PAPER_LANGUAGES else 250)
    answers: dict[str, set[str]] = {}
    for statement in statements():
        if statement.object in names:
            answers.setdefault(statement.property, set()).add(normalise(names[statement.object]))
    return answers


def answers_named(code: str, relation: str, text: str) -> set[str]:
    """The answers of a relation that a template mentions."""
    asked, rule = normalise(text.replace("{subject}", "")), language(code).mention_rule
    return {name for name in answers_in(code).get(relation, ()) if mention(asked, name, rule) is not None}


@pytest.mark.parametrize("code", known())
def test_no_template_names_an_answer(code: str) -> None:
    """A template that mentions an answer of its relation would throw those facts away."""
    for key, text in language(code).texts.items():
        assert not answers_named(code, key.partition("/")[0], text), key


@pytest.mark.parametrize(
    ("code", "relation", "text", "named"),
    [
        ("ko", "P495", "{subject} 미국의 것입니까 프랑스의 것입니까?", {"미국", "프랑스"}),
        ("tr", "P495", "{subject} Fransa'dan mı, Almanya'dan mı?", {"fransa", "almanya"}),
    ],
)
def test_a_template_that_names_answers_is_found(code: str, relation: str, text: str, named: set[str]) -> None:
    assert answers_named(code, relation, text) == named


def test_templates_differ_between_languages_and_relations() -> None:
    for code in known():
        defaults = [language(code).questions[relation][SAFE] for relation in all_relations()]
        assert len(set(defaults)) == len(all_relations())
    for relation in all_relations():
        assert len({language(code).questions[relation][SAFE] for code in known()}) == len(known())


@pytest.mark.parametrize("code", known())
def test_a_text_asks_for_one_relation(code: str) -> None:
    """A question in the words of two relations may have two answers."""
    relations: dict[str, set[str]] = {}
    for key, text in language(code).texts.items():
        bare = re.sub(r"\W", "", normalise(text.replace("{subject}", "")))
        relations.setdefault(bare, set()).add(key.partition("/")[0])
    assert not {text: shared for text, shared in relations.items() if len(shared) > 1}


@pytest.mark.parametrize("code", known())
def test_golden_wordings(code: str, pytestconfig: pytest.Config) -> None:
    """Every wording of a language with examples, as a native speaker reviews them."""
    lines = list(show.lines(code))
    golden = GOLDEN / f"{code}.txt"
    if pytestconfig.getoption("--update-golden"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert golden.read_text(encoding="utf-8").splitlines() == lines


@pytest.mark.parametrize("code", known())
def test_every_wording_has_two_examples(code: str) -> None:
    """A wording that no example reaches is not reviewed: it may be unreachable."""
    shown_examples = show.shown_examples(code)
    for relation, wordings in language(code).wordings.items():
        shown = shown_examples[relation]
        for key in wordings.texts:
            if key != SAFE or all_relations()[relation].subjects is None:
                assert len(shown[key]) >= 2, (relation, key)


@given(st.sampled_from(known()), st.sampled_from(label_classes()), st.text(max_size=16))
def test_a_label_that_is_written_as_its_class_is_not_changed_again(code: str, label_class: str, label: str) -> None:
    spelling = language(code).spelling.get(label_class, Spelling())
    written = spelling.cased(label)
    assert spelling.cased(written) == written
    worded = spelling.with_class_word(label)
    # Removing a class word may leave another one ("idioma idioma X"); nothing is added twice.
    assert len(spelling.with_class_word(worded)) <= max(len(worded), len(label))


def test_brands_and_companies_are_of_no_class_of_labels() -> None:
    assert label_class(["Q188451"]) == "genre" and label_class(["Q42", "Q34770"]) == "language"
    assert label_class(["Q746549", "Q431289"]) is None and label_class(["Q5"]) is None and label_class([]) is None


def test_an_unknown_class_of_labels_names_the_entry() -> None:
    with pytest.raises(ValidationError, match="nouns not among label_classes"):
        Language.model_validate({**language("en").model_dump(), "spelling": {"nouns": {}}})


def test_the_narrowest_kind_then_the_most_parts_decide() -> None:
    forms = Forms(slots=("the",), names={"Q1": ("Ways", "the Ways")}, plural={"Q1"})
    texts = {
        "safe": "Safe {subject}?",
        "the": "The {subject:the}?",
        "place": "Place {subject}?",
        "place/the": "Place the {subject:the}?",
        "place/plural/the": "Places {subject:the}?",
        "museum": "Museum {subject}?",
    }
    wordings = Wordings("P17", texts, forms)
    wordings.check()
    assert wordings.ask(Subject("Ways")).text == "Safe Ways?"
    assert wordings.ask(Subject("Ways", "Q1")) == Asked("The the Ways?", "P17/the")
    assert wordings.ask(Subject("Ways", "Q1", "river")).text == "Places the Ways?"
    assert wordings.ask(Subject("Way", "Q1", "river")).text == "Place Way?"
    assert wordings.ask(Subject("Ways", "Q1", "museum")).text == "Museum Ways?"
    assert wordings.ask(Subject("Ways", "Q1", "river"), " (x)").text == "Places the Ways (x)?"


def test_why_a_safe_wording_is_used() -> None:
    forms = Forms(slots=("the",), names={"Q1": ("Ways", "the Ways")})
    wordings = Wordings("P17", {"safe": "{subject}?", "place/the": "{subject:the}?"}, forms)
    assert not wordings.ask(Subject("Ways", "Q1", "river")).is_safe and wordings.ask(Subject("Ways", "Q1")).is_safe
    assert wordings.why_safe(Subject("Way", "Q1", "river")) == "no_form" and forms.differs(Subject("Way", "Q1"))
    assert wordings.why_safe(Subject("Ways", "Q1")) == "no_kind"
    assert wordings.why_safe(Subject("Ways", "Q1", "film")) == "no_wording"


def test_sex_and_life_decide_only_where_they_are_known() -> None:
    texts = {"safe": "S {subject}", "female": "F {subject}", "dead": "D {subject}", "female/dead": "FD {subject}"}
    wordings = Wordings("P19", texts, Forms())
    wordings.check()
    keys = {
        (sex, living): wordings.choose(Subject("X", None, "person", sex, living))
        for sex in ("female", "male", None)
        for living in (True, False, None)
    }
    assert keys["female", False] == "female/dead" and keys["female", True] == keys["female", None] == "female"
    assert keys["male", False] == keys[None, False] == "dead" and keys["male", True] == keys[None, None] == "safe"
    # Whoever is born is a person, whatever the types say.
    assert wordings.choose(Subject("X", None, None, "female", False)) == "female/dead"


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ({"person": "{subject}"}, "lacks 'safe'"),
        ({"safe": "{subject}", "female": "{subject}", "dead": "{subject}"}, "write 'female/dead'"),
        ({"safe": "{subject}", "female": "{subject}", "person/female": "{subject}"}, "fit the same subjects"),
        ({"safe": "{subject}", "the": "{subject:the}", "in": "{subject:in}"}, "fit the same subjects"),
        ({"safe": "{subject}", "the": "{subject}"}, "must contain {subject:the}"),
        ({"safe": "{subject}", "dead/female": "{subject}"}, "write it as 'female/dead'"),
        ({"safe": "{subject}", "female/male": "{subject}"}, "exclude each other"),
        ({"safe": "{subject}", "wombat": "{subject}"}, "neither a kind"),
        ({"safe": "{subject} {subject}"}, "exactly once"),
        ({"safe": "{subject} "}, "leading or trailing spaces"),
    ],
)
def test_wordings_that_cannot_be_used_are_refused(texts: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Wordings("P19", texts, Forms(slots=("the", "in"))).check()


def test_a_noun_that_the_name_holds_is_left_out() -> None:
    wordings = Wordings("P17", {"safe": "der [See |Seen ]{subject}?"}, Forms())
    shown = [wordings.ask(Subject(name)).text for name in ("Titicaca", "Bodensee", "See Genezareth", "Seeland")]
    assert shown == ["der See Titicaca?", "der Bodensee?", "der See Genezareth?", "der See Seeland?"]


def test_kinds_are_found_by_type_and_occupation() -> None:
    assert kind_of(["Q5398426"]) == "series" and kind_of(["Q1"]) is None and kind_of([]) is None
    assert kind_of(["Q5"]) == "person" and kind_of(["Q5"], ["Q639669"]) == "musician"
    assert kind_of(["Q11424"], ["Q639669"]) == "film"
    assert kind_chain("museum") == ("museum", "building", "structure", "place") and kind_chain(None) == ()


def test_forms_come_from_names_then_nouns_then_rules() -> None:
    forms = Forms.model_validate(
        {
            "slots": ["of"],
            "names": {"Q114": ["Kenya", "du Kenya"]},
            "classes": {"m": {"of": "du {name}"}, "p": {"of": "des {name}"}},
            "plural_classes": ["p"],
            "heads": [
                {"position": "first", "classes": {"m": ["pont"], "p": ["îles"]}},
                {"position": "suffix", "kinds": ["place"], "classes": {"m": ["turm"]}},
            ],
            "rules": [
                {"slot": "of", "kinds": ["person"], "match": "^(?=[AEIOU])", "replace": "d’"},
                {"slot": "of", "kinds": ["person"], "match": "^", "replace": "de "},
            ],
        }
    )
    assert forms.of(Subject("Kenya", "Q114"), "of") == "du Kenya"
    assert forms.of(Subject("République du Kenya", "Q114"), "of") is None and forms.differs(Subject("X", "Q114"))
    assert forms.of(Subject("Pont Neuf"), "of") == "du Pont Neuf" and forms.number(Subject("Pont Neuf")) == "singular"
    assert forms.number(Subject("Îles Cook")) == "plural" and forms.number(Subject("Rome")) is None
    assert forms.of(Subject("Eiffelturm", kind="tower"), "of") == "du Eiffelturm"
    assert forms.of(Subject("Kleiner Eiffelturm", kind="tower"), "of") is None
    assert forms.of(Subject("Eiffelturm", kind="film"), "of") is None
    assert forms.of(Subject("Ella", kind="musician"), "of") == "d’Ella"
    assert forms.of(Subject("Marie", kind="person"), "of") == "de Marie" and forms.of(Subject("Rome"), "of") is None


@pytest.mark.parametrize("code", known())
def test_names_of_the_forms_are_the_sample_s(code: str) -> None:
    """A phrase holds its label, and a label that is not the sample's would never be used there."""
    labels = {entity.qid: entity.labels.get(code) for entity in entities()}
    labels |= {qid: written[code] for qid, written in written_labels().items() if code in written}
    if code in further_languages():
        labels |= {qid: label.text for qid, label in load_further_labels(code).items() if label.text}
    for qid, (label, *phrases) in forms(code).names.items():
        assert normalise(labels.get(qid) or label) == normalise(label), qid
        for phrase in phrases:
            assert normalise(label) in normalise(phrase) or forms(code).inflected, (qid, phrase)


def test_a_label_in_another_spelling_has_the_forms_of_the_file_s() -> None:
    portuguese = forms("pt")
    for label in ("Irã", "Irão"):
        iran = Subject(label, "Q794")
        assert portuguese.of(iran, "de") == f"do {label}" and not portuguese.differs(iran)
        assert portuguese.number(iran) == "singular"
    assert portuguese.of(Subject("Irão", "Q36"), "de") is None and portuguese.differs(Subject("Irão", "Q36"))
    with pytest.raises(ValueError, match="spellings: Persien not among the labels in names"):
        Forms.model_validate(
            {"slots": ["of"], "names": {"Q794": ["Iran", "of Iran"]}, "spellings": {"Irán": "Persien"}}
        )


def test_quotation_marks_inside_quotation_marks_change() -> None:
    forms = Forms(nested_quotes={"«": "„", "»": "“"})
    wordings = Wordings("P57", {"safe": "Кто снял «{subject}»?", "person": "Кто {subject}?"}, forms)
    assert wordings.ask(Subject("Ария «Каста дива»")).text == "Кто снял «Ария „Каста дива“»?"
    assert wordings.ask(Subject("«Ария»", kind="person")).text == "Кто «Ария»?"
    assert "Ария „Каста дива“" in forms.written("Q1", "Ария «Каста дива»")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("questions.P36]", "questions.P36x]"), "P36"),
        (('safe = "', 'safe = "{subject} '), "{subject}"),
        (("direction", "direktion"), "direction"),
        (('code = "sw"', 'code = "xx"'), "named"),
        (("[prompt]", "[prompt"), "sw.toml"),
        (("spaced = true", 'spaced = true\nquestion_end = "？"'), "safe: the text must end in '？' (question_end)"),
        (("spaced = true", 'spaced = true\nquestion_begin = "¿"'), "safe: the text must contain '¿' once"),
        (('group = "low"', 'group = "middle"'), "group"),
        (('"Latn"', '"Latin"'), "'Latin' is not a script's code; did you mean Latn? known are Adlm, Aghb"),
        (('negation = ["', 'negation = ["नहीं", "'), "[cues] negation: 'नहीं' is not in Latn"),
        (('catch_all = ["', 'catch_all = ["", "'), "[cues] catch_all: '' is empty"),
        (('phrases = ["', 'phrases = ["не знаю", "'), "[declines] phrases: 'не знаю' is not in Latn"),
        (('suffixes = ["', 'suffixes = [" ni", "'), "[glue] suffixes: ' ni' is empty or has spaces around it"),
        (("[glue]", "[glue]\nsufixes = []"), "glue.sufixes: unknown setting; did you mean suffixes?"),
    ],
)
def test_a_broken_language_file_is_named(
    change: tuple[str, str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(languages.FOLDER / "sw.toml", tmp_path / "sw.toml")
    path = tmp_path / "sw.toml"
    path.write_text(path.read_text(encoding="utf-8").replace(*change, 1), encoding="utf-8")
    monkeypatch.setattr(languages, "FOLDER", tmp_path)
    languages.language.cache_clear()
    try:
        with pytest.raises(ConfigError, match="sw.toml") as error:
            language("sw")
        assert message in str(error.value)
    finally:
        languages.language.cache_clear()


@pytest.mark.parametrize("relation", ["P17", "P136", "P495"])
@pytest.mark.parametrize("kind", ["band", "company"])
def test_no_article_is_doubled(relation: str, kind: str) -> None:
    for name in ("The Band", "The Beatles", "Group of Five", "Company", "Abba"):
        question = language("en").ask(relation, Subject(name, None, kind)).text
        assert not re.search(r"\b(\w+) \1\b", question, re.IGNORECASE), question
