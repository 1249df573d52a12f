"""The README and the docs say what is so: commands exist, links lead somewhere, the item shown is in the release."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from polyfact_dataset.languages import language
from polyfact_dataset.records import OPTIONS
from tests.conftest import polyfact
from tests.test_build import parallel

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])


def test_the_item_shown_is_in_the_sample_release(sample_build: Path) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (fact,) = re.findall(r"One fact, `([^`]+)`", text)
    row = next(row for row in parallel(sample_build) if row["fact_id"] == fact)
    lines = [line for line in text.splitlines() if re.match(r"\| (English|Swahili|Bengali|Japanese) ", line)]
    expected = []
    for code in ("en", "sw", "bn", "ja"):
        item = row["translations"][code]
        options = [item[name] for name in OPTIONS]
        options[item["answer_index"]] = f"**{item['answer_text']}**"
        expected.append(f"| {language(code).name} | {item['question']} | {' · '.join(options)} |")
    assert lines == expected


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_paths_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert target.startswith("http") or (page.parent / target).exists(), target
    for path in re.findall(r"`((?:polyfact_dataset|docs|tests|benchmarks)/[\w./]+\.(?:py|toml|md))`", text):
        assert (ROOT / path).exists(), path


def test_commands_shown_have_their_options() -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    shown = re.findall(r"^polyfact ((?:verify )?[a-z-]+)(.*)$", text, re.M)
    assert {name for name, _ in shown} >= {"build", "verify judge"}
    helps = {name: polyfact(*name.split(), "--help", COLUMNS="200").stdout for name, _ in shown}
    for name, rest in shown:
        help_text = helps[name]
        for option in re.findall(r"--[a-z-]+", rest):
            assert option in help_text, (name, option)


def test_make_targets_shown_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    for page in PAGES:
        assert set(re.findall(r"^make ([a-z]+)", page.read_text(encoding="utf-8"), re.M)) <= targets
