"""Batch files: the rules of the published format, and answers in any shape."""

from __future__ import annotations

import codecs
import json
import random
from pathlib import Path

import pytest
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming
from pydantic import TypeAdapter

from polyfact_dataset.common.errors import ConfigError, DataError
from polyfact_dataset.llm.batch import Shards, read_answers
from polyfact_dataset.llm.cache import Cache
from polyfact_dataset.llm.prompts import load
from polyfact_dataset.llm.protocol import RESPONSES, Request
from polyfact_dataset.questions.generation import PROMPTS


def request(number: int) -> Request:
    record = {"language": "Bengali (বাংলা)", "subject": f"লিমা\u2028{number}", "answer": 'a "quoted" name'}
    return Request("question", load(PROMPTS / "question.toml").body("m", record, seed=number))


def written(tmp_path: Path, cache: Cache, count: int, **limits: int) -> list[Path]:
    shards = Shards(tmp_path / "shards", cache, **{"max_requests": 50_000, "max_bytes": 200_000_000, **limits})
    for number in range(count):
        shards.add(request(number))
    assert shards.written == count
    return shards.close()


def check_format(paths: list[Path]) -> list[dict]:
    """The rules for an input file of a batch; the lines of all files."""
    everything = []
    for path in paths:
        data = path.read_bytes()
        assert len(data) <= 200_000_000 and data.endswith(b"\n") and not data.startswith(b"\xef\xbb\xbf")
        lines = [json.loads(line) for line in data.decode("utf-8").split("\n")[:-1]]
        assert 1 <= len(lines) <= 50_000
        assert all(set(line) == {"custom_id", "method", "url", "body"} for line in lines)
        assert all(line["method"] == "POST" and line["url"] == "/v1/chat/completions" for line in lines)
        assert len({line["custom_id"] for line in lines}) == len(lines)
        assert all(isinstance(line["custom_id"], str) and len(line["custom_id"]) <= 64 for line in lines)
        assert len({line["body"]["model"] for line in lines}) == 1
        for line in lines:
            TypeAdapter(CompletionCreateParamsNonStreaming).validate_python(line["body"])
            assert "stream" not in line["body"]
        everything += lines
    assert len({line["custom_id"] for line in everything}) == len(everything)
    return everything


def test_files_keep_the_rules_of_the_format(tmp_path: Path) -> None:
    with Cache(tmp_path / "c.sqlite") as cache:
        paths = written(tmp_path, cache, 25, max_requests=10)
        assert [path.name for path in paths] == [f"requests-{number:05}.jsonl" for number in (1, 2, 3)]
        lines = check_format(paths)
        assert [line["body"] for line in lines] == [request(number).body for number in range(25)]
        assert all(cache.waits(request(number)) for number in range(25))


def test_a_file_is_bounded_in_bytes(tmp_path: Path) -> None:
    with Cache(tmp_path / "c.sqlite") as cache:
        paths = written(tmp_path, cache, 12, max_bytes=10_000)
        assert len(paths) > 2 and all(path.stat().st_size <= 10_000 for path in paths)
        assert len(check_format(paths)) == 12
        assert written(tmp_path / "none", cache, 0) == []


def test_a_folder_with_batch_files_is_left_alone(tmp_path: Path) -> None:
    with Cache(tmp_path / "c.sqlite") as cache:
        written(tmp_path, cache, 1)
        with pytest.raises(ConfigError, match="already contains batch files"):
            written(tmp_path, cache, 1)


def output(number: int, status: int = 200, **changes: object) -> dict:
    choice = {"message": {"role": "assistant", "content": f"said {number}"}, "finish_reason": "stop"}
    body = {"model": "m", "choices": [choice], "usage": {"prompt_tokens": 5, "completion_tokens": 2}}
    response = {"status_code": status, "request_id": "r", "body": body if status == 200 else None}
    error = None if status == 200 else {"message": f"error {status}", "code": status}
    return {"id": f"b{number}", "custom_id": request(number).key, "response": response, "error": error, **changes}


def write(path: Path, lines: list[dict | str]) -> Path:
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def test_answers_come_in_any_order_whole_or_partial(tmp_path: Path) -> None:
    with Cache(tmp_path / "c.sqlite") as cache:
        written(tmp_path, cache, 30)
        lines = [output(number) for number in range(30)]
        random.Random(1).shuffle(lines)
        some = write(tmp_path / "a.out", lines[:10])
        assert read_answers([some], cache).counts == {"answered": 10}
        rest = write(tmp_path / "b.out", lines[5:])
        assert read_answers([rest, some], cache).counts == {"answered": 20, "known": 15}
        assert [cache.get(request(number)).text for number in range(30)] == [f"said {n}" for n in range(30)]


