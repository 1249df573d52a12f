"""The README and the docs say what is so: commands exist, links lead somewhere, the item shown is in the release."""

from __future__ import annotations

import json
import re
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.main import get_command

from polyfact_dataset.catalog.language import language
from polyfact_dataset.cli import app as cli
from polyfact_dataset.cli.app import app
from polyfact_dataset.release.audit_report import AuditReport
from polyfact_dataset.schema import OPTIONS
from tests.support.released import parallel_rows_of

ROOT = Path(__file__).parents[1]
FOLDERS = "polyfact_dataset|baselines|benchmarks|dataset_card|docs|loading_script|tests"
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
OTHERS = sorted([ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *(ROOT / "benchmarks").glob("*.md")])


def test_the_item_shown_is_in_the_sample_release(sample_build: Path) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (fact,) = re.findall(r"One fact, `([^`]+)`", text)
    row = next(row for row in parallel_rows_of(sample_build / "release") if row["fact_id"] == fact)
    lines = [line for line in text.splitlines() if re.match(r"\| (English|Swahili|Bengali|Japanese) ", line)]
    expected = []
    for code in ("en", "sw", "bn", "ja"):
        item = row["translations"][code]
        options = [item[name] for name in OPTIONS]
        options[item["answer_index"]] = f"**{item['answer_text']}**"
        expected.append(f"| {language(code).name} | {item['question']} | {' · '.join(options)} |")
    assert lines == expected


def test_a_reader_is_shown_at_once_what_this_is() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for shown in ("make build", "make test", "load_dataset(", "One fact, `", "69.97 %", "benchmarks/lab.md"):
        assert shown in text, shown
    listed = set(re.findall(r"\]\((docs/[\w.]+)\)", text))
    assert listed == {f"docs/{page.name}" for page in PAGES if page.parent.name == "docs"}
    prose = [line for line in re.sub(r"```.*?```", "", text, flags=re.S).splitlines() if not line.startswith("|")]
    assert max(map(len, prose)) <= 120


def test_the_floor_shown_is_what_the_audit_of_the_sample_measures(sample_build: Path) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    report = json.loads((sample_build / "release" / "audit" / "report.json").read_text())
    floors = AuditReport.model_validate(report).pooled("test")
    (found,) = [floor for floor in floors if floor.rule == "most_frequent"]
    measured = f"{100 * found.accuracy:.1f} ± {100 * found.standard_error:.1f} % on {found.facts:,} test facts"
    assert measured in " ".join(text.split()), f"README.md must say: {measured}"


@pytest.mark.parametrize("page", [*PAGES, *OTHERS], ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_and_paths_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert target.startswith("http") or (page.parent / target).exists(), target
    for path in re.findall(rf"(?<![\w./-])((?:{FOLDERS})/[\w./-]+\.(?:py|toml|md|tsv|yaml|j2))\b", text):
        # The page adds this language as its example.
        assert path.endswith("/ta.toml") or path.endswith("/ta.tsv") or (ROOT / path).exists(), path


def test_commands_shown_have_their_options() -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    names = set()
    for line in re.findall(r"^polyfact (.*)$", text, re.M):
        command: Any = get_command(app)
        words = line.split()
        while words and words[0] in getattr(command, "commands", {}):
            command = command.commands[words.pop(0)]
        options = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        names.add(command.name)
        shown = {word.partition("=")[0] for word in words if re.match(r"--[a-z]", word)}
        assert shown <= options | {"--help"}, line
    assert names >= {"build", "judge", "push"}


def test_make_targets_shown_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    for page in PAGES:
        assert set(re.findall(r"^make ([a-z]+)", page.read_text(encoding="utf-8"), re.M)) <= targets


def _modules_shown() -> list[tuple[str, str]]:
    """Module and options of every `python -m` and `accelerate launch -m` in the pages, also inside a line."""
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    start = r"(?:python|accelerate launch(?: --num_processes \d+)?) -m "
    return re.findall(rf'{start}((?:baselines|polyfact_dataset)[\w.]*)([^`\n)"]*)', text)


def test_modules_shown_have_their_options() -> None:
    pytest.importorskip("torch", reason="the modules of the baselines need the extras `eval` and `train`")
    shown = _modules_shown()
    assert {name for name, _ in shown} >= {"baselines.lab", "baselines.sft", "baselines.evaluate.mcq"}
    known: dict[str, set[str]] = {}
    for name, rest in shown:
        if name.endswith(".METHOD"):
            continue
        if name not in known:
            spec = find_spec(name)
            assert spec is not None, name
            module = import_module(f"{name}.__main__" if spec.submodule_search_locations else name)
            app = typer.Typer()
            app.command()(module.main)
            known[name] = {option for own in typer.main.get_command(app).params for option in own.opts}
            known[name] |= set(re.findall(r'"(--[a-z-]+)"', Path(module.__file__ or "").read_text(encoding="utf-8")))
        for option in re.findall(r"(?<!\S)--[a-z][a-z-]*", rest):
            assert option in known[name], (name, option)


def test_commands_inside_a_line_exist() -> None:
    app = typer.main.get_command(cli.app)
    for page in PAGES:
        for words in re.findall(r"`polyfact ([a-z-]+)(?: ([a-z-]+))?[^`]*`", page.read_text(encoding="utf-8")):
            command = app.commands.get(words[0])
            assert command is not None, (page.name, words)
            inner = getattr(command, "commands", None)
            assert inner is None or words[1] in ("", *inner), (page.name, words)
