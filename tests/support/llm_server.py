"""A local OpenAI-compatible server that writes PolyFact's questions in 12 languages, and fails on demand.

It reads the record of a prompt as any model would, and answers with the wording of the language files. What it does
wrong, and when, is decided by `Scripted.fault`. It runs in threads of the test, or by itself:
`python -m tests.support.llm_server`.
"""

from __future__ import annotations

import hashlib
import json
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from polyfact_dataset.catalog.language import PAPER_LANGUAGES, language
from polyfact_dataset.catalog.relation import all_relations

MODEL = "test/model"
# Answered with status 200, but of no use.
BAD_CONTENTS = (
    *("not_json", "list", "no_answer_text", "twice", "wrong_answer", "empty", "empty_answer"),
    *("leak", "no_subject", "language", "script", "hidden", "refusal", "length", "markup"),
)
# Messages of reasoning models and gateways, with the text that another server would give.
ODD_MESSAGES = ("reasoning", "think", "open_template", "parts", "thinking_part")
# Errors that a gateway reports with status 200, by their codes.
ERRORS_IN_200 = {"200-402": 402, "200-502": 502, "200-400": "400", "200-text": "server_error"}
# No answer, or none that can be read: to be asked again.
BAD_TRANSPORT = ("429", "429-after", "500", "503", "cut", "html", "half", "no_choices")


def no_fault(body: dict[str, Any], tries: int) -> str | None:
    """A server without faults."""
    return None


def share(seed: str, percent: float, faults: tuple[str, ...]) -> Callable[[dict[str, Any], int], str | None]:
    """Fails for a fixed share of the requests, chosen by their content; transport faults happen once each."""

    def fault(body: dict[str, Any], tries: int) -> str | None:
        key = hashlib.sha256(seed.encode() + json.dumps(body, sort_keys=True).encode()).digest()
        if int.from_bytes(key[:4], "big") >= percent / 100 * 2**32:
            return None
        name = faults[key[4] % len(faults)]
        return None if name in BAD_TRANSPORT and tries else name

    return fault


@cache
def _code(name: str) -> str:
    return next(code for code in PAPER_LANGUAGES if name.startswith(language(code).name + " "))


def _relation(record: dict[str, str]) -> str:
    """The relation that a record is about; of a translation, the one whose English wording it holds."""
    if "english" in record:
        for relation in all_relations():
            if language("en").question(relation, None, record["english_subject"]) == record["english"]:
                return relation
        return "P17"
    return next(relation.id for relation in all_relations().values() if relation.label == record["relation"])


def question(record: dict[str, str], code: str | None = None) -> str:
    """A valid question about the record, in its language or another."""
    entry = language(code or _code(record["language"]))
    return entry.question(_relation(record), None, record["subject"])


def content(body: dict[str, Any], fault: str | None) -> str:
    """What a model would say."""
    record = json.loads(body["messages"][-1]["content"])
    if "name" in record:
        return {"empty": "", "not_json": "The name is\nunknown", "script": "Ελλάδα 한글"}.get(
            fault or "", record["name"]
        )
    code = _code(record["language"])
    text, answer = question(record), record["answer"]
    if fault == "not_json":
        return f"Certainly! {text}"
    if fault == "list":
        return json.dumps([text, answer])
    if fault == "no_answer_text":
        return json.dumps({"question": text})
    if fault == "twice":
        return f'{{"question": "x", "question": {json.dumps(text)}, "answer_text": {json.dumps(answer)}}}'
    text = {
        "empty": " ",
        "leak": f"{text} {answer}",
        "no_subject": text.replace(record["subject"], "…"),
        "language": question(record, "de" if code != "de" else "fr"),
        "script": f"{text} 한국어",
        "hidden": f"\u202e{text}",
    }.get(fault or "", text)
    answer = {"wrong_answer": record["subject"], "empty_answer": ""}.get(fault or "", answer)
    if fault == "spaced":
        answer = f"  {answer.upper()} "
    content = json.dumps({"question": text, "answer_text": answer}, ensure_ascii=False)
    return {"fence": f"```json\n{content}\n```", "markup": f"<answer>{content}</answer>"}.get(fault or "", content)


def odd_message(text: str, fault: str | None) -> dict[str, Any]:
    """Fields of a message as reasoning models and gateways send them."""
    odd: dict[str, dict[str, Any]] = {
        "null": {"content": None},
        "only_reasoning": {"content": None, "reasoning_content": "Let me think about it."},
        "open_think": {"content": f"<think>\nFirst, {text}"},
        "reasoning": {"reasoning_content": "Let me think about it."},
        "think": {"content": f"<think>\nThe user wants {{}}.\n</think>\n\n{text}"},
        "open_template": {"content": f"The user wants a question.\n</think>\n\n{text}"},
        "parts": {"content": [{"type": "text", "text": text[:9]}, {"type": "text", "text": text[9:]}]},
        "thinking_part": {
            "content": [
                {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]},
                {"type": "text", "text": text},
            ]
        },
    }
    return odd.get(fault or "", {})


