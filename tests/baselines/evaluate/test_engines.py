"""Engines: chat templates, reasoning, samples, special tokens, and a server with OpenAI's interface."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs polyfact[eval]")
pytest.importorskip("transformers", reason="needs polyfact[eval]")
pytest.importorskip("openai", reason="needs polyfact[llm]")

from baselines.evaluate import mcq, results  # noqa: E402
from baselines.evaluate import open as open_answers  # noqa: E402
from baselines.evaluate.chat import ChatTemplate, messages, split_thinking  # noqa: E402
from baselines.evaluate.engines import Decoding, Request  # noqa: E402
from baselines.evaluate.engines.api import ApiEngine, option_of  # noqa: E402
from baselines.evaluate.engines.hf import HfEngine  # noqa: E402
from baselines.evaluate.engines.vllm import parse_arguments  # noqa: E402
from baselines.evaluate.scoring import Scorer, encode, pack, start_tokens  # noqa: E402
from baselines.models import Model, load_model  # noqa: E402
from baselines.prompts import Prompt, free_prompt, prompt  # noqa: E402
from polyfact_dataset.common.errors import ConfigError, RetryableError  # noqa: E402
from tests.support import baseline_releases as releases  # noqa: E402

CHAT = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
NO_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}" + CHAT


@pytest.fixture
def model(tiny: Callable[[str], Path]) -> Model:
    return load_model(str(tiny("olmo2")), device="cpu")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    configs = {"clean": {"test": releases.parallel_rows(4)}, "open": {"test": releases.open_rows(4)}}
    return releases.write(tmp_path_factory.mktemp("small"), configs)


# ---------------------------------------------------------------- special tokens


def test_a_tokenizer_that_appends_a_token_changes_nothing(model: Model) -> None:
    """Planted: with the EOS token behind the prompt, every answer was scored after the end of a text."""
    from tokenizers.processors import TemplateProcessing

    asked = [Request("one", "Question: Which city?\nAnswer:", (" Paris", " Rome"))]

    def scores(boundary: str) -> list[float]:
        paths = encode(model.tokenizer, asked, 2048, boundary).paths  # type: ignore[arg-type]
        return [one.logprob for one in Scorer(model, "packed").score(pack(paths), ["one"])]

    engine = HfEngine(model)
    before = {boundary: scores(boundary) for boundary in ("lm_eval", "exact")}
    answer = [one.text for _, _, one in engine.answer_job(asked, Decoding(6)).run(range(1))]
    end = model.tokenizer.eos_token
    model.tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"$A {end}", special_tokens=[(end, model.tokenizer.eos_token_id)]
    )
    assert model.tokenizer("a")["input_ids"][-1] == model.tokenizer.eos_token_id and start_tokens(model.tokenizer) == []
    assert {boundary: scores(boundary) for boundary in before} == before
    assert [one.text for _, _, one in engine.answer_job(asked, Decoding(6)).run(range(1))] == answer


def test_whole_texts_are_scored_from_the_second_token(model: Model) -> None:
    """An empty prompt: the mean over the tokens is BMLAMA's cross-entropy."""
    texts = ("Paris is a city.", "Rome is a city.")
    encoding = encode(model.tokenizer, [Request("one", "", texts)], 2048, "exact")
    found = sorted(Scorer(model, "packed").score(pack(encoding.paths), ["one"]), key=lambda one: one.path.number)
    for text, scored in zip(texts, found):
        ids = torch.tensor([model.tokenizer(text)["input_ids"]])
        loss = model.network(ids, labels=ids).loss.detach()
        assert scored.logprob / scored.path.scored == pytest.approx(-float(loss), abs=1e-4)


# ---------------------------------------------------------------- chat


def test_the_instruction_is_the_system_message_where_there_is_one(model: Model) -> None:
    asked = prompt("paper", "en", "Which city?")
    model.tokenizer.chat_template = CHAT
    rendered = ChatTemplate(model.tokenizer).render(asked)
    assert rendered.text.startswith(
        "<|system|>Answer the following question in English.\n<|user|>Question: Which city?"
    )
    assert rendered.text.endswith("<|assistant|>") and rendered.separator == ""
    model.tokenizer.chat_template = NO_SYSTEM
    rendered = ChatTemplate(model.tokenizer).render(asked)
    assert rendered.text.startswith("<|user|>Answer the following question in English.\nQuestion: Which city?")
    model.tokenizer.chat_template = None
    with pytest.raises(ConfigError, match="--chat: the tokenizer has no chat template"):
        ChatTemplate(model.tokenizer)


