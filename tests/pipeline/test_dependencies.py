"""What a change of a source file makes run again, computed on a copy of the project."""

from __future__ import annotations

import ast
import shutil
from pathlib import Path

import pytest

from polyfact_dataset.config.build import Config
from polyfact_dataset.pipeline.dependencies import PACKAGES, ROOT, Dependencies
from polyfact_dataset.pipeline.stages import STAGES
from polyfact_dataset.wikidata import extract

NAMES = [stage.name for stage in STAGES]
ALL = set(NAMES)


def from_(first: str, last: str = NAMES[-1]) -> set[str]:
    return set(NAMES[NAMES.index(first) : NAMES.index(last) + 1])


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("copy")
    ignored = shutil.ignore_patterns("__pycache__", "*.bz2", "tables")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, root / package, ignore=ignored)
    return root


def digests(root: Path) -> dict[str, str]:
    dependencies = Dependencies(root)
    return {stage.name: dependencies.digest(stage.sources(dependencies)) for stage in STAGES}


@pytest.fixture(scope="module")
def before(copied: Path) -> dict[str, str]:
    """The digests of the copy, which every test leaves as it was."""
    return digests(copied)


def changed(path: Path, before: dict[str, str], root: Path) -> set[str]:
    """The stages whose digests change with a file, which has its content again after that."""
    content = path.read_bytes()
    path.write_bytes(content + b"\n# changed\n")
    try:
        after = digests(root)
    finally:
        path.write_bytes(content)
    return {name for name in NAMES if before[name] != after[name]}


# File -> the stages whose own sources it is among. What follows a stage runs again as well: its key is in theirs.
LANGUAGES = ALL - {"extract", "features"}
OF_ROOMS = {
    "schema.py": ALL - {"extract"},
    "common/errors.py": ALL,
    "common/database.py": {*from_("candidates", "items"), "audit", "card"},
    "catalog/language.py": LANGUAGES,
    "catalog/languages/de.toml": LANGUAGES,
    "catalog/relations.toml": ALL - {"extract"},
    "config/build.py": set(),
    "pipeline/runner.py": set(),
    "pipeline/stages.py": set(),
    "pipeline/inputs.py": set(),
    "llm/cache.py": {"questions"},
    "wikidata/bzip2.py": {"extract", "candidates", "backfill"},
    "wikidata/api.py": {"backfill"},
    "facts/candidates.py": {"candidates"},
    "facts/features.py": {"features"},
    "facts/ambiguous_names.py": {"namesakes", "questions", "sample"},
    "questions/templates.py": {"questions"},
    "questions/joined_facts.py": {"questions", "validate"},
    "items/layout.py": {"items"},
    "items/tiers.py": {"tier"},
    "verification/judge.py": set(),
    "release/export.py": {"export"},
    "release/documents.py": {"card"},
    "audit/checks/balance.py": {"audit"},
    "audit/run.py": {"audit"},
    "hub/push.py": set(),
    "cli/app.py": set(),
    "sample/make.py": set(),
}


@pytest.mark.parametrize("file", OF_ROOMS)
def test_a_change_reaches_the_stages_that_use_it(file: str, copied: Path, before: dict[str, str]) -> None:
    assert changed(copied / "polyfact_dataset" / file, before, copied) == OF_ROOMS[file]


def test_the_same_content_has_the_same_digests(copied: Path, before: dict[str, str]) -> None:
    assert changed(copied / "polyfact_dataset" / "common/errors.py", before, copied) == ALL
    assert digests(copied) == before


def test_every_room_is_among_the_examples() -> None:
    rooms = {path.name for path in (ROOT / "polyfact_dataset").iterdir() if (path / "__init__.py").exists()}
    assert rooms | {"schema.py"} == {file.partition("/")[0] for file in OF_ROOMS}


@pytest.mark.parametrize(
    "file", ["dataset_card/card.md.j2", "dataset_card/citation.toml", "loading_script/PolyFact.py"]
)
def test_the_card_depends_on_what_it_reads_as_resources(file: str, copied: Path, before: dict[str, str]) -> None:
    assert changed(copied / file, before, copied) == {"card"}


def test_imports_are_those_that_the_parser_finds() -> None:
    dependencies = Dependencies()
    assert len(dependencies.modules) > 100
    for module, path in dependencies.modules.items():
        names: set[str] = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                full = {f"{node.module}.{alias.name}" for alias in node.names}
                names.update(name if name in dependencies.modules else node.module for name in full)
        # Resources come on top.
        assert names & dependencies.modules.keys() <= dependencies.imports_of(module)


def test_the_digest_does_not_depend_on_where_the_project_is(
    copied: Path, before: dict[str, str], tmp_path: Path
) -> None:
    shutil.copytree(copied, tmp_path / "moved")
    assert digests(tmp_path / "moved") == before


def test_settings_of_the_extraction_hold_what_it_uses_of_the_catalog(monkeypatch: pytest.MonkeyPatch) -> None:
    config = Config()
    before = extract.settings(config)
    german = extract.language("de")
    other = german.model_copy(update={"questions": {**german.questions, "P36": {"safe": "{subject}?"}}})
    chain = german.model_copy(update={"labels": (*german.labels, "de-formal")})
    real = extract.language
    monkeypatch.setattr(extract, "language", lambda code: other if code == "de" else real(code))
    assert extract.settings(config) == before
    monkeypatch.setattr(extract, "language", lambda code: chain if code == "de" else real(code))
    assert extract.settings(config) != before
