"""The quick selection: every room is in it, and nothing in it loads PyTorch before the tests run."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.quick import SLOW_FIXTURES, TESTS, Quick, long_files

ROOT = TESTS.parent
ROOMS = sorted(
    path.parent for name in ("polyfact_dataset", "baselines") for path in (ROOT / name).glob("*/__init__.py")
)


def files_of(room: Path) -> Iterator[Path]:
    """The test files of a room: its folder, or the file of its name."""
    above = TESTS if room.parent.name == "polyfact_dataset" else TESTS / room.parent.name
    yield from (above / room.name).glob("test_*.py")
    yield from above.glob(f"test_{room.name}.py")


def quick_tests(file: Path) -> list[str]:
    """The tests of a file that use no slow fixture, neither themselves nor through another one of the file."""
    functions = {
        node.name: {argument.arg for argument in (*node.args.args, *node.args.kwonlyargs)}
        for node in ast.parse(file.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef)
    }

    def is_slow(name: str) -> bool:
        return name in SLOW_FIXTURES or any(map(is_slow, functions.get(name, ())))

    return [name for name in functions if name.startswith("test_") and not is_slow(name)]


def test_there_are_rooms_and_long_files() -> None:
    assert len(ROOMS) >= 18 and long_files()
    assert not [path for path in long_files() if not path.is_file()]


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: f"{room.parent.name}.{room.name}")
def test_every_room_has_a_quick_test(room: Path) -> None:
    assert any(quick_tests(file) for file in files_of(room) if file not in long_files())


def test_a_slow_fixture_is_found_behind_another(tmp_path: Path) -> None:
    file = tmp_path / "test_a.py"
    file.write_text("def one(tiny): ...\n\ndef two(one): ...\n\ndef test_a(two): ...\n\ndef test_b(tmp_path): ...\n")
    assert quick_tests(file) == ["test_b"]


def test_collecting_the_quick_tests_loads_no_torch(pytestconfig: pytest.Config) -> None:
    quick = pytestconfig.pluginmanager.get_plugin("quick")
    if quick is None:
        pytest.skip("only with --quick")
    assert isinstance(quick, Quick) and not quick.loads_torch