@pytest.mark.parametrize("style", ["paper", "letters", "choose"])
@pytest.mark.parametrize("code", ["en", "ja", "ar"])
def test_no_word_is_lost_between_prompt_and_messages(style: str, code: str) -> None:
    asked = prompt(style, code, "question?", ("1", "2", "3", "4"))  # type: ignore[arg-type]
    found = messages(asked.instruction, asked.text, system=True)
    assert [one["role"] for one in found] == ["system", "user"]
    assert "\n".join(one["content"] for one in found) == asked.text
    assert free_prompt(code, "question?").instruction in free_prompt(code, "question?").text
    assert messages("", "only", system=True) == [{"role": "user", "content": "only"}]


@pytest.mark.parametrize(
    ("text", "thinking", "answer"),
    [
        ("Paris", "", "Paris"),
        ("<think>Is it Rome?\nNo.</think>\nParis", "<think>Is it Rome?\nNo.</think>", "\nParis"),
        ("Is it Rome?</think>Paris", "Is it Rome?</think>", "Paris"),  # opened by the template
        ("<think>never closed", "<think>never closed", ""),
        ("[THINK]x[/THINK]Paris", "[THINK]x[/THINK]", "Paris"),
        ("a </think> b </think> c", "a </think> b </think>", " c"),
    ],
)
def test_reasoning_is_stripped(text: str, thinking: str, answer: str) -> None:
    assert split_thinking(text) == (thinking, answer)


