"""One task for a judge: the request, and how its answer is read. Pure functions, independent of the transport.

A judge gets at most two requests: after an invalid answer (not JSON, refused, contradictory) a second one, with the
reason. A task without a valid answer has no label, and a reason; nothing is guessed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlsplit

from polyfact_dataset.catalog.language import language
from polyfact_dataset.common.text.normalise import clean
from polyfact_dataset.config.models import VerificationConfig
from polyfact_dataset.llm.prompts import Prompt
from polyfact_dataset.llm.protocol import CHAT, RESPONSES, Answer, Request
from polyfact_dataset.llm.response_text import InvalidResponse, finished_text, parse_object
from polyfact_dataset.llm.session import Lookup
from polyfact_dataset.schema import LABELS
from polyfact_dataset.verification.items import LETTERS, Item, JudgedFact
from polyfact_dataset.verification.rubric import PROBLEMS, judge_prompt, parallel_prompt

_ATTEMPTS = 2
# Failures that another attempt cannot change.
_FINAL = ("rejected", "unanswered")
_MAX_RATIONALE, _MAX_URLS = 2000, 20
# Citations in the text of models with web search: an opening mark, `cite` and references, a closing mark.
_CITATION = re.compile("\ue200[^\ue201]{0,200}\ue201")
_PRIVATE_USE = re.compile("[\ue000-\uf8ff]")


@dataclass(frozen=True)
class Finding:
    """A judgement. Of an item: its label and other correct options; of a fact: problems and notes by language."""

    label: str = ""
    rationale: str = ""
    urls: tuple[str, ...] = ()
    also_right: tuple[str, ...] = ()
    searches: int = 0
    problems: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class JudgeOutcome:
    """The result of a task: a finding, or None and the reason; `request` is the one whose answer decided."""

    finding: Finding | None
    reason: str
    request: Request
    answer: Answer


class JudgeTask(Protocol):
    """A task for a judge. `kind` names it for counting, `record` is the text that the judge reads."""

    @property
    def kind(self) -> str: ...

    def record(self) -> dict[str, str]: ...

    def read(self, judgement: Mapping[str, Any], answer: Answer) -> Finding: ...


def _name(code: str) -> str:
    return f"{language(code).name} ({language(code).autonym})"


def _plain(text: object) -> str:
    """A judge's text as it may be stored and shown: one line, without citation marks and hidden characters."""
    plain = _PRIVATE_USE.sub("", _CITATION.sub("", str(text)))
    return clean(plain[:_MAX_RATIONALE]) or ""


def _strings(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
        raise InvalidResponse("wrong_shape")
    return value


def _cited(answer: Answer, named: Sequence[str]) -> tuple[str, ...]:
    """The URLs that the answer cites and those that the judge names, each once."""
    cited = []
    for item in (answer.body or {}).get("output") or ():
        for part in item.get("content") or ():
            cited += [note.get("url") for note in part.get("annotations") or () if note.get("type") == "url_citation"]
    urls = [str(url).strip() for url in (*cited, *named)]
    valid = [url for url in urls if urlsplit(url).scheme in ("http", "https") and len(url) < 500 and " " not in url]
    return tuple(dict.fromkeys(valid))[:_MAX_URLS]


@dataclass(frozen=True)
class ItemTask:
    """One item in its language."""

    item: Item
    kind: str = "judge"

    def record(self) -> dict[str, str]:
        """The item as shown to someone who answers it, and the marked option."""
        options = {f"option_{letter}": text for letter, text in zip(LETTERS, self.item.options)}
        marked = f"{LETTERS[self.item.marked]}"
        return {"language": _name(self.item.language), "question": self.item.question, **options, "marked": marked}

    def read(self, judgement: Mapping[str, Any], answer: Answer) -> Finding:
        """The label. Raises `InvalidResponse` when a field is missing, or label and options contradict each other."""
        label, letters, rationale = judgement.get("label"), judgement.get("also_right"), judgement.get("rationale")
        if label not in LABELS or not isinstance(rationale, str):
            raise InvalidResponse("wrong_shape")
        others = [letter for letter in dict.fromkeys(_strings(letters)) if letter != LETTERS[self.item.marked]]
        if any(letter not in LETTERS for letter in others):
            raise InvalidResponse("wrong_shape")
        if label == "correct" and others:
            raise InvalidResponse("contradiction")
        shown = _plain(rationale)
        if not shown:
            raise InvalidResponse("no_rationale")
        right = tuple(self.item.options[LETTERS.index(letter)] for letter in others)
        urls = _cited(answer, _strings(judgement.get("urls")))
        return Finding(str(label), shown, urls, right, answer.searches)


@dataclass(frozen=True)
class FactTask:
    """A fact's questions in all languages, against its triple."""

    fact: JudgedFact
    kind: str = "parallel"

    def record(self) -> dict[str, str]:
        """The triple in English; names, answer and question in every language."""
        fact = self.fact
        record = {"subject": fact.subject, "relation": fact.relation, "answer": fact.object}
        for question in fact.items:
            code = question.language
            texts = {"subject": question.subject, "answer": question.answer, "question": question.question}
            record |= {f"{code}.language": _name(code), **{f"{code}.{name}": text for name, text in texts.items()}}
        return record

    def read(self, judgement: Mapping[str, Any], answer: Answer) -> Finding:
        """The problems of every language. Raises `InvalidResponse` when one is missing, or has problems and no note."""
        problems, notes = {}, {}
        for question in self.fact.items:
            entry = judgement.get(question.language)
            if not isinstance(entry, dict) or not isinstance(entry.get("note"), str):
                raise InvalidResponse("wrong_shape")
            listed = _strings(entry.get("problems"))
            if any(problem not in PROBLEMS for problem in listed):
                raise InvalidResponse("wrong_shape")
            note = _plain(entry["note"])
            if listed and not note:
                raise InvalidResponse("no_rationale")
            problems[question.language] = tuple(name for name in PROBLEMS if name in listed)
            notes[question.language] = note
        return Finding(searches=answer.searches, problems=problems, notes=notes)


class Judge:
    """Requests of one model as the judge: endpoint, tools, prompt and rubric. Requests have no seed if it is None."""

    def __init__(
        self, config: VerificationConfig, seed: int | None, languages: Sequence[str], *, parallel: bool
    ) -> None:
        self.config, self.seed, self.parallel = config, seed, parallel
        self.prompt: Prompt = parallel_prompt(config, languages) if parallel else judge_prompt(config)

    def advance(self, task: JudgeTask, lookup: Lookup) -> JudgeOutcome | list[Request]:
        """The result of the task, or the request that must be answered first."""
        reason, attempt = "", 0
        while True:
            request, attempt = self.request(task, reason), attempt + 1
            answer = lookup(request)
            if answer is None:
                return [request]
            try:
                return JudgeOutcome(task.read(parse_object(finished_text(answer)), answer), "", request, answer)
            except InvalidResponse as error:
                reason = str(error)
            if attempt == _ATTEMPTS or reason in _FINAL:
                return JudgeOutcome(None, reason, request, answer)

    def request(self, task: JudgeTask, note: str = "") -> Request:
        """The request for a task; `note` is the reason why an earlier answer was invalid."""
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
