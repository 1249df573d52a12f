"""The review page: its session, its HTML, and people who use it in a browser, two at once, one killed half-way."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import requests

from polyfact_dataset.common.errors import ConfigError
from polyfact_dataset.verification.items import Item, load_sample
from polyfact_dataset.verification.page import ReviewSession, SameOriginOnly, item_html
from polyfact_dataset.verification.reviewer_texts import texts_in
from tests.support.command import call
from tests.support.judged import sampled
from tests.support.review_pages import command, review

EVIL = '<img src=x onerror="window.hit=1">${window.hit=2}{{evil}}</p><script>window.hit=3</script>'
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


# ---------------------------------------------------------------- without a browser
def test_the_page_resumes_where_a_reviewer_stopped(tmp_path: Path) -> None:
    folder = sampled(tmp_path)
    session, items = ReviewSession(folder, None), load_sample(folder).of("ar")
    first = session.current("amina", "ar")
    assert (first.item, first.done, first.total) == (items[0], 0, 6)
    second = session.label("amina", "ar", items[0].item, "correct", " a note ")
    assert (second.item, second.done) == (items[1], 1)
    assert ReviewSession(folder, None).current("amina", "ar").item == items[1]
    assert session.current("bilal", "ar").item == items[0] and session.current("amina", "en").done == 0
    back = session.undo("amina", "ar")
    assert (back.item, back.done, back.note) == (items[0], 0, "a note")
    assert session.undo("amina", "ar").item == items[0]


def test_a_click_for_an_item_that_is_not_shown_any_more_does_nothing(tmp_path: Path) -> None:
    folder = sampled(tmp_path)
    session, items = ReviewSession(folder, None), load_sample(folder).of("en")
    session.label("amina", "en", items[0].item, "correct", "")
    again = session.label("amina", "en", items[0].item, "incorrect", "")
    assert (again.item, again.done) == (items[1], 1)
    assert session.label("amina", "en", "gone", "incorrect", "").done == 1


def test_the_end_and_the_first_so_many(tmp_path: Path) -> None:
    folder = sampled(tmp_path)
    session = ReviewSession(folder, 2)
    for item in load_sample(folder).of("bn", 2):
        shown = session.label("amina", "bn", item.item, "ambiguous", "")
    assert shown.item is None and (shown.done, shown.total) == (2, 2)
    with pytest.raises(ConfigError, match="no items in 'xx'"):
        session.current("amina", "xx")


def test_an_item_that_a_reviewer_cannot_judge_is_skipped_and_can_be_undone(tmp_path: Path) -> None:
    folder = sampled(tmp_path)
    session, items = ReviewSession(folder, None), load_sample(folder).of("ar")
    second = session.label("amina", "ar", items[0].item, "unsure", "of whom?")
    assert (second.item, second.done) == (items[1], 1)
    back = session.undo("amina", "ar")
    assert (back.item, back.done, back.note) == (items[0], 0, "of whom?")


def test_every_text_of_an_item_is_escaped() -> None:
    item = Item("Q1|P36|Q2", "ar", "0", "P36", f"{EVIL}؟", (EVIL, "ب", "ج", "د"), 2)
    shown = item_html(item)
    assert "<script" not in shown and "<img" not in shown and 'dir="rtl"' in shown and 'lang="ar"' in shown
    marked = texts_in("ar").words.marked
    assert shown.index(f"✓ {marked}") > shown.index("ج") and shown.count(marked) == 1


def test_names_of_the_other_direction_are_isolated() -> None:
    item = Item("Q1|P57|Q2", "ar", "0", "P57", "من أخرج فيلم «E.T.»؟", ("Warner Bros.", "ب", "ج", "د"), 2)
    shown = item_html(item)
    assert "«<bdi>E.T.</bdi>»" in shown and '<bdi class="text"><bdi>Warner Bros.</bdi></bdi>' in shown


def test_the_page_refuses_what_it_cannot_serve(tmp_path: Path) -> None:
    pytest.importorskip("gradio")
    status, output = call("verify", "review", "--folder", tmp_path)
    assert status == 2 and "contains no sample" in output
    status, output = call("verify", "review", "--folder", sampled(tmp_path), "--language", "xx")
    assert status == 2 and "no items in 'xx'" in output


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("127.0.0.1:7860", None, 200),
        ("127.0.0.1:7860", "http://127.0.0.1:7860", 200),
        ("localhost:7860", "http://localhost:7860", 200),
        # Another site in the same browser, another program on this computer, a file, and a name that was pointed here.
        ("127.0.0.1:7860", "https://evil.example", 403),
        ("127.0.0.1:7860", "http://127.0.0.1:8000", 403),
        ("127.0.0.1:7860", "null", 403),
        ("evil.example:7860", "http://evil.example:7860", 403),
        ("evil.example:7860", None, 403),
        ("127.0.0.1.evil.example", None, 403),
        ("", None, 403),
    ],
)
def test_the_page_answers_itself_alone(host: str, origin: str | None, status: int) -> None:
    sent: list[dict[str, Any]] = []

    async def page(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    headers = [(b"host", host.encode())] + ([(b"origin", origin.encode())] if origin else [])
    asyncio.run(SameOriginOnly(page)({"type": "http", "headers": headers}, None, send))
    assert sent[0]["status"] == status


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A folder, and the address of its page, which asks for reviewer and language."""
    pytest.importorskip("gradio", reason="the extra `review` is not installed")
    folder = sampled(tmp_path_factory.mktemp("served"))
    with command(folder) as (_, url):
        yield folder, url


