"""Files and functions stay small; what is larger stands here with its reason."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("polyfact_dataset", "baselines", "benchmarks", "loading_script", "dataset_card", "tests")
MAX_FILE_LINES, MAX_FUNCTION_LINES = 400, 60

# Every exception, with its reason; one that is none any more fails.
LARGER: dict[str, str] = {}


def too_large(name: str, text: str) -> Iterator[str]:
    """The file, and its functions as `file:function`, that pass the sizes."""
    if len(text.splitlines()) >= MAX_FILE_LINES:
        yield name
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            if node.end_lineno - node.lineno + 1 > MAX_FUNCTION_LINES:
                yield f"{name}:{node.name}"


def test_files_and_functions_are_small() -> None:
    files = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
    assert len(files) > 300
    found = {
        large
        for path in files
        for large in too_large(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))
    }
    assert found == set(LARGER)


@pytest.mark.parametrize("lines, expected", [(399, []), (400, ["a.py"])])
def test_a_long_file_is_found(lines: int, expected: list[str]) -> None:
    assert list(too_large("a.py", "x = 1\n" * lines)) == expected


@pytest.mark.parametrize("lines, expected", [(60, []), (61, ["a.py:f"])])
def test_a_long_function_is_found(lines: int, expected: list[str]) -> None:
    assert list(too_large("a.py", "async def f():\n" + "    x = 1\n" * (lines - 1))) == expected
