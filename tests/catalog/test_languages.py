"""The language files: complete, in their own script and punctuation, and never giving the answer away."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from polyfact_dataset.catalog import language as languages
from polyfact_dataset.catalog.language import PAPER_LANGUAGES, known, language
from polyfact_dataset.catalog.relation import all_relations, kind_of
from polyfact_dataset.common.errors import ConfigError
from polyfact_dataset.common.text.mentions import mention
from polyfact_dataset.common.text.normalise import normalise
from polyfact_dataset.common.text.scripts import in_scripts, scripts_of
from polyfact_dataset.sample.tables import load_entities, load_statements

# How a question ends, where not in a question mark.
ENDINGS = {"ar": "؟", "zh": "？", "ja": "か。", "fr": "\u202f?"}
SUBJECTS = {
    "en": ("Marie Curie", "The Beatles", "Netherlands"),
    "fr": ("Marie Curie", "The Beatles", "Pays-Bas"),
    "zh": ("玛丽·居里", "披头士乐队", "荷兰"),
}


def test_all_twelve_and_all_22_come_first() -> None:
    assert known()[:12] == PAPER_LANGUAGES and len(PAPER_LANGUAGES) == 12
    paper = "P36 P17 P30 P37 P38 P47 P27 P19 P20 P69 P108 P50 P57 P170 P178 P136 P495 P407 P400 P176 P84 P61"
    assert " ".join(list(all_relations())[:22]) == paper


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
def test_questions_are_in_their_script_and_end_as_the_language_does(code: str) -> None:
    entry = language(code)
    for key, text in entry.questions.items():
        bare = text.replace("{subject}", "")
        assert text.endswith(ENDINGS.get(code, "?")), key
        assert in_scripts(bare, entry.scripts), key
        if entry.scripts != ("Latn",):
            assert "Latn" not in scripts_of(bare), key
        if code == "es":
            assert text.count("¿") == 1, key
    for text in entry.prompt.model_dump().values():
        assert text == text.strip() and in_scripts(text, entry.scripts)


# The sample has names in these alone.
@pytest.mark.parametrize("code", PAPER_LANGUAGES)
def test_no_template_names_an_answer(code: str) -> None:
    """A template that mentions an answer of its relation would throw those facts away."""
    entry = language(code)
    names = {entity.qid: normalise(entity.labels[code]) for entity in load_entities()}
    answers: dict[str, set[str]] = {}
    for statement in load_statements():
        answers.setdefault(statement.property, set()).add(names[statement.object])
    for key, text in entry.questions.items():
        asked = normalise(text.replace("{subject}", ""))
        for name in answers.get(key.partition(".")[0], ()):
            assert mention(asked, name, entry.mention_rule) is None, (key, name)


def test_templates_differ_between_languages_and_relations() -> None:
    for code in known():
        defaults = [language(code).questions[relation] for relation in all_relations()]
        assert len(set(defaults)) == len(all_relations())
    for relation in all_relations():
        assert len({language(code).questions[relation] for code in known()}) == len(known())


def test_golden_questions(pytestconfig: pytest.Config) -> None:
    """The questions of three languages about three subjects, as a reader sees them."""
    lines = [
        f"{code}\t{key}\t{language(code).question(key.partition('.')[0], key.partition('.')[2] or None, subject)}"
        for code, subjects in SUBJECTS.items()
        for key in language(code).questions
        for subject in subjects
    ]
    golden = Path(__file__).parents[1] / "golden" / "questions.tsv"
    if pytestconfig.getoption("--update-golden"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert golden.read_text(encoding="utf-8").splitlines() == lines


def test_a_question_for_a_kind_falls_back_to_the_default() -> None:
    entry = language("en")
    assert kind_of(["Q5398426"]) == "series" and kind_of(["Q515"]) is None and kind_of([]) is None
    assert entry.template("P57", "film") != entry.template("P36", None)
    assert entry.template("P36", "film") == entry.questions["P36"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('P36 = "', 'P36x = "'), "P36"),
        (('P17 = "', 'P17 = "{subject} '), "{subject}"),
        (("direction", "direktion"), "direction"),
        (('code = "sw"', 'code = "xx"'), "named"),
        (("[questions]", "[questions"), "sw.toml"),
        (('"Latn"', '"Latin"'), "'Latin' is no script; ISO 15924 has Adlm"),
    ],
)
def test_a_broken_language_file_is_named(
    change: tuple[str, str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(languages.FOLDER / "sw.toml", tmp_path / "sw.toml")
    path = tmp_path / "sw.toml"
    path.write_text(path.read_text(encoding="utf-8").replace(*change, 1), encoding="utf-8")
    monkeypatch.setattr(languages, "FOLDER", tmp_path)
    languages.language.cache_clear()
    try:
        with pytest.raises(ConfigError, match="sw.toml") as error:
            language("sw")
        assert said in str(error.value)
    finally:
        languages.language.cache_clear()
