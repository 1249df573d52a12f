"""The listing of a language's wordings as a command: one line for a wrong file, silence for a closed pipe."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from polyfact_dataset.catalog import language as languages
from polyfact_dataset.catalog import show


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("ta", "unknown language 'ta': there is no ta.toml; known are sw"),
        ("sw", "languages/sw.toml: mul: Input should be a valid boolean, unable to interpret input"),
    ],
)
def test_a_missing_or_wrong_file_is_one_line(
    code: str,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copy(languages.FOLDER / "sw.toml", tmp_path / "sw.toml")
    text = (tmp_path / "sw.toml").read_text(encoding="utf-8")
    (tmp_path / "sw.toml").write_text(text.replace("mul = true", 'mul = "perhaps"'), encoding="utf-8")
    monkeypatch.setattr(languages, "FOLDER", tmp_path)
    monkeypatch.setattr(sys, "argv", ["show", code])
    languages.language.cache_clear()
    try:
        assert show.main() == 2
    finally:
        languages.language.cache_clear()
    assert capsys.readouterr() == ("", f"error: {message}\n")


def test_a_reader_that_leaves_early_is_no_error() -> None:
    command = [sys.executable, "-m", "polyfact_dataset.catalog.show", "ko"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout and process.stderr
        assert process.stdout.readline() == b"P36 capital\n"
        process.stdout.close()
        assert process.stderr.read() == b""