@dataclass
class Scripted:
    """What the server does and what it was asked. `answered` counts requests that got a whole answer, by body."""

    fault: Callable[[dict[str, Any], int], str | None] = no_fault
    key: str | None = None
    models_status: int = 200
    delay_s: float = 0.0
    served: str = MODEL
    # Text in a body that is answered with status 400.
    refused: tuple[str, ...] = ()
    tries: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    most_at_once: int = 0
    url: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)
    now: int = 0

    def response(self, body: dict[str, Any], fault: str | None, path: str) -> dict[str, Any]:
        """The body of an answer with status 200."""
        text, finish = content(body, fault), "stop"
        message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None}
        if fault == "length":
            message["content"], finish = text[: len(text) // 2], "length"
        if fault == "refusal":
            message = {"role": "assistant", "content": None, "refusal": "I cannot help with that."}
        message |= odd_message(text, fault)
        tokens = len(json.dumps(body["messages"], ensure_ascii=False)) // 4, len(text) // 3
        usage = {"prompt_tokens": tokens[0], "completion_tokens": tokens[1], "total_tokens": sum(tokens)}
        choices = [] if fault == "no_choices" else [{"index": 0, "message": message, "finish_reason": finish}]
        whole = {"id": "x", "object": "chat.completion", "model": self.served, "choices": choices, "usage": usage}
        if fault in ERRORS_IN_200:
            whole["error"] = {"message": "Provider returned error", "code": ERRORS_IN_200[fault]}
            del whole["choices"]
        return whole

    def begin(self, body: dict[str, Any]) -> tuple[str, str | None]:
        """Notes a request; its digest and what will go wrong."""
        digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
        with self.lock:
            self.now += 1
            self.most_at_once = max(self.most_at_once, self.now)
            fault = self.fault(body, self.tries[digest])
            self.tries[digest] += 1
            self.faults[fault or "none"] += 1
            self.bodies.append(body)
        return digest, fault

    def end(self, digest: str, whole: bool) -> None:
        """Notes that a request was dealt with."""
        with self.lock:
            self.now -= 1
            if whole:
                self.answered[digest] += 1


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    script: Scripted

    def log_message(self, *_: object) -> None:
        pass

    def _send(self, status: int, body: bytes, kind: str = "application/json", **headers: str) -> None:
        lines = {"Content-Type": kind, "Content-Length": str(len(body)), **headers}
        head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in lines.items())
        self.wfile.write(f"HTTP/1.1 {status} X\r\n{head}\r\n".encode() + body)

    def _error(self, status: int, message: str, code: str | None = None, **headers: str) -> None:
        self._send(status, json.dumps({"error": {"message": message, "code": code}}).encode(), **headers)

    def _allowed(self) -> bool:
        given = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if self.script.key is None or given == self.script.key:
            return True
        self._error(401, f"Incorrect API key provided: {given}")
        return False

    def do_GET(self) -> None:
        if self._allowed():
            if self.script.models_status != 200:
                return self._error(self.script.models_status, "no list of models")
            self._send(200, json.dumps({"object": "list", "data": [{"id": self.script.served}]}).encode())
        return None

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self._allowed():
            return
        digest, fault = self.script.begin(body)
        whole = False
        try:
            whole = self._answer(body, fault)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        finally:
            self.script.end(digest, whole)

    def _answer(self, body: dict[str, Any], fault: str | None) -> bool:
        """Sends the answer; whether it was a whole one."""
        if self.script.delay_s:
            time.sleep(self.script.delay_s)
        if fault == "slow":
            time.sleep(3)
        if fault in ("400", "402", "404", "429", "429-after", "429-hour", "500", "503", "quota"):
            headers = {"429-after": {"Retry_After": "1"}, "429-hour": {"Retry_After": "3600"}}.get(fault, {})
            status = 429 if fault == "quota" else int(fault[:3])
            code = "insufficient_quota" if fault == "quota" else None
            self._error(status, f"scripted, key {self.script.key}", code, **headers)
            return False
        refused = next((name for name in self.script.refused if name in json.dumps(body)), None)
        if refused is not None:
            self._error(400, f"Unsupported parameter: {refused}")
            return False
        payload = json.dumps(self.script.response(body, fault, self.path), ensure_ascii=False).encode()
        if fault in ("html", "half", "cut"):
            if fault == "html":
                self._send(200, b"<html>busy</html>", "text/html")
            elif fault == "half":
                self._send(200, payload[: len(payload) // 2])
            else:
                self.wfile.write(f"HTTP/1.1 200 X\r\nContent-Length: {len(payload)}\r\n\r\n".encode() + payload[:20])
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
            return False
        self._send(200, payload)
        return fault != "no_choices"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: object, address: object) -> None:
        """A client that disconnects, killed perhaps, is not an error of the server."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, address)


@contextmanager
def serve(script: Scripted, port: int = 0) -> Iterator[Scripted]:
    """Runs the server on a port of 127.0.0.1, a free one unless told; `script.url` is its base URL."""
    server = _Server(("127.0.0.1", port), type("Handler", (_Handler,), {"script": script}))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    script.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield script
    finally:
        server.shutdown()
        server.server_close()


if __name__ == "__main__":
    with serve(Scripted()) as running:
        print(running.url, flush=True)
        sys.stdin.read()
