"""The command line as a whole: one name for each option, replaced names still taken, help shown as it is written."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import typer
from typer.testing import CliRunner

from polyfact_dataset.cli.app import app
from polyfact_dataset.pipeline.stages import STAGES

RUNNER = CliRunner()
ROOT = typer.main.get_command(app)


def commands(group: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, group
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, (*path, name))


COMMANDS = dict(commands(ROOT))


def help_of(*path: str) -> str:
    result = RUNNER.invoke(app, [*path, "--help"], env={"COLUMNS": "400", "TERMINAL_WIDTH": "400"})
    assert result.exit_code == 0
    return result.output


def test_the_verbs() -> None:
    verbs = {path[0] for path in COMMANDS if path}
    releases = {"audit", "card", "stats", "show", "search", "diff", "rebuild", "push"}
    assert verbs >= {stage.name for stage in STAGES} | releases | {"build", "merge", "verify"}


@pytest.mark.parametrize("path", COMMANDS, ids="-".join)
def test_help_shows_every_option_as_it_is_written(path: tuple[str, ...]) -> None:
    shown = " ".join(re.sub(r"[│\n]", " ", help_of(*path)).split())
    for parameter in COMMANDS[path].params:
        text = getattr(parameter, "help", None) or ""
        assert " ".join(text.replace("\\[", "[").split()) in shown
    assert "\\[" not in shown


def test_an_option_has_one_name_everywhere() -> None:
    names = {name for command in COMMANDS.values() for parameter in command.params for name in parameter.opts}
    replaced = {"--lang", "--output", "--again", "--answers"}
    assert not names & replaced and {"--language", "--out", "--include-pending", "--cache-from"} <= names
    assert not {path[-1] for path in COMMANDS if path} & {"write-batches", "read-batches"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("show", "Q1|P1|Q2", "--release", "missing", "--lang", "de"), "missing: neither a folder"),
        (("search", "x", "--release", "missing", "--lang=de"), "missing: neither a folder"),
        (("audit", "missing", "--output", "report"), "missing is not a folder"),
        (("rebuild", "missing", "--answers", "build"), "missing: give the manifest"),
        (("questions", "write-batches", "--out", "missing", "--again"), "missing contains no build"),
        (("questions", "read-batches", "x.jsonl", "--out", "missing"), "missing is not a build folder"),
        (("verify", "read-batches", "x.jsonl", "--folder", "missing"), "missing is not a verification folder"),
    ],
)
def test_replaced_names_are_taken(
    arguments: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = RUNNER.invoke(app, list(arguments))
    assert message in str(result.exception)


def test_an_unknown_option_is_refused_with_the_nearest() -> None:
    result = RUNNER.invoke(app, ["build", "--fact", "3"])
    assert result.exit_code == 2 and "--facts" in result.output


def test_completion_can_be_installed() -> None:
    assert "--install-completion" in help_of() and "--show-completion" in help_of()
