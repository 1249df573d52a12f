"""The languages: one TOML file each, read and checked. To add a language, add a file."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from polyfact_dataset.catalog.forms import forms
from polyfact_dataset.catalog.relation import all_relations, label_classes
from polyfact_dataset.catalog.spelling import Spelling
from polyfact_dataset.catalog.subject import Subject
from polyfact_dataset.catalog.wordings import Asked, Wordings
from polyfact_dataset.common.errors import ConfigError
from polyfact_dataset.common.text.mentions import MentionRule, Replacements
from polyfact_dataset.common.text.normalise import normalise
from polyfact_dataset.common.text.scripts import SCRIPT_CODES, covered, nearest_script, scripts_of
from polyfact_dataset.common.validation import validated

FOLDER = Path(__file__).parent / "languages"
# The paper's Figure 2 states no order; this is the order of the published configs.
PAPER_LANGUAGES = ("en", "de", "id", "pt", "ar", "bn", "sw", "es", "ru", "fr", "ja", "zh")


class PromptLiterals(BaseModel):
    """The words of evaluation and training prompts in the target language."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    instruction: str
    choose: str
    letter: str
    free: str
    question: str
    options: str
    answer: str


class Cues(BaseModel):
    """Words that the audit searches for in questions and options of the language; empty lists are not checked.

    `negation` are words (in languages without spaces: strings) that negate a question, `catch_all` options such as
    "all of the above", `articles` those that agree with a following noun, `class_words` nouns that only some labels
    contain (film, language); `*` matches any letters of a word.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    negation: tuple[str, ...] = ()
    catch_all: tuple[str, ...] = ()
    articles: tuple[str, ...] = ()
    class_words: tuple[str, ...] = ()


class Glue(BaseModel):
    """Affixes attached to a name without a space: prepositions and articles before it, particles and suffixes after.

    They can be combined, so each is listed once.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    prefixes: tuple[str, ...] = ()
    suffixes: tuple[str, ...] = ()


class Declines(BaseModel):
    """Phrases by which an answer declines, such as "I don't know". Case and punctuation do not count."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    phrases: tuple[str, ...] = Field(min_length=5)


class Language(BaseModel):
    """One language file. `labels` is the chain of Wikidata codes tried in turn, `wiki` its Wikipedia.

    `group` is the group of languages whose mean `compare` shows: `high` and `low` are those of the paper (section 5.1),
    which groups only its twelve. `question_begin` and `question_end` are the marks that every question has once and
    ends in. `article` is written onto a word without being a part of it.

    `shortest` is the length of the shortest names that questions are searched for (see `MentionRule`).

    `described` is the text that adds a short description to an ambiguous name. `endings` are those of a noun's or
    adjective's nominative, each with its replacements in other cases and genders; `initials` is the same for the
    beginning of a name (the Arabic article after a preposition). `spelling` is how labels of a class are written (see
    `spelling`). `questions` maps a relation to its
    wordings (see `wordings`), condition -> text.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    code: str = Field(pattern=r"^[a-z]{2,3}$")
    name: str
    autonym: str
    scripts: tuple[str, ...] = Field(min_length=1)
    direction: Literal["ltr", "rtl"]
    labels: tuple[str, ...] = Field(min_length=1)
    wiki: str = Field(pattern=r"^[a-z_]+wiki$")
    mul: bool
    spaced: bool
    group: Literal["high", "low", "neither"] = "neither"
    question_begin: str = ""
    question_end: str = Field(default="?", min_length=1)
    article: str = ""
    glue: Glue = Glue()
    shortest: int | None = Field(default=None, ge=1)
    # Labels of persons may be "family name, given names", as the titles of its Wikipedia are.
    inverted_names: bool = False
    described: str = Field(default=" ({description})", pattern=r"\{description\}")
    prompt: PromptLiterals
    cues: Cues
    declines: Declines
    endings: dict[str, tuple[str, ...]] = {}
    initials: dict[str, tuple[str, ...]] = {}
    spelling: dict[str, Spelling] = {}
    questions: dict[str, dict[str, str]]

    @field_validator("cues")
    @classmethod
    def _negations(cls, cues: Cues) -> Cues:
        if not cues.negation:
            raise ValueError("negation: every language has words that negate a question")
        return cues

    @field_validator("scripts")
    @classmethod
    def _known_scripts(cls, scripts: tuple[str, ...]) -> tuple[str, ...]:
        for script in scripts:
            if script not in SCRIPT_CODES:
                near = nearest_script(script)
                hint = f"did you mean {near}? " if near else ""
                raise ValueError(f"{script!r} is not a script's code; {hint}known are {', '.join(SCRIPT_CODES)}")
        return scripts

    @field_validator("spelling")
    @classmethod
    def _known_classes(cls, spelling: dict[str, Spelling]) -> dict[str, Spelling]:
        if unknown := [name for name in spelling if name not in label_classes()]:
            raise ValueError(f"{', '.join(unknown)} not among label_classes of relations.toml")
        return spelling

    @model_validator(mode="after")
    def _in_its_script(self) -> Language:
        """Words left over from the language whose file was copied would never be found."""
        characters = frozenset().union(*map(covered, self.scripts))
        for section in ("cues", "glue", "declines"):
            for entry, texts in getattr(self, section).model_dump().items():
                for text in texts:
                    if not text or text != text.strip():
                        raise ValueError(f"[{section}] {entry}: {text!r} is empty or has spaces around it")
                    if not scripts_of(text) <= characters:
                        raise ValueError(f"[{section}] {entry}: {text!r} is not in {', '.join(self.scripts)}")
        return self

    @model_validator(mode="after")
    def _complete(self) -> Language:
        missing = [relation for relation in all_relations() if relation not in self.questions]
        if missing:
            raise ValueError(f"[questions] lacks {', '.join(missing)}")
        for relation in self.questions:
            if relation not in all_relations():
                raise ValueError(f"[questions] {relation!r} is not a relation of relations.toml")
            try:
                self.wordings[relation].check()
                self._check_marks(relation)
            except ValueError as error:
                raise ValueError(f"[questions.{relation}] {error}") from error
        return self

    def _check_marks(self, relation: str) -> None:
        for key, text in self.questions[relation].items():
            if not text.endswith(self.question_end):
                raise ValueError(f"{key}: the text must end in {self.question_end!r} (question_end)")
            if self.question_begin and text.count(self.question_begin) != 1:
                raise ValueError(f"{key}: the text must contain {self.question_begin!r} once (question_begin)")

    @cached_property
    def mention_rule(self) -> MentionRule:
        """How names are written into sentences of the language, for `common.text.mentions`."""
        return MentionRule(
            scripts=self.scripts,
            spaced=self.spaced,
            prefixes=tuple(map(normalise, self.glue.prefixes)),
            suffixes=tuple(map(normalise, self.glue.suffixes)),
            initials=_normalised(self.initials),
            endings=_normalised(self.endings),
            shortest=self.shortest,
        )

    @cached_property
    def wordings(self) -> dict[str, Wordings]:
        """Relation -> its wordings."""
        names = forms(self.code)
        return {relation: Wordings(relation, texts, names) for relation, texts in self.questions.items()}

    @cached_property
    def texts(self) -> dict[str, str]:
        """All wordings, as `P19/female` -> text with `{subject}` for the name in any form."""
        return {
            f"{rel}/{key}": wordings.plain(key) for rel, wordings in self.wordings.items() for key in wordings.texts
        }

    def ask(self, relation: str, subject: Subject, description: str | None = None) -> Asked:
        """The question about a subject; a description follows its name and the quotation marks around it."""
        suffix = "" if description is None else self.described.replace("{description}", description)
        return self.wordings[relation].ask(subject, suffix)

    def question(self, relation: str, kind: str | None, name: str, description: str | None = None) -> str:
        """The question about a subject of which only the name and the kind are known."""
        return self.ask(relation, Subject(name, kind=kind), description).text