def test_reasoning_is_counted_in_tokens(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    say = model.tokenizer("<think>Rome?\nNo.</think>\nParis\nmore", add_special_tokens=False)["input_ids"]
    size = model.network.get_output_embeddings().weight.shape[0]
    steps: list[int] = []

    def hook(network: Any, arguments: Any, output: Any) -> Any:
        token = say[len(steps)] if len(steps) < len(say) else model.tokenizer.eos_token_id
        output.logits[:, -1] = torch.nn.functional.one_hot(torch.tensor(token), size).float() * 9
        steps.append(1)
        return output

    model.network.register_forward_hook(hook)
    job = HfEngine(model).answer_job([Request("one", "A", ())], Decoding(8, thinking="strip", thinking_tokens=64))
    ((_, _, answer),) = job.run(range(1))
    thinking = model.tokenizer("<think>Rome?\nNo.</think>", add_special_tokens=False)["input_ids"]
    assert answer.text == "Paris" and answer.thinking_tokens == len(thinking)
    assert answer.tokens == len(say) + 1 - len(thinking)


# ---------------------------------------------------------------- samples and log-probabilities


def test_samples_are_seeded_and_greedy_answers_have_their_log_probability(model: Model) -> None:
    asked = [Request(str(n), f"Question {n}?\nAnswer:", ()) for n in range(3)]
    job = HfEngine(model).answer_job(asked, Decoding(4, samples=5, temperature=1.5))
    first, again = (list(job.run(range(3))) for _ in range(2))
    assert first == again and len(first) == 15 and {sample for _, sample, _ in first} == set(range(5))
    assert len({answer.text for number, _, answer in first if number == 0}) > 1
    ((_, _, answer),) = HfEngine(model).answer_job(asked[:1], Decoding(4)).run(range(1))
    ids = model.tokenizer(asked[0].prompt)["input_ids"]
    total = 0.0
    for _ in range(answer.tokens or 0):
        with torch.inference_mode():
            logprobs = model.network(torch.tensor([ids])).logits[0, -1].log_softmax(-1)
        total += float(logprobs.max())
        ids.append(int(logprobs.argmax()))
    assert answer.logprob == pytest.approx(total, abs=1e-3)


def test_samples_and_declines_in_a_result(small: Path, tiny: Callable[[str], Path], tmp_path: Path) -> None:
    output = tmp_path / "o.json"
    options = {"samples": 3, "temperature": 1.0, "new_tokens": 4, "device": "cpu", "quiet": True, "config": "open"}
    open_answers.main(model=str(tiny("qwen2")), output=output, dataset=str(small), **options)  # type: ignore[arg-type]
    result = results.load_result(output)
    assert result.scores.rows == 4 * 3 * 3 and result.settings["samples"] == 3
    measured = result.metrics["measures"]
    assert {"net_score", "accuracy_attempted", "declined", "answer_ece"} <= measured.keys()
    with pytest.raises(ConfigError, match="--samples needs --temperature above 0"):
        open_answers.main(model="x", output=tmp_path / "p.json", dataset=str(small), samples=2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "tgi"}, "--engine 'tgi' is unknown; known are hf, vllm, openai"),
        ({"base_url": "http://x"}, "--base-url is for --engine openai"),
        ({"engine_args": "a=1"}, "--engine-args is for --engine vllm"),
    ],
)
def test_engine_options(small: Path, tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        mcq.main(model="x", output=tmp_path / "r.json", dataset=str(small), **options)


def test_arguments_of_vllm() -> None:
    assert parse_arguments("max_model_len=512,enforce_eager=true,swap=0.5,kind=x") == {
        "max_model_len": 512,
        "enforce_eager": True,
        "swap": 0.5,
        "kind": "x",
    }
    with pytest.raises(ConfigError, match="'oops' is not key=value"):
        parse_arguments("oops")


# ---------------------------------------------------------------- a server


class Server(ThreadingHTTPServer):
    """Answers like OpenAI's interface. `echo` and `logprobs` say what it supports; it knows that Paris is right."""

    echo = True
    logprobs = True
    status = 200

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server = self.server
        if server.status != 200 or (body.get("echo") and not server.echo):
            return self._send(server.status if server.status != 200 else 400, {"error": {"message": "unsupported"}})
        chat = self.path.endswith("/chat/completions")
        text = body["messages"][-1]["content"] if chat else body["prompt"]
        if body.get("echo"):
            return self._send(200, self._echoed(text))
        answer = self._answer(text)
        top = {answer: -0.1, f" {answer}": -3.0, "B" if answer != "B" else "C": -2.5}
        choices = [self._choice(chat, answer, top if server.logprobs else None, n) for n in range(body.get("n", 1))]
        self._send(200, {"id": "1", "object": "x", "created": 0, "model": "m", "choices": choices})

    def _answer(self, text: str) -> str:
        lines = [line for line in text.splitlines() if line[1:3] == ". "]
        letter = next((line[0] for line in lines if line.endswith(("Paris", "パリ"))), None)
        return letter or "Paris"

    def _echoed(self, text: str) -> dict[str, Any]:
        offsets = [0, *(n for n, char in enumerate(text) if char == " ")]
        values = [None, *(-0.5 if text[n:].strip().startswith("Paris") else -2.0 for n in offsets[1:])]
        logprobs = {
            "text_offset": [*offsets, len(text)],
            "token_logprobs": [*values, -9.0],
            "tokens": [],
            "top_logprobs": [],
        }
        choice = {"index": 0, "text": text + " x", "finish_reason": "length", "logprobs": logprobs}
        return {"id": "1", "object": "x", "created": 0, "model": "m", "choices": [choice]}

    def _choice(self, chat: bool, answer: str, top: dict[str, float] | None, number: int) -> dict[str, Any]:
        if chat:
            entries = [{"token": token, "logprob": value, "bytes": None} for token, value in (top or {}).items()]
            content = [{**entries[0], "top_logprobs": entries}] if top else None
            logprobs = {"content": content, "refusal": None} if top else None
            message = {"role": "assistant", "content": answer}
            return {"index": number, "message": message, "finish_reason": "stop", "logprobs": logprobs}
        logprobs = (
            {"token_logprobs": [-0.1], "top_logprobs": [top], "tokens": [answer], "text_offset": [0]} if top else None
        )
        return {"index": number, "text": answer, "finish_reason": "stop", "logprobs": logprobs}

    def _send(self, status: int, value: dict[str, Any]) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    yield running
    running.shutdown()
    running.server_close()
    thread.join()


def ask(server: Server, small: Path, output: Path, **options: Any) -> results.Result:
    mcq.main(model="m", output=output, dataset=str(small), engine="openai", base_url=server.url, quiet=True, **options)
    return results.load_result(output)


def test_an_api_by_the_prompts_own_log_probabilities(server: Server, small: Path, tmp_path: Path) -> None:
    result = ask(server, small, tmp_path / "r.json", prompt="plain", languages="en,de")
    assert result.settings["scored_by"] == "echo" and result.settings["engine"] == "openai"
    rows = results.load_scores(tmp_path / "r.json", result).to_pylist()
    by_name = {row["name"]: row["logprob"] for row in rows if row["language"] == "en"}
    assert by_name["Paris"] == -0.5 and by_name["Rome"] == -2.0 and {row["tokens"] for row in rows} == {1}
    assert result.metrics["sum"]["accuracy"]["en"] == 0.25  # Paris, every time, and it is the gold of one fact in four


@pytest.mark.parametrize("chat", [False, True])
def test_an_api_by_the_first_token(server: Server, small: Path, tmp_path: Path, chat: bool) -> None:
    server.echo = False
    result = ask(server, small, tmp_path / "r.json", prompt="letters", chat=chat, languages="en,ja")
    assert result.settings["scored_by"] == "top_logprobs" and result.settings["chat"] is chat
    rows = results.load_scores(tmp_path / "r.json", result).to_pylist()
    first = {row["name"]: row["logprob"] for row in rows if row["language"] == "en"}
    assert first["A"] == pytest.approx(math.log(math.exp(-0.1) + math.exp(-3.0))) and first["B"] == -2.5
    assert first["D"] == -3.0  # not among the likeliest: at most as likely as the last of them
    assert result.metrics["sum"]["accuracy"] == {"en": 0.25, "ja": 0.25}


@pytest.mark.parametrize("style", ["letters", "choose"])
def test_an_api_without_log_probabilities(server: Server, small: Path, tmp_path: Path, style: str) -> None:
    server.echo = server.logprobs = False
    result = ask(server, small, tmp_path / "r.json", prompt=style, chat=True, languages="en,ja")
    assert result.settings["scored_by"] == "answer"
    rows = results.load_scores(tmp_path / "r.json", result).to_pylist()
    paris = [row["logprob"] for row in rows if row["option_id"] == "Q1"]
    assert paris == pytest.approx([math.log(1.25 / 2)] * 8) and "token" not in result.metrics
    assert result.counts == {"no_option": 0}


def test_open_answers_of_an_api(server: Server, small: Path, tmp_path: Path) -> None:
    output = tmp_path / "o.json"
    options = {"engine": "openai", "base_url": server.url, "chat": True, "config": "open", "quiet": True}
    open_answers.main(model="m", output=output, dataset=str(small), languages="en", **options)  # type: ignore[arg-type]
    result = results.load_result(output)
    assert result.metrics["languages"]["en"]["exact"] == 0.25 and result.model["server"] == server.url.removesuffix(
        "/v1"
    )


def test_errors_of_a_server(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = [Request("one", "Question?", (" A", " B", " C", " D"))]
    engine = ApiEngine.connect("m", server.url, chat=True)
    engine.client = engine.client.with_options(max_retries=0)
    server.status = 503
    with pytest.raises(RetryableError, match=f"{server.url.removesuffix('/v1')}: .*run the same command again"):
        list(engine.answer_job(asked, Decoding(4)).run(range(1)))
    server.status = 401
    with pytest.raises(ConfigError, match=server.url.removesuffix("/v1")):
        list(engine.answer_job(asked, Decoding(4)).run(range(1)))


@pytest.mark.parametrize(
    ("answer", "option"),
    [
        ("Rome", 1),
        ("ROME.", 1),
        ("B", 1),
        ("B.", 1),
        ("B. Rome", 1),
        ("b) Rome", 1),
        ("B. Paris", None),
        ("Oslo", None),
        ("", None),
    ],
)
def test_the_option_that_an_answer_names(answer: str, option: int | None) -> None:
    assert option_of(answer, ("Paris", "Rome", "Vienna", "Cairo")) == option
    assert option_of("B", (" A", " B", " C", " D")) == 1 and option_of("x", (" x", "x")) is None


def test_prompts_are_rendered_once(model: Model) -> None:
    assert HfEngine(model).render(Prompt("a", " ")) == Prompt("a", " ")
