"""What commands import: time to start is time for imports, and a list of modules does not vary with the machine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from polyfact_dataset.release.reader import config_files

PROGRAM = """
import sys
from polyfact_dataset.cli.app import run
try:
    run()
except SystemExit as error:
    assert not error.code, error.code
print("MODULES", *sys.modules)
"""
HEAVY = {"pandas", "matplotlib", "sklearn", "scipy", "torch", "transformers", "datasets", "huggingface_hub"}
DOCUMENTS = {"jinja2", "yaml", "PIL", "aiohttp", "requests"}


def modules(*words: object) -> set[str]:
    """The packages that a command has imported at its end."""
    command = [sys.executable, "-c", PROGRAM, *map(str, words)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {name.partition(".")[0] for name in output.rpartition("MODULES")[2].split()}


@pytest.mark.parametrize("words", [("--help",), ("--version",), ("build", "--help"), ("verify", "judge", "--help")])
def test_help_imports_no_library_but_that_of_commands(words: tuple[str, ...]) -> None:
    imported = modules(*words)
    # Typer reads the options of a subcommand by pydantic.
    typers_own = {"pydantic"} if len(words) > 1 else set()
    assert (
        not imported & (HEAVY | DOCUMENTS | {"rich", "pydantic", "duckdb", "pyarrow", "numpy", "filelock"}) - typers_own
    )


def test_show_and_stats_import_nothing_for_documents_or_the_hub(small: Path) -> None:
    import pyarrow.parquet as pq

    fact = pq.read_table(config_files(small, "parallel")["test"][0]).column("fact_id")[0].as_py()
    for words in (("show", fact, "--release", small), ("stats", small)):
        assert not modules(*words) & (HEAVY | DOCUMENTS | {"duckdb", "fontTools"})
