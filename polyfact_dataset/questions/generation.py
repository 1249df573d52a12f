"""One fact and a model: what to ask next, given the answers so far. Pure functions, the same for every engine.

`Asking.advance` returns either the requests that are missing now or what has become of the fact. First come the
labels that Wikidata lacks, then the questions, then one retry with the next seed for each that cannot be used. What is
decided depends on the answers alone, never on the order in which they come.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from polyfact_dataset.catalog.language import Language, language
from polyfact_dataset.catalog.relation import all_relations
from polyfact_dataset.catalog.subject import Subject
from polyfact_dataset.common.text.normalise import normalise
from polyfact_dataset.config.build import Config
from polyfact_dataset.llm.prompts import Prompt, load
from polyfact_dataset.llm.protocol import Answer, Request
from polyfact_dataset.llm.response_text import Unusable
from polyfact_dataset.questions.parse_response import name_of, question_of
from polyfact_dataset.questions.validate import fault

PROMPTS = Path(__file__).parent / "prompts"
TEMPLATE = "template"
_ATTEMPTS = 2
# What another seed does not mend.
_FINAL = ("rejected", "unanswered")

Lookup = Callable[[Request], Answer | None]
"""The answer to a request, or None while there is none."""


@dataclass(frozen=True)
class Fact:
    """A fact to be asked: labels (None where Wikidata has none), notes on what its ends are, by language.

    `descriptions` is what tells the subject apart from a namesake, in all languages or none. `about` are the
    subject's descriptions and types, best first, and `answer_about` the answer's; either may lack languages.
    """

    fact_id: str
    subject_id: str
    property_id: str
    object_id: str
    priority: int
    kind: str | None
    subject: Mapping[str, str | None]
    answer: Mapping[str, str | None]
    descriptions: Mapping[str, str] = field(default_factory=dict)
    about: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    answer_about: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sex: Literal["female", "male"] | None = None
    is_living: bool | None = None

    def named(self, label: str) -> Subject:
        """The subject under a label, as the templates take it."""
        return Subject(label, self.subject_id, self.kind, self.sex, self.is_living)


@dataclass
class Settled:
    """What has become of a fact: questions with their sources by language, or the `reason` why it is dropped.

    `templates` are the keys of the wordings of those that come from templates.

    `labels` are the names that the model gave, by entity and language; `failed` counts the answers that could not be
    used by kind and reason; `used` counts the answers that decided, `tokens` what they took (prompt, completion),
    `served` the model as the server named it, and `resolved` how answers agreed with the gold.
    """

    questions: dict[str, str] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    templates: dict[str, str] = field(default_factory=dict)
    labels: dict[tuple[str, str], str] = field(default_factory=dict)
    reason: str | None = None
    failed: Counter[str] = field(default_factory=Counter)
    used: Counter[str] = field(default_factory=Counter)
    tokens: Counter[str] = field(default_factory=Counter)
    served: Counter[str] = field(default_factory=Counter)
    resolved: Counter[str] = field(default_factory=Counter)

    def count(self, request: Request, answer: Answer) -> None:
        """Notes an answer that decides."""
        self.used[request.kind] += 1
        self.served[answer.served] += 1
        self.tokens["prompt"] += answer.prompt_tokens
        self.tokens["completion"] += answer.completion_tokens

    def drop(self, reason: str) -> Settled:
        """Drops the fact in all languages."""
        self.questions, self.sources, self.templates, self.reason = {}, {}, {}, reason
        return self


@dataclass(frozen=True)
class _Names:
    """Labels of the subject, what a question must contain, and labels of the answer, by language."""

    subject: Mapping[str, str]
    named: Mapping[str, str]
    answer: Mapping[str, str]


class _Missing(Exception):
    """Requests without an answer."""

    def __init__(self, requests: list[Request]) -> None:
        super().__init__(len(requests))
        self.requests = requests


class Asking:
    """How facts are asked: model, prompts, mode, and the template questions that replace what a model cannot write.

    `objections` maps a fact to the languages in which its template question is to be taken (an empty set: in all).
    """

    def __init__(self, config: Config, objections: Mapping[str, frozenset[str]]) -> None:
        self.config, self.objections, self.languages = config.questions, objections, config.languages
        self.seed = config.seed
        self.source = f"model:{config.questions.model}"
        names = ("label", "question", *(("translate",) if config.questions.mode == "english_first" else ()))
        self.prompts: dict[str, Prompt] = {name: load(PROMPTS / f"{name}.toml") for name in names}

    def advance(self, fact: Fact, lookup: Lookup) -> Settled | list[Request]:
        """What has become of the fact, or the requests that must be answered first."""
        settled = Settled()
        try:
            return self._settle(fact, lookup, settled)
        except _Missing as missing:
            return missing.requests

    def _settle(self, fact: Fact, lookup: Lookup, settled: Settled) -> Settled:
        subject, answer = self._labels(fact, lookup, settled)
        if settled.reason is not None:
            return settled
        named = {code: self._named(fact, subject[code], code) for code in self.languages}
        for code in self.languages:
            reason = fault(named[code], subject[code], answer[code], code)
            if reason is not None:
                return settled.drop(f"{reason}:{code}")
        self._questions(fact, _Names(subject, named, answer), lookup, settled)
        return settled

    # ------------------------------------------------------------ labels
    def _labels(self, fact: Fact, lookup: Lookup, settled: Settled) -> tuple[dict[str, str], dict[str, str]]:
        """The labels of both ends in all languages; where one cannot be had, the fact is dropped."""
        ends = (("subject", fact.subject_id, fact.subject), ("object", fact.object_id, fact.answer))
        asked = [
            (end, entity, code, self.label_request(fact, end, code))
            for end, entity, labels in ends
            for code in self.languages
            if labels.get(code) is None
        ]
        answers = _all(lookup, [request for *_, request in asked])
        for (end, entity, code, request), answer in zip(asked, answers):
            settled.count(request, answer)
            try:
                settled.labels[entity, code] = name_of(answer, language(code))
            except Unusable as error:
                settled.failed[f"label:{error}"] += 1
                if settled.reason is None:
                    settled.drop(f"{end}_untranslated:{code}")
        both = tuple(
            {code: labels.get(code) or settled.labels.get((entity, code), "") for code in self.languages}
            for _, entity, labels in ends
        )
        return both[0], both[1]

    def label_request(self, fact: Fact, end: str, code: str) -> Request:
        """The request for an entity's label, the same whichever fact it is asked for."""
        subject = end == "subject"
        entity, labels = (fact.subject_id, fact.subject) if subject else (fact.object_id, fact.answer)
        known = next(name for name in ("en", *self.languages) if labels.get(name) is not None)
        about = fact.about if subject else fact.answer_about
        record = {
            "language": _language_name(language(code)),
            "name": labels[known] or "",
            "name_language": language(known).name,
            "what": next((notes[0] for notes in (about.get("en"), *about.values()) if notes), ""),
            "relation": all_relations()[fact.property_id].label,
            "role": "subject" if subject else "value",
        }
        prompt = self.prompts["label"]
        return self._request("label", record, 0, identity=f"label {prompt.version} {code} {entity}")

    # ------------------------------------------------------------ questions
    def _named(self, fact: Fact, subject: str, code: str) -> str:
        """What the question must contain: the subject's label, with what tells it apart from a namesake."""
        description = fact.descriptions.get(code)
        return subject + (language(code).described.replace("{description}", description) if description else "")

    def _questions(self, fact: Fact, names: _Names, lookup: Lookup, settled: Settled) -> None:
        """Fills in questions and sources, or drops the fact."""
        objected = self.objections.get(fact.fact_id)
        for code in self.languages:
            if objected is not None and (not objected or code in objected):
                self._take_template(fact, names, code, settled)
        if settled.reason is not None:
            return
        first = ("en",) if self.config.mode == "english_first" else self.languages
        for group in (first, self.languages):
            left = {code: "" for code in group if code not in settled.questions}
            for attempt in range(_ATTEMPTS):
                left = self._attempt(fact, names, left, attempt, lookup, settled)
            for code, reason in left.items():
                self._fail(fact, names, code, reason, settled)
            if settled.reason is not None:
                return
        seen: dict[str, str] = {}
        for code, question in list(settled.questions.items()):
            other = seen.setdefault(normalise(question), code)
            if other != code:
                settled.failed[f"question:same_as_{other}"] += 1
                self._fail(fact, names, code, f"same_as_{other}", settled)

    def _attempt(
        self, fact: Fact, names: _Names, left: Mapping[str, str], attempt: int, lookup: Lookup, settled: Settled
    ) -> dict[str, str]:
        """Asks for the languages that are `left`; returns those that failed, with the reason."""
        failed = {code: reason for code, reason in left.items() if reason in _FINAL}
        codes = [code for code in left if code not in failed]
        requests = [self.question_request(fact, names, code, attempt, settled.questions.get("en")) for code in codes]
        for code, request, answer in zip(codes, requests, _all(lookup, requests)):
            settled.count(request, answer)
            try:
                settled.questions[code], how = question_of(
                    answer,
                    subject=names.subject[code],
                    named=names.named[code],
                    gold=names.answer[code],
                    code=code,
                    languages=self.languages,
                )
                settled.sources[code] = self.source
                settled.resolved[how] += 1
            except Unusable as error:
                failed[code] = str(error)
                settled.failed[f"{request.kind}:{error}"] += 1
        return failed

    def _fail(self, fact: Fact, names: _Names, code: str, reason: str, settled: Settled) -> None:
        """What becomes of a language for which the model failed for good."""
        if settled.reason is not None:
            return
        if self.config.fallback == "template" and settled.sources.get(code) != TEMPLATE:
            self._take_template(fact, names, code, settled)
        else:
            settled.drop(f"model_{reason}:{code}")

    def _take_template(self, fact: Fact, names: _Names, code: str, settled: Settled) -> None:
        entry = language(code)
        asked = entry.ask(fact.property_id, fact.named(names.subject[code]), fact.descriptions.get(code))
        reason = fault(asked.text, names.subject[code], names.answer[code], code)
        if reason is not None:
            settled.drop(f"{reason}:{code}")
        elif settled.reason is None:
            settled.questions[code], settled.sources[code] = asked.text, TEMPLATE
            settled.templates[code] = asked.template

    def question_request(self, fact: Fact, names: _Names, code: str, attempt: int, english: str | None) -> Request:
        """The request for a question; from the English one in mode `english_first`."""
        record = {"language": _language_name(language(code))}
        if code != "en" and self.config.mode == "english_first":
            record |= {"english": english or "", "english_subject": names.named["en"]}
            record |= {"english_answer": names.answer["en"], "subject": names.named[code], "answer": names.answer[code]}
            return self._request("translate", record, attempt)
        relation = all_relations()[fact.property_id]
        record["subject"] = names.named[code]
        about = _about(fact.about, code, {names.answer[code], names.answer["en"]})
        if about:
            record["subject_is"] = about
        record["relation"] = relation.label
        record["asks"] = language("en").question(fact.property_id, fact.kind, "X")
        record["values"] = "one" if relation.values == "single" else "several"
        record["answer"] = names.answer[code]
        return self._request("question", record, attempt)

    def _request(self, kind: str, record: Mapping[str, str], attempt: int, identity: str = "") -> Request:
        seed = 0 if identity else self.seed + attempt
        body = self.prompts[kind].body(self.config.model, record, seed=seed, guided=self.config.guided)
        return Request(kind, body, self.config.revision, identity=identity)


def _all(lookup: Lookup, requests: list[Request]) -> list[Answer]:
    """All answers, or `_Missing` with the requests that have none."""
    answers = [lookup(request) for request in requests]
    missing = [request for request, answer in zip(requests, answers) if answer is None]
    if missing:
        raise _Missing(missing)
    return [answer for answer in answers if answer is not None]


def _about(notes: Mapping[str, tuple[str, ...]], code: str, answers: set[str]) -> str:
    """The first note on the subject, in the language or else in English, that does not mention the answer."""
    forms = [normalise(answer) for answer in answers]
    for name in dict.fromkeys((code, "en")):
        for note in notes.get(name, ()):
            if not any(form in normalise(note) for form in forms):
                return note
    return ""


def _language_name(entry: Language) -> str:
    """How a prompt names the language."""
    return f"{entry.name} ({entry.autonym})" + (", in Simplified characters" if "Hans" in entry.scripts else "")
