"""Questions of one fact by a model: the next requests, given the answers so far. Pure functions.

`QuestionGenerator.advance` returns either the requests that are missing now or the outcome of the fact. Labels that
Wikidata lacks come first, then the questions, then one retry with the next seed for each invalid answer. The outcome
depends only on the answers, not on the order in which they arrive.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
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
from polyfact_dataset.llm.response_text import InvalidResponse
from polyfact_dataset.llm.session import Lookup
from polyfact_dataset.questions.parse_response import parse_name, parse_question
from polyfact_dataset.questions.validate import fault

PROMPTS = Path(__file__).parent / "prompts"
TEMPLATE = "template"
_ATTEMPTS = 2
# Failures that another attempt cannot change.
_FINAL = ("rejected", "unanswered")


@dataclass(frozen=True)
class FactInput:
    """A fact and what its prompts need, by language: labels (None where Wikidata has none), descriptions and types.

    `descriptions` distinguish the subject from other entities of its name, in all languages or none. `about` are the
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
        """The subject with a label, as the argument of templates."""
        return Subject(label, self.subject_id, self.kind, self.sex, self.is_living)


@dataclass
class FactOutcome:
    """The outcome of a fact: questions with their sources by language, or the `reason` why it is dropped.

    `labels` are the model's names by entity and language, `templates` the keys of the wordings of questions that come
    from templates. Counters: `failed` the invalid answers by kind and reason, `used` the decisive answers by kind,
    `tokens` their tokens (prompt, completion), `served` the model's name according to the server, `resolved` the
    agreement of answers with the gold.
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
        """Counts a decisive answer."""
        self.used[request.kind] += 1
        self.served[answer.served] += 1
        self.tokens["prompt"] += answer.prompt_tokens
        self.tokens["completion"] += answer.completion_tokens

    def drop(self, reason: str) -> FactOutcome:
        """Drops the fact in all languages."""
        self.questions, self.sources, self.templates, self.reason = {}, {}, {}, reason
        return self


@dataclass(frozen=True)
class _Names:
    """Labels of the subject, the text a question must contain, and labels of the answer, by language."""

    subject: Mapping[str, str]
    named: Mapping[str, str]
    answer: Mapping[str, str]


class _Missing(Exception):
    """Requests without an answer."""

    def __init__(self, requests: list[Request]) -> None:
        super().__init__(len(requests))
        self.requests = requests


class QuestionGenerator:
    """Writes the questions of facts with one model: its prompts, mode, and fallback to template questions.

    `objections` maps a fact to the languages that take its template question (an empty set: all).
    """

    def __init__(self, config: Config, objections: Mapping[str, frozenset[str]]) -> None:
        self.config, self.objections, self.languages = config.questions, objections, config.languages
        self.seed = config.seed if config.llm.seed else None
        self.source = f"model:{config.questions.model}"
        names = ("label", "question", *(("translate",) if config.questions.mode == "english_first" else ()))
        self.prompts: dict[str, Prompt] = {
            name: load(PROMPTS / f"{name}.toml").with_settings(
                config.questions.parameters, config.questions.system_role
            )
            for name in names
        }

    def advance(self, fact: FactInput, lookup: Lookup) -> FactOutcome | list[Request]:
        """The outcome of the fact, or the requests that must be answered first."""
        try:
            return self._resolve(fact, lookup, FactOutcome())
        except _Missing as missing:
            return missing.requests

    def _resolve(self, fact: FactInput, lookup: Lookup, outcome: FactOutcome) -> FactOutcome:
        subject, answer = self._labels(fact, lookup, outcome)
        if outcome.reason is not None:
            return outcome
        named = {code: self._named(fact, subject[code], code) for code in self.languages}
        for code in self.languages:
            reason = fault(named[code], subject[code], answer[code], code)
            if reason is not None:
                return outcome.drop(f"{reason}:{code}")
        self._questions(fact, _Names(subject, named, answer), lookup, outcome)
        return outcome

    # ------------------------------------------------------------ labels
    def _labels(self, fact: FactInput, lookup: Lookup, outcome: FactOutcome) -> tuple[dict[str, str], dict[str, str]]:
        """The labels of both ends in all languages; the fact is dropped where one cannot be obtained."""
        ends = (("subject", fact.subject_id, fact.subject), ("object", fact.object_id, fact.answer))
        requests = [
            (end, entity, code, self.label_request(fact, end, code))
            for end, entity, labels in ends
            for code in self.languages
            if labels.get(code) is None
        ]
        answers = _all(lookup, [request for *_, request in requests])
        for (end, entity, code, request), answer in zip(requests, answers):
            outcome.count(request, answer)
            try:
                outcome.labels[entity, code] = parse_name(answer, language(code))
            except InvalidResponse as error:
                outcome.failed[f"label:{error}"] += 1
                if outcome.reason is None:
                    outcome.drop(f"{end}_untranslated:{code}")
        both = tuple(
            {code: labels.get(code) or outcome.labels.get((entity, code), "") for code in self.languages}
            for _, entity, labels in ends
        )
        return both[0], both[1]

    def label_request(self, fact: FactInput, end: str, code: str) -> Request:
        """The request for an entity's label, the same for all facts of the entity."""
        subject = end == "subject"
        entity, labels = (fact.subject_id, fact.subject) if subject else (fact.object_id, fact.answer)
        known = next(name for name in ("en", *self.languages) if labels.get(name) is not None)
        about = fact.about if subject else fact.answer_about
        record = {
            "language": _language_name(language(code)),
            "name": labels[known] or "",
            "name_language": language(known).name,
            "what": next((texts[0] for texts in (about.get("en"), *about.values()) if texts), ""),
            "relation": all_relations()[fact.property_id].label,
            "role": "subject" if subject else "value",
        }
        prompt = self.prompts["label"]
        return self._request("label", record, 0, identity=f"label {prompt.version} {code} {entity}")

    # ------------------------------------------------------------ questions
    def _named(self, fact: FactInput, subject: str, code: str) -> str:
        """The text a question must contain: the subject's label, with a description where the label is ambiguous."""
        description = fact.descriptions.get(code)
        return subject + (language(code).described.replace("{description}", description) if description else "")

    def _questions(self, fact: FactInput, names: _Names, lookup: Lookup, outcome: FactOutcome) -> None:
        """Fills in questions and sources, or drops the fact."""
        objected = self.objections.get(fact.fact_id)
        for code in self.languages:
            if objected is not None and (not objected or code in objected):
                self._take_template(fact, names, code, outcome)
        if outcome.reason is not None:
            return
        first = ("en",) if self.config.mode == "english_first" else self.languages
        for group in (first, self.languages):
            left = {code: "" for code in group if code not in outcome.questions}
            for attempt in range(_ATTEMPTS):
                left = self._attempt(fact, names, left, attempt, lookup, outcome)
            for code, reason in left.items():
                self._fail(fact, names, code, reason, outcome)
            if outcome.reason is not None:
                return
        seen: dict[str, str] = {}
        for code, question in list(outcome.questions.items()):
            other = seen.setdefault(normalise(question), code)
            if other != code:
                outcome.failed[f"question:same_as_{other}"] += 1
                self._fail(fact, names, code, f"same_as_{other}", outcome)

    def _attempt(
        self,
        fact: FactInput,
        names: _Names,
        left: Mapping[str, str],
        attempt: int,
        lookup: Lookup,
        outcome: FactOutcome,
    ) -> dict[str, str]:
        """Requests the languages in `left`; returns those that failed, with the reason."""
        failed = {code: reason for code, reason in left.items() if reason in _FINAL}
        codes = [code for code in left if code not in failed]
        requests = [self.question_request(fact, names, code, attempt, outcome.questions.get("en")) for code in codes]
        for code, request, answer in zip(codes, requests, _all(lookup, requests)):
            outcome.count(request, answer)
            try:
                outcome.questions[code], how = parse_question(
                    answer,
                    subject=names.subject[code],
                    named=names.named[code],
                    gold=names.answer[code],
                    code=code,
                    languages=self.languages,
                )
                outcome.sources[code] = self.source
                outcome.resolved[how] += 1
            except InvalidResponse as error:
                failed[code] = str(error)
                outcome.failed[f"{request.kind}:{error}"] += 1
        return failed

    def _fail(self, fact: FactInput, names: _Names, code: str, reason: str, outcome: FactOutcome) -> None:
        """Replaces the question of a language for which the model failed by the template's, or drops the fact."""
        if outcome.reason is not None:
            return
        if self.config.fallback == "template" and outcome.sources.get(code) != TEMPLATE:
            self._take_template(fact, names, code, outcome)
        else:
            outcome.drop(f"model_{reason}:{code}")

    def _take_template(self, fact: FactInput, names: _Names, code: str, outcome: FactOutcome) -> None:
        entry = language(code)
        asked = entry.ask(fact.property_id, fact.named(names.subject[code]), fact.descriptions.get(code))
        reason = fault(asked.text, names.subject[code], names.answer[code], code)
        if reason is not None:
            outcome.drop(f"{reason}:{code}")
        elif outcome.reason is None:
            outcome.questions[code], outcome.sources[code] = asked.text, TEMPLATE
            outcome.templates[code] = asked.template

    def question_request(self, fact: FactInput, names: _Names, code: str, attempt: int, english: str | None) -> Request:
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
        seed = None if self.seed is None else 0 if identity else self.seed + attempt
        body = self.prompts[kind].body(self.config.model, record, seed=seed, guided=self.config.guided)
        # With a seed the body distinguishes a retry from the first attempt; keys of existing caches depend on this.
        return Request(kind, body, self.config.revision, identity=identity, attempt=attempt if self.seed is None else 0)


def _all(lookup: Lookup, requests: list[Request]) -> list[Answer]:
    """All answers; raises `_Missing` with the unanswered requests."""
    answers = [lookup(request) for request in requests]
    missing = [request for request, answer in zip(requests, answers) if answer is None]
    if missing:
        raise _Missing(missing)
    return [answer for answer in answers if answer is not None]


def _about(texts: Mapping[str, tuple[str, ...]], code: str, answers: set[str]) -> str:
    """The first description or type of the subject that does not mention the answer, in the language or in English."""
    forms = [normalise(answer) for answer in answers]
    for name in dict.fromkeys((code, "en")):
        for text in texts.get(name, ()):
            if not any(form in normalise(text) for form in forms):
                return text
    return ""


def _language_name(entry: Language) -> str:
    """The name of the language in a prompt."""
    return f"{entry.name} ({entry.autonym})" + (", in Simplified characters" if "Hans" in entry.scripts else "")