def test_what_is_no_answer_is_counted_and_named(tmp_path: Path) -> None:
    with Cache(tmp_path / "c.sqlite") as cache:
        written(tmp_path, cache, 9)
        path = write(
            tmp_path / "a.out",
            [
                output(0),
                output(1, 500),
                output(2, response=None, error={"code": "batch_expired", "message": "expired"}),
                output(3, 400),
                output(4, 200, response={"status_code": 200, "body": {"choices": []}}),
                {**output(5), "custom_id": "a" * 64},
                {**output(5), "custom_id": "mine-17"},
                {**output(5), "custom_id": 17},
                "[1, 2]",
                "",
                json.dumps(output(6))[:-40],
            ],
        )
        intake = read_answers([path], cache)
        expected = {"answered": 1, "to_ask_again": 2, "rejected": 1, "unknown": 2, "broken": 4}
        assert intake.counts == expected
        assert [line.partition(": ")[0] for line in intake.broken] == [f"{path} line {n}" for n in (5, 8, 9, 11)]
        assert cache.get(request(3)).text == "error 400"
        assert [cache.waits(request(number)) for number in (1, 2, 6)] == [False, False, True]
        late = write(tmp_path / "b.out", [output(1)])
        assert read_answers([late], cache).counts == {"answered": 1}


def test_nothing_is_stored_when_all_is_rejected(tmp_path: Path) -> None:
    with Cache(tmp_path / "c.sqlite") as cache:
        written(tmp_path, cache, 3)
        path = write(tmp_path / "a.out", [output(number, 400) for number in range(3)])
        with pytest.raises(DataError, match="all of 3 requests were rejected, the first with status 400: error 400"):
            read_answers([path], cache)
        assert cache.get(request(0)) is None
        with pytest.raises(DataError, match="cannot be read"):
            read_answers([tmp_path / "missing"], cache)


def test_responses_travel_the_same_way(tmp_path: Path) -> None:
    judged = Request("judge", {"model": "gpt", "input": "x", "tools": [{"type": "web_search"}]}, endpoint=RESPONSES)
    content_item = {"type": "message", "content": [{"type": "output_text", "text": "correct"}]}
    with Cache(tmp_path / "c.sqlite") as cache:
        shards = Shards(tmp_path / "shards", cache, max_requests=10, max_bytes=10_000)
        shards.add(judged)
        (path,) = shards.close()
        line = json.loads(path.read_text())
        assert line["url"] == "/v1/responses" and line["body"] == judged.body
        response = {"status_code": 200, "body": {"model": "gpt", "output": [content_item], "status": "completed"}}
        write(tmp_path / "a.out", [{"custom_id": line["custom_id"], "response": response, "error": None}])
        read_answers([tmp_path / "a.out"], cache)
        assert cache.get(judged).text == "correct"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le-bom", "utf-16-be-bom"])
def test_files_of_windows_tools_are_read(encoding: str, tmp_path: Path) -> None:
    marks = {"utf-16-le-bom": ("utf-16-le", codecs.BOM_UTF16_LE), "utf-16-be-bom": ("utf-16-be", codecs.BOM_UTF16_BE)}
    name, mark = marks.get(encoding, (encoding, b""))
    with Cache(tmp_path / "c.sqlite") as cache:
        written(tmp_path, cache, 5)
        lines = [output(number) for number in range(5)]
        lines[0]["response"]["body"]["choices"][0]["message"]["content"] = "ঢাকা \U0001f600\u2028 日本"
        text = "".join(json.dumps(line, ensure_ascii=False) + "\r\n" for line in lines)
        (tmp_path / "a.out").write_bytes(mark + text.encode(name))
        assert read_answers([tmp_path / "a.out"], cache).counts == {"answered": 5}
        assert cache.get(request(0)).text == "ঢাকা \U0001f600\u2028 日本"


def test_a_file_in_another_encoding_is_refused_by_name(tmp_path: Path) -> None:
    with Cache(tmp_path / "c.sqlite") as cache:
        written(tmp_path, cache, 1)
        text = json.dumps(output(0)) + "\n"
        (tmp_path / "a.out").write_bytes(text.encode("utf-16-le"))
        with pytest.raises(DataError, match=r"a\.out is neither UTF-8 nor UTF-16 with a byte-order mark"):
            read_answers([tmp_path / "a.out"], cache)
        (tmp_path / "a.out").write_bytes(codecs.BOM_UTF16_LE + text.encode("utf-16-le")[:-1])
        with pytest.raises(DataError, match=r"a\.out is damaged UTF-16"):
            read_answers([tmp_path / "a.out"], cache)
        (tmp_path / "a.out").write_bytes(b"")
        assert read_answers([tmp_path / "a.out"], cache).counts == {}


def test_errors_in_a_200_of_a_batch(tmp_path: Path) -> None:
    def failed(number: int, code: object) -> dict:
        body = {"error": {"message": "Provider returned error", "code": code}}
        return output(number, response={"status_code": 200, "body": body})

    with Cache(tmp_path / "c.sqlite") as cache:
        written(tmp_path, cache, 4)
        path = write(tmp_path / "a.out", [output(0), failed(1, 502), failed(2, 400), failed(3, "overloaded")])
        assert read_answers([path], cache).counts == {"answered": 1, "to_ask_again": 2, "rejected": 1}
        assert cache.get(request(2)).text == "Provider returned error" and cache.get(request(1)) is None
