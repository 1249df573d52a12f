"""Keys of requests, and what is read from responses."""

from __future__ import annotations

import pytest

from polyfact_dataset.llm.protocol import CHAT, RESPONSES, BrokenAnswer, Request, read_answer, without_nulls

BODY = {"model": "m", "messages": [{"role": "user", "content": "Horn"}], "temperature": 0.1, "seed": 1}


def test_a_key_depends_on_all_that_decides_the_answer() -> None:
    key = Request("question", BODY).key
    assert key == Request("other kind", dict(reversed(BODY.items()))).key and len(bytes.fromhex(key)) == 32
    others = [
        Request("question", {**BODY, "model": "n"}),
        Request("question", BODY, revision="r2"),
        Request("question", {**BODY, "messages": [{"role": "user", "content": "horn"}]}),
        Request("question", {**BODY, "temperature": 0.2}),
        Request("question", {**BODY, "seed": 2}),
        Request("question", BODY, endpoint=RESPONSES),
    ]
    assert len({key, *(other.key for other in others)}) == 7


def test_an_identity_takes_the_place_of_the_wording_only() -> None:
    town = Request("label", BODY, identity="sw Q1")
    reworded = {**BODY, "messages": [{"role": "user", "content": "Horn, a town"}]}
    assert town.key == Request("label", reworded, identity="sw Q1").key
    assert town.key != Request("label", BODY, identity="sw Q2").key
    assert town.key != Request("label", {**BODY, "model": "n"}, identity="sw Q1").key


def chat(**message: object) -> dict:
    choice = {"message": {"content": "yes", **message}, "finish_reason": "stop", "logprobs": None}
    usage = {"prompt_tokens": 7, "completion_tokens": 2}
    return {"model": "m-1", "system_fingerprint": "fp", "choices": [choice], "usage": usage}


def test_chat_completions_are_read() -> None:
    answer = read_answer(CHAT, chat())
    assert (answer.text, answer.finish, answer.prompt_tokens, answer.completion_tokens) == ("yes", "stop", 7, 2)
    assert answer.served == "m-1@fp" and "logprobs" not in answer.body["choices"][0]
    assert read_answer(CHAT, answer.body) == answer
    assert read_answer(CHAT, chat(content=None, refusal="No.")).finish == "refusal"
    filtered = chat(content=None)
    filtered["choices"][0]["finish_reason"] = "content_filter"
    assert read_answer(CHAT, filtered).finish == "content_filter"
    assert read_answer(CHAT, {**chat(), "usage": None}).prompt_tokens == 0


def test_responses_are_read() -> None:
    text = {"type": "output_text", "text": "ye", "annotations": [{"type": "url_citation", "url": "https://x.org"}]}
    more = {"type": "output_text", "text": "s", "annotations": []}
    body = {
        "model": "m-1",
        "status": "completed",
        "output": [
            {"type": "web_search_call", "id": "w", "status": "completed"},
            {"type": "message", "content": [text, more]},
        ],
        "usage": {"input_tokens": 9, "output_tokens": 4},
    }
    answer = read_answer(RESPONSES, body)
    assert (answer.text, answer.finish, answer.prompt_tokens, answer.completion_tokens) == ("yes", "stop", 9, 4)
    assert answer.body["output"][1]["content"][0]["annotations"][0]["url"] == "https://x.org"
    cut = {**body, "status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    assert read_answer(RESPONSES, cut).finish == "length"
    refused = {**body, "output": [{"type": "message", "content": [{"type": "refusal", "refusal": "No."}]}]}
    assert read_answer(RESPONSES, refused).finish == "refusal"


@pytest.mark.parametrize(
    "body",
    [
        None,
        "text",
        [],
        {},
        {"choices": []},
        {"choices": [{}]},
        {"choices": [{"message": {"content": None}}]},
        chat(content=3),
    ],
)
def test_what_is_no_answer_is_broken(body: object) -> None:
    with pytest.raises(BrokenAnswer):
        read_answer(CHAT, body)
    with pytest.raises(BrokenAnswer):
        read_answer(RESPONSES, {"output": [], "status": "failed"})


def test_nulls_go_at_any_depth() -> None:
    assert without_nulls({"a": None, "b": [{"c": None, "d": 0}], "e": ""}) == {"b": [{"d": 0}], "e": ""}


def test_an_attempt_is_part_of_the_key_where_there_is_no_seed() -> None:
    body = {name: value for name, value in BODY.items() if name != "seed"}
    keys = {Request("question", body, attempt=attempt).key for attempt in (0, 1)}
    assert len(keys | {Request("question", BODY).key}) == 3 and Request("question", body).key in keys
