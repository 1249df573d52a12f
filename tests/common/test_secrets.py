"""Keys are checked before use, and appear in no text that is shown or stored."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from polyfact_dataset.common.errors import ConfigError
from polyfact_dataset.common.files import write_json, write_text
from polyfact_dataset.common.progress import Log
from polyfact_dataset.common.secrets import bare_url, hub_token, redacted, redacted_json, shown_address, usable_key
from polyfact_dataset.config.models import LlmConfig
from polyfact_dataset.llm.cache import Cache, Sent
from polyfact_dataset.llm.protocol import CHAT, Request, read_answer, rejection
from tests.support.command import polyfact
from tests.support.llm_server import Scripted, serve

KEY = "sk-KeyThatIsRepeated"


@pytest.mark.parametrize(
    "value", [f"{KEY}\nX: y", f"{KEY}\x00", f"{KEY} two", f"{KEY}é", "日本語のかぎかぎ", f"{KEY}\x7f"]
)
def test_a_key_that_fits_no_header_is_refused_and_not_shown(value: str) -> None:
    with pytest.raises(ConfigError, match="the variable contains a space, a control character") as caught:
        usable_key(value, "the variable")
    assert KEY not in str(caught.value) and "日本" not in str(caught.value)


def test_a_key_is_trimmed_and_known() -> None:
    assert usable_key(f" {KEY}\r\n", "it") == KEY and usable_key("\n", "it") == ""
    assert redacted(f"Bearer {KEY}.") == "Bearer ***."
    assert redacted_json({KEY: [KEY, 1, None]}) == {"***": ["***", 1, None]}
    # What a local server takes for a key is a word.
    assert usable_key("EMPTY", "it") == "EMPTY" and redacted("EMPTY") == "EMPTY"


def test_of_two_keys_none_is_left_in_part() -> None:
    usable_key("sk-begins-alike", "it")
    usable_key("sk-begins-alike-and-goes-on", "it")
    assert redacted("sk-begins-alike-and-goes-on sk-begins-alike") == "*** ***"


def test_what_is_written_holds_no_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    usable_key(KEY, "it")
    write_json(tmp_path / "a.json", {"x": f"a {KEY} b"})
    write_text(tmp_path / "a.txt", KEY)
    Log().line(f"the server repeats {KEY}")
    assert json.loads((tmp_path / "a.json").read_text()) == {"x": "a *** b"}
    assert (tmp_path / "a.txt").read_text() == "***" and KEY not in capsys.readouterr().err


def test_an_answer_that_repeats_the_key_is_stored_without_it(tmp_path: Path) -> None:
    usable_key(KEY, "it")
    body = {"model": KEY, "choices": [{"message": {"content": f"my key is {KEY}"}, "finish_reason": "stop"}]}
    answer = read_answer(CHAT, body)
    assert answer.text == "my key is ***" and rejection(400, f"no {KEY}").text == "no ***"
    request = Request("question", {"model": "m", "messages": []})
    with Cache(tmp_path / "cache.sqlite") as cache:
        cache.put(Sent.of(request), answer)
        assert cache.get(request) == answer
    assert KEY.encode() not in b"".join(path.read_bytes() for path in tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"hf_\xff\xfeabcdefgh", "hf_tökenistnichtascii".encode(), b"hf_with a space"])
def test_a_token_of_the_hub_that_is_not_ascii_is_refused(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "token"
    path.write_bytes(content)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(path))
    with pytest.raises(ConfigError, match="the token of the Hub"):
        hub_token()


@pytest.mark.parametrize("words", [("push", "RELEASE", "--repo", "a/sample"), ("stats", "somebody/PolyFact")])
def test_commands_refuse_such_a_token_in_one_line(
    words: tuple[str, ...], small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_é")
    done = polyfact(*(small if word == "RELEASE" else word for word in words), check=False)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "the token of the Hub" in done.stderr


@pytest.mark.parametrize(
    "url",
    ["http://h/v1#sk-fragment", "http://h:sk-port/v1", "http://[sk-host/v1", "http://h/v1\tsk", "http://sk-u＠h/v1"],
)
def test_an_odd_address_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(ValueError, match="^it (is not an address|contains)") as caught:
        bare_url(url)
    assert "sk" not in str(caught.value).replace("risk", "")
    with pytest.raises(ValueError) as refused:
        LlmConfig(base_url=url)
    assert "put a key into the variable" in str(refused.value)


def test_an_address_is_shown_as_scheme_and_host() -> None:
    assert shown_address("https://host:8000/v1/sk-in-the-path;sk=1") == "https://host:8000"


def test_messages_of_an_endpoint_show_neither_key_nor_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each command has a key that this process does not know yet."""
    first, second, third = (f"sk-KeyOfTheEndpoint{name}" for name in ("First", "Second", "Third"))
    config = tmp_path / "polyfact.toml"
    config.write_text('languages = ["en", "sw"]\nfacts = 60\nrelations = ["P36"]\n[candidates]\nmin_languages = 2\n')
    asked = ("questions", "--config", config, "--questions", "model", "--model", "m", "--base-url")
    monkeypatch.setenv("OPENAI_API_KEY", f"{first}\n")
    with serve(Scripted(key="another")) as server:
        done = polyfact(*asked, f"{server.url}/{first}-path", "--out", tmp_path / "a", check=False)
        assert done.returncode == 2 and first not in done.stdout + done.stderr and server.url[:-3] in done.stderr
    monkeypatch.setenv("OPENAI_API_KEY", f"{second}\x01")
    done = polyfact(*asked, "http://127.0.0.1:9/v1", "--out", tmp_path / "a", check=False)
    assert done.returncode == 2 and second not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("polyfact: the environment variable OPENAI_API_KEY contains")
    # A key that was given as the name of its variable.
    monkeypatch.delenv("OPENAI_API_KEY")
    config.write_text(f"{config.read_text()}[llm]\napi_key_env = 'sk_{third[3:]}'\n")
    with serve(Scripted(key="another")) as server:
        done = polyfact(*asked, server.url, "--out", tmp_path / "a", check=False)
    assert done.returncode in (1, 2) and third[3:] not in done.stderr
