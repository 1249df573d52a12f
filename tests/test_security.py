"""What holds for the whole project: secrets, strangers' code, dependencies, and no dangerous calls."""

from __future__ import annotations

import ast
import re
import shutil
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from polyfact_dataset.common.errors import ConfigError
from polyfact_dataset.config.build import load_config
from polyfact_dataset.verification.judge import with_endpoint
from tests.support.command import polyfact

ROOT = Path(__file__).parents[1]
SOURCES = sorted(
    path for name in ("polyfact_dataset", "baselines", "loading_script") for path in (ROOT / name).rglob("*.py")
)
SECRETS = {
    "HF_TOKEN": "hf_PlantedTokenOfTheUser",
    "OPENAI_API_KEY": "sk-PlantedKeyOfTheUser",
    "AWS_SECRET_ACCESS_KEY": "PlantedSecretOfTheUser",
}


def everywhere(folder: Path) -> str:
    """The names and contents of all files of a folder."""
    return "".join(str(path) + path.read_bytes().decode("latin-1") for path in folder.rglob("*") if path.is_file())


def test_no_secret_of_the_environment_is_written_or_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, secret in SECRETS.items():
        monkeypatch.setenv(name, secret)
    out, config = tmp_path / "build", tmp_path / "polyfact.toml"
    config.write_text(
        'languages = ["en", "sw"]\nfacts = 60\nrelations = ["P36", "P17"]\n[candidates]\nmin_languages = 2\n'
    )
    extracted = polyfact("extract", "--out", out, "--config", config)
    output = extracted.stdout + extracted.stderr
    shutil.copytree(out, tmp_path / "asked")
    for command in (
        ("build", "--out", out, "--config", config),
        ("questions", "--out", tmp_path / "asked", "--config", config, "--questions", "model", "--model", "m")
        + ("--base-url", "http://127.0.0.1:9/v1"),
        ("push", out / "release", "--repo", "somebody/PolyFact", "--dry-run"),
        ("show", out / "release", "Q0|P0|Q0"),
    ):
        done = polyfact(*command, check=False)
        output += done.stdout + done.stderr
    found = output + everywhere(tmp_path)
    assert len(found) > 100_000 and not [name for name, secret in SECRETS.items() if secret in found]


@pytest.mark.parametrize("setting", ["llm.base_url", "backfill.api"])
@pytest.mark.parametrize(
    "url", ["https://user:hunter2@host/v1", "https://host/v1?key=hunter2", "https://:hunter2@host"]
)
def test_an_address_holds_no_secret(setting: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    section, _, name = setting.partition(".")
    with pytest.raises(ConfigError, match="user name, password or query") as caught:
        load_config(None, **{section: {name: url}})
    assert "hunter2" not in str(caught.value)
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    with pytest.raises(ConfigError, match="OPENAI_BASE_URL: it contains a user name") as caught:
        with_endpoint(load_config(), cached=False)
    assert "hunter2" not in str(caught.value)


@cache
def tree_of(path: Path) -> ast.Module:
    """The parsed source of a file."""
    return ast.parse(path.read_text(encoding="utf-8"))


def calls(path: Path) -> list[tuple[int, str, dict[str, Any]]]:
    """Line, name and literal keywords of every call of a source file."""
    return [
        (
            node.lineno,
            ast.unparse(node.func),
            {word.arg: word.value.value for word in node.keywords if word.arg and isinstance(word.value, ast.Constant)},
        )
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call)
    ]


def test_no_source_runs_what_it_reads() -> None:
    dangerous = re.compile(
        r"(eval|exec|os\.system|os\.popen|pickle\.loads?|yaml\.(unsafe_)?load|torch\.load|marshal\.loads?)"
    )
    found = []
    for path in SOURCES:
        for line, name, words in calls(path):
            loads = dangerous.fullmatch(name) and not words.get("weights_only")
            unsafe = words.get("shell") or words.get("trust_remote_code") or words.get("allow_pickle")
            if loads or unsafe or words.get("verify") is False:
                found.append(f"{path.relative_to(ROOT)}:{line} {name} {words}")
    assert len(SOURCES) > 150 and found == []


def test_strangers_code_runs_by_the_users_choice_alone() -> None:
    for path in SOURCES:
        for node in ast.walk(tree_of(path)):
            arguments = node.args if isinstance(node, ast.FunctionDef | ast.Lambda) else None
            names = [a.arg for a in (*arguments.args, *arguments.kwonlyargs)] if arguments else []
            assert "trust_remote_code" not in names, path
    for path in (ROOT / "baselines").rglob("*yaml"):
        assert "trust_remote_code: true" not in path.read_text(encoding="utf-8").lower(), path


def test_every_dependency_has_an_upper_bound() -> None:
    about = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project = about["project"]
    listed = [
        *about["build-system"]["requires"],
        *project["dependencies"],
        *sum(project["optional-dependencies"].values(), []),
    ]
    assert len(listed) > 40
    for requirement in map(Requirement, listed):
        bounds = {spec.operator for spec in requirement.specifier}
        assert bounds & {"<", "<=", "=="} and bounds & {">=", "=="}, str(requirement)


def test_the_tested_versions_are_within_the_bounds() -> None:
    pinned = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            (spec,) = (requirement := Requirement(line)).specifier
            assert spec.operator == "==", line
            pinned[requirement.name.lower().replace("_", "-")] = spec.version
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for requirement in map(Requirement, project["dependencies"]):
        assert pinned[requirement.name.lower().replace("_", "-")] in requirement.specifier, str(requirement)


def test_the_workflow_may_read_and_nothing_else() -> None:
    workflow = (ROOT / ".github" / "workflows").glob("*.yml")
    texts = [path.read_text(encoding="utf-8") for path in workflow]
    assert texts and all("contents: read" in text and "secrets." not in text for text in texts)
