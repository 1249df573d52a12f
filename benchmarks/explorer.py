"""The explorer of a large release in headless Chromium, opened from disk: its size, and the time to the first results.

    python -m benchmarks.explorer build/release --facts 100000 --folder loading

makes validation and test of a synthetic release (or uses those in the folder), embeds them in the page of a real
release, and prints a Markdown table: the size of the page, the time from opening it to the first fact, and from the
last key of a search to its first result and to its end. Every time is the median of `--runs` tabs.
"""

from __future__ import annotations

import argparse
import base64
import json
import shutil
import statistics
import zlib
from pathlib import Path
from typing import Any

import pyarrow as pa

from benchmarks.measure import machine
from benchmarks.synthetic import release
from polyfact_dataset.catalog.language import PAPER_LANGUAGES
from polyfact_dataset.common.files import write_parquet
from polyfact_dataset.release.explorer import page
from polyfact_dataset.release.reader import Release, read_release
from polyfact_dataset.release.stats import read_statistics

# Milliseconds until something is true on the page, by the page's clock: at the first frame that shows it.
_UNTIL = """(condition) => new Promise((resolve) => {
  const holds = new Function(`return (${condition})`);
  const look = () => (holds() ? resolve(performance.now()) : requestAnimationFrame(look));
  look();
})"""
_TYPE = """(text) => {
  const query = document.getElementById("query");
  window.previous = document.querySelector("#list button");
  query.value = text;
  query.dispatchEvent(new Event("input", { bubbles: true }));
  return performance.now();
}"""
FIRST = 'document.querySelector("#list button")'
# Another entry than before the search, whose list is kept until it begins.
NEW = f"{FIRST} && {FIRST} !== window.previous"
DONE = '!document.getElementById("list").hasAttribute("aria-busy")'


def synthetic_release(folder: Path, facts: int) -> Release:
    """A release of so many facts with its held-out splits alone: train is not part of the page."""
    files = {split: [f"data/parallel/{split}.parquet"] for split in page.EMBEDDED}
    if not all((folder / path).is_file() for paths in files.values() for path in paths):
        rows, splits = release(facts, splits=page.EMBEDDED)["parallel"]
        for split, (path,) in files.items():
            write_parquet(folder / path, rows.filter(pa.array(splits == split)), 1000)
    manifest: dict[str, Any] = {"build": {"config": {"languages": list(PAPER_LANGUAGES)}}}
    manifest["configs"] = {"parallel": files}
    return Release(folder, manifest, {}, {}, "")  # type: ignore[arg-type]


def write_page(real: Path, synthetic: Release, target: Path) -> tuple[int, str]:
    """The page of a real release with the synthetic facts; their number, and a text that only one question contains."""
    html = page.page(read_release(real), read_statistics(str(real)))
    payload = page.payload(synthetic)
    for block, embedded in (("first", page.first_facts(payload)), ("facts", payload)):
        text = json.dumps(embedded, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
        data = base64.b64encode(zlib.compress(text, 9)).decode("ascii")
        head, rest = html.split(f'id="{block}">\n', 1)
        html = f'{head}id="{block}">\n{data}\n{rest.partition(chr(10))[2]}'
    target.write_text(html, encoding="utf-8")
    # The last fact that a search reaches, by its Bengali subject.
    last = payload["facts"][-1][11][list(PAPER_LANGUAGES).index("bn")]
    return len(payload["facts"]), payload["texts"][last[14]]


def measure(browser: Any, address: str, searches: list[str]) -> dict[str, float]:
    """Milliseconds in a new tab: `open`, then `first` and `end` of each search."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    tab = context.new_page()
    tab.goto(address, wait_until="commit")
    milliseconds = {"open": tab.evaluate(_UNTIL, FIRST)}
    tab.wait_for_selector("body[data-ready]")
    for text in searches:
        typed = tab.evaluate(_TYPE, text)
        milliseconds[f"{text} first"] = tab.evaluate(_UNTIL, f"({NEW}) || {DONE}") - typed
        milliseconds[f"{text} end"] = tab.evaluate(_UNTIL, DONE) - typed
    context.close()
    return milliseconds


def main() -> None:
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("release", type=Path, help="a real release, whose page is used")
    parser.add_argument("--facts", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, default=Path("loading"), help="kept, and used again")
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    target = arguments.folder / f"explorer-{arguments.facts}.html"
    synthetic = synthetic_release(arguments.folder / f"release-{arguments.facts}", arguments.facts)
    embedded, rare = write_page(arguments.release, synthetic, target)
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        runs = [measure(browser, f"file://{target.resolve()}", ["a", rare]) for _ in range(arguments.runs)]
        browser.close()
    median = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    print(machine(["playwright"]) + "\n")
    print("| explorer of " + f"{arguments.facts:,} facts | |\n|---|---:|")
    print(f"| page, MB, with {embedded:,} facts embedded | {target.stat().st_size / 1e6:.1f} |")
    print(f"| from opening to the first fact, s | {median['open'] / 1000:.2f} |")
    for text, kind in (("a", "a letter"), (rare, "the last fact, by its name in Bengali")):
        first, end = (median[f"{text} {point}"] / 1000 for point in ("first", "end"))
        print(f"| search for {kind}: first result, s | {first:.2f} |")
        print(f"| the same: whole search, s | {end:.2f} |")


if __name__ == "__main__":
    main()
