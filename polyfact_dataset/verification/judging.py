"""One question to a judge: the request, and what its answer is worth. Pure functions, the same for every engine.

A judge is asked twice at most: an answer that cannot be used (no JSON, refused, contradicting itself) is asked for once
more, with the reason. What stays without a usable answer has no label, and says why; nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlsplit

from polyfact_dataset.catalog.language import language
from polyfact_dataset.common.text.normalise import clean
from polyfact_dataset.config.build import VerificationConfig
from polyfact_dataset.llm.prompts import Prompt
from polyfact_dataset.llm.protocol import CHAT, RESPONSES, Answer, Request
from polyfact_dataset.llm.response_text import Unusable, object_of, text_of
from polyfact_dataset.schema import LABELS
from polyfact_dataset.verification.items import LETTERS, Fact, Item
from polyfact_dataset.verification.rubric import PROBLEMS, judge_prompt, parallel_prompt

_ATTEMPTS = 2
# What asking again does not mend.
_FINAL = ("rejected", "unanswered")
_MAX_RATIONALE, _MAX_URLS = 2000, 20

Lookup = Callable[[Request], Answer | None]
"""The answer to a request, or None while there is none."""


@dataclass(frozen=True)
class Finding:
    """What a judge says. Of an item: label and other right options; of a fact: problems and notes by language."""

    label: str = ""
    rationale: str = ""
    urls: tuple[str, ...] = ()
    also_right: tuple[str, ...] = ()
    searches: int = 0
    problems: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """The end of a task: a finding, or None and the reason; `request` is the one whose answer decided."""

    finding: Finding | None
    reason: str
    request: Request
    answer: Answer


class Task(Protocol):
    """Something to be judged. `kind` names it for counting, `record` is what the judge sees."""

    @property
    def kind(self) -> str: ...

    def record(self) -> dict[str, str]: ...

    def read(self, said: Mapping[str, Any], answer: Answer) -> Finding: ...


def _name(code: str) -> str:
    return f"{language(code).name} ({language(code).autonym})"


def _plain(text: object) -> str:
    """Text of a judge as it may be stored and shown: one line, no hidden characters."""
    return clean(str(text)[:_MAX_RATIONALE]) or ""


def _strings(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
        raise Unusable("wrong_shape")
    return value


def _cited(answer: Answer, named: Sequence[str]) -> tuple[str, ...]:
    """Addresses that the answer cites, and those that the judge names, each once."""
    found = []
    for item in (answer.body or {}).get("output") or ():
        for part in item.get("content") or ():
            found += [note.get("url") for note in part.get("annotations") or () if note.get("type") == "url_citation"]
    urls = [str(url).strip() for url in (*found, *named)]
    good = [url for url in urls if urlsplit(url).scheme in ("http", "https") and len(url) < 500 and " " not in url]
    return tuple(dict.fromkeys(good))[:_MAX_URLS]


@dataclass(frozen=True)
class ItemTask:
    """One item in its language."""

    item: Item
    kind: str = "judge"

    def record(self) -> dict[str, str]:
        """What a person sees who answers, and the marked option."""
        options = {f"option_{letter}": text for letter, text in zip(LETTERS, self.item.options)}
        marked = f"{LETTERS[self.item.marked]}"
        return {"language": _name(self.item.language), "question": self.item.question, **options, "marked": marked}

    def read(self, said: Mapping[str, Any], answer: Answer) -> Finding:
        """The label. Raises `Unusable` when something lacks, or when label and reasons contradict each other."""
        label, letters, rationale = said.get("label"), said.get("also_right"), said.get("rationale")
        if label not in LABELS or not isinstance(rationale, str):
            raise Unusable("wrong_shape")
        others = [letter for letter in dict.fromkeys(_strings(letters)) if letter != LETTERS[self.item.marked]]
        if any(letter not in LETTERS for letter in others):
            raise Unusable("wrong_shape")
        if label == "correct" and others:
            raise Unusable("contradiction")
        if not rationale.strip():
            raise Unusable("no_rationale")
        right = tuple(self.item.options[LETTERS.index(letter)] for letter in others)
        urls = _cited(answer, _strings(said.get("urls")))
        return Finding(str(label), _plain(rationale), urls, right, answer.searches)


@dataclass(frozen=True)
class FactTask:
    """A fact's questions in all languages, against its triple."""

    fact: Fact
    kind: str = "parallel"

    def record(self) -> dict[str, str]:
        """The triple in English; names, answer and question in every language."""
        fact = self.fact
        record = {"subject": fact.subject, "relation": fact.relation, "answer": fact.object}
        for asked in fact.items:
            code = asked.language
            own = {"subject": asked.subject, "answer": asked.answer, "question": asked.question}
            record |= {f"{code}.language": _name(code), **{f"{code}.{name}": text for name, text in own.items()}}
        return record

    def read(self, said: Mapping[str, Any], answer: Answer) -> Finding:
        """The problems of every language. Raises `Unusable` when one lacks, or has a reason and no problem."""
        problems, notes = {}, {}
        for asked in self.fact.items:
            own = said.get(asked.language)
            if not isinstance(own, dict) or not isinstance(own.get("note"), str):
                raise Unusable("wrong_shape")
            listed = _strings(own.get("problems"))
            if any(problem not in PROBLEMS for problem in listed):
                raise Unusable("wrong_shape")
            if listed and not own["note"].strip():
                raise Unusable("no_rationale")
            problems[asked.language] = tuple(name for name in PROBLEMS if name in listed)
            notes[asked.language] = _plain(own["note"])
        return Finding(searches=answer.searches, problems=problems, notes=notes)


class Judge:
    """How tasks are put to a model, and in which version: model, endpoint, tools, prompt and rubric."""

    def __init__(self, config: VerificationConfig, seed: int, languages: Sequence[str], *, parallel: bool) -> None:
        self.config, self.seed, self.parallel = config, seed, parallel
        self.prompt: Prompt = parallel_prompt(config, languages) if parallel else judge_prompt(config)

    def advance(self, task: Task, lookup: Lookup) -> Outcome | Request:
        """What became of the task, or the request that must be answered first."""
        reason, attempt = "", 0
        while True:
            request, attempt = self.request(task, reason), attempt + 1
            answer = lookup(request)
            if answer is None:
                return request
            try:
                return Outcome(task.read(object_of(text_of(answer)), answer), "", request, answer)
            except Unusable as error:
                reason = str(error)
            if attempt == _ATTEMPTS or reason in _FINAL:
                return Outcome(None, reason, request, answer)

    def request(self, task: Task, note: str = "") -> Request:
        """The request for a task; `note` is the reason why an earlier answer could not be used."""
        record, config = task.record(), self.config
        if note:
            record["note"] = note.replace("_", " ")
        if config.api == "chat":
            body = self.prompt.body(config.model, record, seed=self.seed, guided=config.guided)
            return Request(task.kind, body, config.revision, CHAT)
        tools = (config.search_tool,) if config.searches else ()
        return Request(
            task.kind, self.prompt.response_body(config.model, record, tools=tools), config.revision, RESPONSES
        )
