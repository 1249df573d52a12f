"""A scripted judge behind both endpoints: it knows the planted defects, and fails on demand.

It runs in threads of the test, or alone: `python -m tests.support.review_server`.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from polyfact_dataset.catalog.language import PAPER_LANGUAGES
from polyfact_dataset.verification.items import LETTERS
from polyfact_dataset.verification.judging import FactTask
from polyfact_dataset.verification.selftest import SOUND, planted_facts, planted_items
from tests.support.llm_server import Scripted, serve

JUDGE = "test/judge"
# Answered with status 200, but of no use.
BAD_JUDGEMENTS = (
    "not_json",
    "contradiction",
    "no_label",
    "other_label",
    "bad_letter",
    "no_rationale",
    "refusal",
    "length",
)


def record_of(body: dict[str, Any]) -> dict[str, str]:
    """The record that a request asks about."""
    return dict(json.loads((body.get("messages") or body["input"])[-1]["content"]))


def by_question(shares: tuple[float, float]) -> Callable[[dict[str, str]], str]:
    """Labels by a hash of the question: the first share ambiguous, the second incorrect, the rest correct."""

    def truth(record: dict[str, str]) -> str:
        digest = hashlib.sha256(record["question"].encode()).digest()
        draw = int.from_bytes(digest[:4], "big") / 2**32
        return "ambiguous" if draw < shares[0] else "incorrect" if draw < sum(shares) else "correct"

    return truth


def planted_labels() -> dict[str, str]:
    """Question of a planted item -> the label that is right."""
    found = {}
    planted = planted_items()
    for name, task in planted.tasks.items():
        (defect,) = planted.defects[name].values()
        wrong = defect in ("wrong_answer", "negation", "nonsense", "wrong_thing")
        found[task.item.question] = "correct" if defect == SOUND else "incorrect" if wrong else "ambiguous"
    return found


def planted_problems() -> dict[str, str]:
    """Question of a planted fact -> what is wrong with it."""
    planted, found = planted_facts(PAPER_LANGUAGES), {}
    for name, task in planted.tasks.items():
        assert isinstance(task, FactTask)
        for asked in task.fact.items:
            if planted.defects[name][asked.language] != SOUND:
                found[asked.question] = planted.defects[name][asked.language]
    return found


@dataclass
class ScriptedJudge(Scripted):
    """`truth` labels a record, `problems` is question -> problem; `blind` calls everything sound."""

    truth: Callable[[dict[str, str]], str] = by_question((0.0, 0.0))
    problems: Callable[[str], str | None] = lambda question: None
    blind: bool = False
    served: str = JUDGE

    def reply(self, record: dict[str, str], fault: str | None) -> str:
        """The judgement as a model would write it."""
        if "subject" in record:
            return self._parallel(record, fault)
        label = planted_labels().get(record["question"]) or self.truth(record)
        label = "correct" if self.blind else label
        others = [letter for letter in LETTERS if letter != record["marked"]]
        value: dict[str, Any] = {
            "rationale": f"Looked up: {record['question'][:40]}",
            "urls": ["https://example.org/page", "not a url"],
            "also_right": others[:1] if label == "ambiguous" else [],
            "label": label,
        }
        if fault == "contradiction":
            value |= {"label": "correct", "also_right": others[:1]}
        if fault == "no_label":
            del value["label"]
        if fault == "other_label":
            value["label"] = "mostly correct"
        if fault == "bad_letter":
            value |= {"label": "ambiguous", "also_right": ["E"]}
        if fault == "no_rationale":
            value["rationale"] = " "
        return "The item seems fine to me." if fault == "not_json" else json.dumps(value, ensure_ascii=False)

    def _parallel(self, record: dict[str, str], fault: str | None) -> str:
        codes = [name.partition(".")[0] for name in record if name.endswith(".question")]
        planted, value = planted_problems(), {}
        for code in codes:
            question = record[f"{code}.question"]
            problem = None if self.blind else planted.get(question) or self.problems(question)
            value[code] = {"note": f"about {code}" if problem else "", "problems": [problem] if problem else []}
        if fault == "no_label":
            value.pop(codes[-1])
        if fault == "contradiction":
            value[codes[0]] = {"note": "", "problems": ["subject"]}
        return "no" if fault == "not_json" else json.dumps(value, ensure_ascii=False)

    def response(self, body: dict[str, Any], fault: str | None, path: str) -> dict[str, Any]:
        """The body of an answer with status 200, for either endpoint."""
        content = self.reply(record_of(body), fault)
        if fault == "length":
            content = content[: len(content) // 2]
        tokens = len(json.dumps(body, ensure_ascii=False)) // 4, len(content) // 3
        if path.endswith("/responses"):
            return self._response(body, content, fault, tokens)
        message = {"role": "assistant", "content": content, "refusal": None}
        if fault == "refusal":
            message = {"role": "assistant", "content": None, "refusal": "I cannot help with that."}
        finish = "length" if fault == "length" else "stop"
        choices = [] if fault == "no_choices" else [{"index": 0, "message": message, "finish_reason": finish}]
        usage = {"prompt_tokens": tokens[0], "completion_tokens": tokens[1]}
        return {"id": "x", "object": "chat.completion", "model": self.served, "choices": choices, "usage": usage}

    def _response(
        self, body: dict[str, Any], content: str, fault: str | None, tokens: tuple[int, int]
    ) -> dict[str, Any]:
        cited = {"type": "url_citation", "url": "https://example.org/cited", "title": "x", "start_index": 0}
        searched = {"type": "web_search_call", "id": "ws", "status": "completed", "action": {"type": "search"}}
        part: dict[str, Any] = {"type": "output_text", "text": content, "annotations": [cited]}
        if fault == "refusal":
            part = {"type": "refusal", "refusal": "I cannot help with that."}
        output = [searched] if body.get("tools") else []
        return {
            "id": "x",
            "object": "response",
            "model": self.served,
            "status": "incomplete" if fault == "length" else "completed",
            "incomplete_details": {"reason": "max_output_tokens"} if fault == "length" else None,
            "output": None if fault == "no_choices" else [*output, {"type": "message", "content": [part]}],
            "usage": {"input_tokens": tokens[0], "output_tokens": tokens[1]},
        }


if __name__ == "__main__":
    with serve(ScriptedJudge(truth=by_question((0.2, 0.1)))) as running:
        print(running.url, flush=True)
        sys.stdin.read()