def test_the_served_page_is_guarded_and_listens_here_alone(served: tuple[Path, str]) -> None:
    _, url = served
    assert requests.get(url, timeout=30).status_code == 200
    for headers in ({"Origin": "https://evil.example"}, {"Host": "evil.example"}):
        assert requests.get(f"{url}config", headers=headers, timeout=30).status_code == 403
    port = int(url.rstrip("/").rpartition(":")[2])
    listening = Path("/proc/net/tcp").read_text() if Path("/proc/net/tcp").exists() else ""
    assert f"00000000:{port:04X}" not in listening


# ---------------------------------------------------------------- in a browser
# The words of an element that are on more than one line.
BROKEN_WORDS = """element => {
  const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT), broken = [];
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    for (const match of node.data.matchAll(/\\S+/g)) {
      const range = document.createRange();
      range.setStart(node, match.index);
      range.setEnd(node, match.index + match[0].length);
      if (new Set([...range.getClientRects()].map((box) => Math.round(box.bottom))).size > 1) broken.push(match[0]);
    }
  }
  return broken;
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    pytest.importorskip("gradio", reason="the extra `review` is not installed")
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium here")
    with playwright.sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield chromium
        chromium.close()


class Reviewer:
    """Somebody at the page."""

    def __init__(self, browser: Any, url: str, name: str, code: str, width: int = 900) -> None:
        self.page = browser.new_context(viewport={"width": width, "height": 1000}).new_page()
        self.elsewhere: list[str] = []
        self.page.on("request", self._note)
        self.page.goto(url)
        if name:
            self.page.locator("#reviewer input, #reviewer textarea").fill(name)
            self.page.locator("#language input").click()
            self.page.get_by_role("option", name=f"({code})").click()
            self.page.locator("#begin").click()
        self.page.locator(".judged, .finished").wait_for()

    def _note(self, request: Any) -> None:
        if not request.url.startswith(("http://127.0.0.1:", "data:", "blob:")):
            self.elsewhere.append(request.url)

    def sees(self, text: str) -> None:
        """Waits until the text is shown."""
        self.page.get_by_text(text, exact=True).first.wait_for()

    def at(self, done: int, total: int = 6) -> None:
        """Waits until so many items are labelled."""
        self.sees(f"{done} / {total}")


def lines(folder: Path, name: str) -> list[dict[str, Any]]:
    text = (folder / "reviews" / f"{name}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.browser
def test_two_reviewers_at_once_by_keys_and_by_buttons(browser: Any, served: tuple[Path, str]) -> None:
    folder, url = served
    items = load_sample(folder).of("ar")
    amina, bilal = Reviewer(browser, url, "amina", "ar"), Reviewer(browser, url, "bilal", "ar")
    for done, (key, button) in enumerate((("1", "ambiguous"), ("2", "correct"), ("3", "incorrect"))):
        amina.sees(items[done].question)
        bilal.sees(items[done].question)
        amina.page.keyboard.press(key)
        bilal.page.locator(f"#{button}").click()
        amina.at(done + 1)
        # On disk before the next item is shown.
        assert len(lines(folder, "amina")) == done + 1
        bilal.at(done + 1)
        assert len(lines(folder, "bilal")) == done + 1
    assert amina.page.locator(".judged").get_attribute("dir") == "rtl"
    assert amina.elsewhere == bilal.elsewhere == []
    # It listens on 127.0.0.1 and on no other address of this machine.
    with socket.socket() as other, pytest.raises(OSError):
        other.connect(("127.0.0.2", int(url.rstrip("/").rpartition(":")[2])))
    # Nor does it answer to another name that was made to lead there.
    with pytest.raises(HTTPError, match="403"):
        urlopen(Request(f"{url}config", headers={"Host": "elsewhere.example"}))
    assert [line["label"] for line in lines(folder, "amina")] == ["correct", "ambiguous", "incorrect"]
    assert [line["label"] for line in lines(folder, "bilal")] == ["ambiguous", "correct", "incorrect"]
    assert [line["item"] for line in lines(folder, "bilal")] == [item.item for item in items[:3]]


@pytest.mark.browser
def test_the_form_is_in_the_language_of_the_browser_then_in_the_chosen_one(browser: Any, tmp_path: Path) -> None:
    with review(sampled(tmp_path)) as url:
        page = browser.new_context(locale="bn-IN", viewport={"width": 390, "height": 1000}).new_page()
        page.goto(url)
        for code in ("bn", "ar"):
            words, name = texts_in(code).words, page.locator("#reviewer input, #reviewer textarea")
            for text in (words.language, words.name, words.begin):
                page.get_by_text(text, exact=True).wait_for()
            page.locator("#begin").click()
            page.locator(".message").get_by_text(words.name_needed).wait_for()
            if code == "bn":
                page.locator("#language input").click()
                page.get_by_role("option", name="(ar)").click()
        assert name.get_attribute("dir") == "rtl" and page.locator("#answers").is_hidden()
        name.fill("amina")
        page.locator("#begin").click()
        page.locator(".judged[lang=ar]").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
    with review(folder := sampled(tmp_path / "again"), code="ar") as url:
        page = browser.new_context().new_page()
        page.goto(url)
        page.get_by_text(texts_in("ar").words.name, exact=True).wait_for()
        assert not (folder / "reviews").exists()
        # What goes wrong later is shown too.
        page.locator("#reviewer input, #reviewer textarea").fill("amina")
        page.locator("#begin").click()
        page.locator(".judged[lang=ar]").wait_for()
        (folder / "reviews").write_text("not a folder")
        page.keyboard.press("1")
        page.locator(".message").get_by_text("reviews").wait_for()
        assert page.locator(".judged[lang=ar]").is_visible()


@pytest.mark.browser
def test_a_phone_shows_whole_words_the_rubric_and_dont_know(browser: Any, tmp_path: Path) -> None:
    folder = sampled(tmp_path)
    path = folder / "sample.parquet"
    rows = pq.read_table(path)
    # The sample with a long marked option, next to which the mark left no room for a whole word.
    long = [{**row, "option_a": "Eastern Caribbean dollar", "answer_index": 0} for row in rows.to_pylist()]
    pq.write_table(pa.Table.from_pylist(long, rows.schema), path)
    with review(folder, code="ar", reviewer="dana") as url:
        dana = Reviewer(browser, url, "", "", width=390)
        page = dana.page
        text = page.locator(".option.marked .text")
        assert text.evaluate(BROKEN_WORDS) == []
        option, mark = text.bounding_box(), page.locator(".mark").bounding_box()
        assert option and mark and mark["y"] >= option["y"] + option["height"] - 1
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        meanings = page.locator(".rubric")
        assert (meanings.get_attribute("lang"), meanings.get_attribute("dir")) == ("ar", "rtl")
        assert texts_in("ar").unsure in meanings.inner_text()
        assert page.locator("#unsure").inner_text() == f"4 · {texts_in('ar').names.unsure}"
        page.keyboard.press("4")
        dana.at(1)
        page.locator("#unsure").click()
        dana.at(2)
    assert [line["label"] for line in lines(folder, "dana")] == ["unsure", "unsure"]


@pytest.mark.slow
@pytest.mark.browser
def test_a_page_killed_half_way_goes_on_where_it_stopped(browser: Any, tmp_path: Path) -> None:
    folder = sampled(tmp_path)
    items = load_sample(folder).of("bn")
    preset = ("--language", "bn", "--reviewer", "carol")
    with command(folder, *preset) as (process, url):
        carol = Reviewer(browser, url, "", "")
        for done in range(3):
            carol.sees(items[done].question)
            carol.page.keyboard.press("1")
            carol.at(done + 1)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        carol.page.keyboard.press("2")
        time.sleep(0.3)
        assert len(lines(folder, "carol")) == 3
    with command(folder, *preset) as (_, url):
        carol = Reviewer(browser, url, "", "")
        carol.at(3)
        for done in range(3, 6):
            carol.sees(items[done].question)
            carol.page.keyboard.press("1")
            carol.at(done + 1)
        carol.sees(texts_in("bn").words.finished.format(total=6))
        # Nothing is left to label, and the keys know it.
        carol.page.keyboard.press("1")
        carol.page.keyboard.press("u")
        carol.at(5)
    labels = [line.get("label", "undo") for line in lines(folder, "carol")]
    assert labels == ["correct"] * 6 + ["undo"]


@pytest.mark.browser
def test_keys_notes_undo_and_hostile_labels(browser: Any, tmp_path: Path) -> None:
    folder = sampled(tmp_path, label=EVIL)
    secret = folder / "judgements"
    secret.mkdir()
    (secret / "judge-1.json").write_text('{"label": "SECRET"}')
    items = load_sample(folder).of("en")
    with review(folder, code="en", reviewer="dora") as url:
        dora = Reviewer(browser, url, "", "")
        page = dora.page
        dora.sees(items[0].question)
        assert EVIL in page.locator(".question").inner_text()
        page.keyboard.press("n")
        page.keyboard.type("132 ünklar u")
        page.keyboard.press("Escape")
        # Two presses before the page can answer, and a key that is held down, are one label.
        page.evaluate(
            "for (const repeat of [false, false, true]) document.body.dispatchEvent("
            "new KeyboardEvent('keydown', {code: 'Digit3', bubbles: true, repeat}))"
        )
        dora.at(1)
        dora.sees(items[1].question)
        time.sleep(0.5)
        (line,) = lines(folder, "dora")
        assert (line["label"], line["note"], line["item"]) == ("incorrect", "132 ünklar u", items[0].item)
        assert page.locator("#note textarea").input_value() == ""
        page.keyboard.press("u")
        dora.at(0)
        dora.sees(items[0].question)
        assert page.locator("#note textarea").input_value() == "132 ünklar u"
        page.keyboard.press("Control+1")
        page.keyboard.press("Numpad2")
        dora.at(1)
        assert page.evaluate("window.hit") is None and "SECRET" not in page.content()
        assert dora.elsewhere == []
    assert [line.get("label", "undo") for line in lines(folder, "dora")] == ["incorrect", "undo", "ambiguous"]
