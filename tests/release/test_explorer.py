"""The explorer: its facts are those of the release, labels are data, and it works in a browser, on disk and served."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import zlib
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from polyfact_dataset.common.errors import DataError
from polyfact_dataset.release import documents
from polyfact_dataset.release.errata import add_erratum, report_url
from polyfact_dataset.release.explorer import page as explorer
from polyfact_dataset.release.explorer.serve import explorer_files, serving
from polyfact_dataset.release.explorer.space import write_space
from polyfact_dataset.release.reader import config_files, read_release
from polyfact_dataset.release.stats import statistics
from tests.support.command import polyfact
from tests.support.released import copy_of, parallel_rows_of

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SCRIPT = re.compile(r"<script>(.*?)</script>", re.S)


def embedded(html: str, block: str = "facts") -> dict[str, Any]:
    text = re.search(rf'id="{block}">\n(.*?)\n</script>', html, re.S)
    assert text
    return json.loads(zlib.decompress(base64.b64decode(text[1])))


def about(html: str) -> dict[str, Any]:
    text = re.search(r'id="about">(.*?)</script>', html, re.S)
    assert text
    return json.loads(text[1])


# ---------------------------------------------------------------- without a browser
def test_every_held_out_fact_is_embedded(small: Path) -> None:
    payload = embedded((small / "explorer.html").read_text(encoding="utf-8"))
    texts = payload["texts"]
    facts = {fact[0]: fact for fact in payload["facts"]}
    rows = [row for row in parallel_rows_of(small) if row["split"] != "train"]
    assert facts.keys() == {row["fact_id"] for row in rows}
    for row in rows:
        fact = facts[row["fact_id"]]
        assert ["train", "validation", "test"][fact[1]] == row["split"] and fact[3] == row["quality_tier"]
        for code, item in zip(("en", "sw"), fact[11]):
            there = row["translations"][code]
            assert texts[item[0]] == there["question"] and item[5] == there["answer_index"]
            assert [texts[place] for place in item[1:5]] == [there[f"option_{letter}"] for letter in "abcd"]
            assert [texts[place] for place in item[6:10]] == there["option_ids"]
            assert [texts[place] for place in item[10:14]] == there["option_provenance"]


def test_the_first_facts_are_embedded_once_more(small: Path) -> None:
    html = (small / "explorer.html").read_text(encoding="utf-8")
    every, first = embedded(html), embedded(html, "first")
    assert len(first["facts"]) == 50 < len(every["facts"])
    for fact, other in zip(first["facts"], every["facts"]):
        assert fact[:10] == other[:10]
        assert [first["texts"][place] for place in fact[10]] == [every["texts"][place] for place in other[10]]
        for item, same in zip(fact[11], other[11], strict=True):
            texts, others = ([t["texts"][p] for p in (*i[:5], *i[6:])] for t, i in ((first, item), (every, same)))
            assert texts == others and item[5] == same[5]
    assert len(first["texts"]) < len(every["texts"])


def test_scripts_are_those_of_the_policy(small: Path) -> None:
    html = (small / "explorer.html").read_text(encoding="utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)
    assert policy
    for script in SCRIPT.findall(html):
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"&#39;sha256-{digest}&#39;" in policy[1]
    assert "default-src &#39;none&#39;" in policy[1] and "unsafe-eval" not in policy[1]
    assert "MIT License" in html and "hyparquet" in html, "the licences of what is bundled"


def test_the_check_compares_facts_and_not_compressed_bytes(small: Path, tmp_path: Path) -> None:
    copy = copy_of(small, tmp_path / "copy")
    path = copy / "explorer.html"
    html = path.read_text(encoding="utf-8")
    payload = embedded(html)

    def replaced(value: Any, level: int) -> str:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
        data = base64.b64encode(zlib.compress(text, level)).decode()
        return re.sub(r'(id="facts">\n).*?(\n</script>)', lambda m: m[1] + data + m[2], html, flags=re.S)

    path.write_text(replaced(payload, 1), encoding="utf-8")
    documents.check(copy)
    payload["facts"][0][4] += 1
    path.write_text(replaced(payload, 9), encoding="utf-8")
    with pytest.raises(DataError, match="explorer.html does not match"):
        documents.check(copy)
    path.write_text(html.replace('id="facts">\n', 'id="facts">\n!'), encoding="utf-8")
    with pytest.raises(DataError, match=r"explorer.html cannot be read"):
        documents.check(copy)


def test_findings_and_errata_are_shown(small: Path, tmp_path: Path) -> None:
    copy = copy_of(small, tmp_path / "copy")
    row = next(row for row in parallel_rows_of(small) if row["split"] == "test")
    add_erratum(copy, row["fact_id"], "The capital has moved.", "sw", "https://example.org/1")
    html = explorer.page(read_release(copy), statistics(copy))
    assert about(html)["errata"] == {row["fact_id"]: [{"language": "sw", "reason": "The capital has moved."}]}
    assert about(html)["discussions"] == report_url("jvonrad/PolyFact").partition("?")[0]
    assert about(html)["train"]["parallel"] == [
        path.relative_to(small).as_posix() for path in config_files(small, "parallel")["train"]
    ]


def test_text_of_a_release_cannot_end_a_script(small: Path, tmp_path: Path) -> None:
    copy = copy_of(small, tmp_path / "copy")
    row = next(row for row in parallel_rows_of(small) if row["split"] == "test")
    add_erratum(copy, row["fact_id"], "</script><script>alert(1)</script><!--", None, "")
    html = explorer.page(read_release(copy), statistics(copy))
    assert html.count("</script>") == 5 and "alert(1)</script>" not in html
    assert about(html)["errata"][row["fact_id"]][0]["reason"].startswith("</script>")


def request(address: str, path: str, **headers: str) -> tuple[int, bytes]:
    connection = HTTPConnection(urlsplit(address).netloc)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    return answer.status, answer.read()


def test_the_server_gives_ranges_of_the_release_and_nothing_else(small: Path) -> None:
    path = config_files(small, "parallel")["train"][0]
    name, data = path.relative_to(small).as_posix(), path.read_bytes()
    with serving(explorer_files(str(small))) as address:
        assert request(address, "/explorer.html") == (200, (small / "explorer.html").read_bytes())
        assert request(address, f"/{name}", Range="bytes=4-9") == (206, data[4:10])
        assert request(address, f"/{name}", Range=f"bytes={len(data) - 3}-") == (206, data[-3:])
        assert request(address, f"/{name}", Range=f"bytes={len(data)}-")[0] == 416
        for other in ("/../build/manifest.json", "/manifest.json", "/etc/passwd", "/%2e%2e/manifest.json"):
            assert request(address, other)[0] == 404
        assert request(address, "/explorer.html", Host="evil.example")[0] == 404


def test_the_files_of_a_space(small: Path, tmp_path: Path) -> None:
    assert write_space(str(small), tmp_path) == ["README.md", "index.html"]
    head = yaml.safe_load((tmp_path / "README.md").read_text().split("---\n")[1])
    assert head["sdk"] == "static" and head["datasets"] == ["jvonrad/PolyFact"]
    html = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert about(html)["base"] == "https://huggingface.co/datasets/jvonrad/PolyFact/resolve/v1.0.0/"
    assert "connect-src https://huggingface.co" in html
    assert "index.html" in polyfact("space", small, "--out", tmp_path / "again").stdout


# ---------------------------------------------------------------- in a browser
@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed")
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    with playwright.sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


class Page:
    """The explorer in a tab, with what it writes to the console."""

    def __init__(self, browser: Any, address: str, width: int, dark: bool = False) -> None:
        scheme = "dark" if dark else "light"
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        self.tab = context.new_page()
        self.complaints: list[str] = []
        self.tab.on("console", lambda m: self.complaints.append(m.text) if m.type in ("error", "warning") else None)
        self.tab.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.tab.goto(address)
        self.tab.wait_for_selector("body[data-ready]")

    def search(self, text: str) -> None:
        self.tab.fill("#query", text)
        self.tab.wait_for_selector("#list:not([aria-busy])", state="attached")

    @property
    def listed(self) -> list[str]:
        return self.tab.eval_on_selector_all("#list button", "buttons => buttons.map(b => b.dataset.fact)")

    def fits(self) -> bool:
        return self.tab.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 390])
def test_search_in_any_script_and_read_a_fact(browser: Any, sample_build: Path, width: int) -> None:
    release = sample_build / "release"
    rows = [row for row in parallel_rows_of(release) if row["split"] != "train"]
    page = Page(browser, f"file://{release / 'explorer.html'}", width, dark=width == 390)
    for code in ("ar", "bn", "ru", "ja"):
        text = rows[0]["translations"][code]["answer_text"]
        wanted = {
            row["fact_id"]
            for row in rows
            for item in row["translations"].values()
            if any(text in item[name] for name in ("question", "option_a", "option_b", "option_c", "option_d"))
        }
        page.search(text)
        assert page.listed and (wanted <= set(page.listed) or len(page.listed) == 50)
    page.search(rows[0]["fact_id"])
    assert page.listed == [rows[0]["fact_id"]]
    page.tab.click("#list button")
    page.tab.wait_for_selector(".item")
    assert page.tab.locator(".item").count() == 12 and page.tab.locator(".item li.gold").count() == 12
    for code, direction in (("ar", "rtl"), ("bn", "ltr")):
        card = page.tab.locator(f'.item[lang="{code}"]')
        assert card.get_attribute("dir") == direction
        item = rows[0]["translations"][code]
        assert item["question"] in card.inner_text()
        isolated = [item["subject_label"]] if item["subject_label"] in item["question"] else []
        assert card.locator("p bdi").all_inner_texts() == isolated
        gold = card.locator("li.gold").inner_text()
        assert rows[0]["translations"][code]["answer_text"] in gold
    links = page.tab.eval_on_selector_all(".fact a", "links => links.map(l => l.href)")
    assert f"https://www.wikidata.org/wiki/{rows[0]['subject_id']}" in links
    assert any("discussions/new?title=Error%20in%20" in link for link in links)
    assert page.fits() and page.complaints == []


@pytest.mark.browser
def test_filters_keys_and_pages(browser: Any, sample_build: Path) -> None:
    release = sample_build / "release"
    rows = [row for row in parallel_rows_of(release) if row["split"] == "test" and row["property_id"] == "P36"]
    page = Page(browser, f"file://{release / 'explorer.html'}", 1280)
    page.tab.select_option("#split", "test")
    page.tab.select_option("#relation", "P36")
    page.tab.wait_for_function(f"document.getElementById('status').textContent.startsWith('{len(rows)} facts')")
    assert sorted(page.listed) == sorted(row["fact_id"] for row in rows)[:50]
    tier = rows[0]["quality_tier"]
    page.tab.select_option("#tier", tier)
    number = sum(row["quality_tier"] == tier for row in rows)
    page.tab.wait_for_function(f"document.getElementById('status').textContent.startsWith('{number} facts')")
    page.tab.keyboard.press("Escape")
    page.tab.locator("body").press("j")
    first = page.tab.get_attribute('#list button[aria-current="true"]', "data-fact")
    page.tab.keyboard.press("j")
    assert page.tab.get_attribute('#list button[aria-current="true"]', "data-fact") != first
    page.tab.keyboard.press("k")
    assert page.tab.get_attribute('#list button[aria-current="true"]', "data-fact") == first
    page.tab.keyboard.press("/")
    assert page.tab.evaluate("document.activeElement.id") == "query"
    page.tab.click('nav button[data-page="audit"]')
    assert "Accuracy of rules" in page.tab.inner_text("#page")
    page.tab.click('nav button[data-page="leaderboard"]')
    assert "has no results" in page.tab.inner_text("#page")
    assert page.complaints == []


@pytest.mark.browser
def test_train_is_read_by_ranges_where_the_page_is_served(browser: Any, small: Path) -> None:
    row = next(row for row in parallel_rows_of(small) if row["split"] == "train")
    page = Page(browser, f"file://{small / 'explorer.html'}", 1280)
    page.tab.select_option("#split", "train")
    page.tab.wait_for_function("document.getElementById('status').textContent.includes('polyfact explore')")
    with serving(explorer_files(str(small))) as address:
        page = Page(browser, address, 1280)
        page.tab.select_option("#split", "train")
        page.tab.wait_for_function("/^\\d+ facts/.test(document.getElementById('status').textContent)")
        page.search(row["fact_id"])
        assert page.listed == [row["fact_id"]]
        page.tab.click("#list button")
        page.tab.wait_for_selector(".item")
        assert row["translations"]["sw"]["question"] in page.tab.inner_text('.item[lang="sw"]')
        assert page.complaints == []


@pytest.mark.browser
def test_hostile_labels_are_text(browser: Any, small: Path, tmp_path: Path) -> None:
    release = read_release(small)
    payload = explorer.payload(release)
    hostile = '<img src=x onerror="document.title=1"></script><script>document.title=2</script>\u202e'
    payload["texts"] = [hostile + text for text in payload["texts"]]
    html = explorer.page(release, statistics(small))
    data = base64.b64encode(zlib.compress(json.dumps(payload).encode())).decode()
    html = re.sub(r'(id="facts">\n).*?(\n</script>)', lambda match: match[1] + data + match[2], html, flags=re.S)
    (tmp_path / "hostile.html").write_text(html, encoding="utf-8")
    page = Page(browser, f"file://{tmp_path / 'hostile.html'}", 390)
    page.tab.click("#list button")
    page.tab.wait_for_selector(".item")
    assert page.tab.title() == "PolyFact 1.0.0 explorer" and page.tab.locator(".fact img").count() == 0
    assert "onerror" in page.tab.inner_text(".item >> nth=0") and page.fits() and page.complaints == []


def test_a_release_without_its_page_is_rendered_for_the_server(small: Path, tmp_path: Path) -> None:
    copy = copy_of(small, tmp_path / "copy")
    (copy / "explorer.html").unlink()
    files = explorer_files(str(copy))
    assert isinstance(files[""], bytes) and explorer.plain(files[""].decode()) == explorer.plain(
        (small / "explorer.html").read_text(encoding="utf-8")
    )