def _normalised(replacements: Mapping[str, Sequence[str]]) -> Replacements:
    """Endings or beginnings in the form in which texts are compared."""
    return tuple((normalise(one), tuple(map(normalise, others))) for one, others in replacements.items())


def mention_rule(code: str) -> MentionRule:
    """The rule of a language; without a file, the rule for words between spaces in any script."""
    return language(code).mention_rule if code in known() else MentionRule()


def unspaced(code: str) -> bool:
    """Whether a language is known to write its words without spaces."""
    return code in known() and not language(code).spaced


@cache
def language(code: str) -> Language:
    """The language of a code. Raises `ConfigError` naming the file and the entry to edit."""
    path = FOLDER / f"{code}.toml"
    if not path.is_file():
        raise ConfigError(f"unknown language {code!r}: there is no {path.name}; known are {', '.join(known())}")
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"languages/{path.name}: {error}") from error
    # Checked first: the forms of names are found by the code.
    if data.get("code") != code:
        raise ConfigError(f"languages/{path.name}: code is {data.get('code')!r}, the file is named {code!r}")
    return validated(Language, data, f"languages/{path.name}")


def article(code: str) -> str:
    """The article that a language writes onto a word; empty where it has none, or no file."""
    return normalise(language(code).article) if code in known() else ""


def group_of(code: str) -> Literal["high", "low", "neither"]:
    """The group of a language; `neither` where it has no file."""
    return language(code).group if code in known() else "neither"


def chosen(languages: str | Sequence[str]) -> tuple[str, ...]:
    """`paper` is the paper's twelve languages, `all` every language that has a file; a list of codes is kept."""
    if languages == "paper":
        return PAPER_LANGUAGES
    if languages == "all":
        return known()
    if isinstance(languages, str):
        raise ConfigError(f"languages is {languages!r}; it must be 'paper', 'all' or a list of codes")
    return tuple(languages)


def known() -> tuple[str, ...]:
    """The codes of all language files: the paper's twelve in their order, then any others by name."""
    return _known(FOLDER)


@cache
def _known(folder: Path) -> tuple[str, ...]:
    codes = {path.stem for path in folder.glob("*.toml")}
    ordered = [code for code in PAPER_LANGUAGES if code in codes]
    return (*ordered, *sorted(codes - set(PAPER_LANGUAGES)))
