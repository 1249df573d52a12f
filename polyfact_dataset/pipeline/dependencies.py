"""The source files that a module depends on, computed from its imports."""

from __future__ import annotations

import ast
import importlib.util
from functools import cache
from pathlib import Path

_ROOTS = ("polyfact_dataset", "dataset_card", "loading_script")
# What a stage takes from its configuration is hashed as its settings, and the runner writes no table.
_NO_DEPENDENCY = ("polyfact_dataset.config", "polyfact_dataset.pipeline", "polyfact_dataset.common.progress")
_DATA_SUFFIXES = (".toml", ".txt", ".tsv", ".j2")


@cache
def _path(module: str) -> Path | None:
    """The file of a module of the project; None for a name that is none, such as a function."""
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        return None
    return Path(spec.origin) if spec is not None and spec.origin is not None else None


@cache
def imports_of(module: str) -> frozenset[str]:
    """The modules of the project that `module` imports, those imported inside functions included."""
    path = _path(module)
    assert path is not None, module
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            submodules = [f"{node.module}.{alias.name}" for alias in node.names]
            names.update(name if name.startswith(_ROOTS) and _path(name) else node.module for name in submodules)
    return frozenset(name for name in names if name.partition(".")[0] in _ROOTS)


def _is_dependency(module: str) -> bool:
    return not any(module == name or module.startswith(f"{name}.") for name in _NO_DEPENDENCY)


def modules_of(module: str) -> frozenset[str]:
    """`module` and all that it imports, directly or not."""
    found, open_modules = {module}, [module]
    while open_modules:
        new = {name for name in imports_of(open_modules.pop()) if _is_dependency(name)} - found
        found |= new
        open_modules.extend(new)
    return frozenset(found)


def sources_of(module: str) -> tuple[Path, ...]:
    """The files of `module`, of all that it imports, and the data files in the folders of these modules."""
    files: set[Path] = set()
    for name in modules_of(module):
        path = _path(name)
        assert path is not None
        files.add(path)
        for entry in path.parent.iterdir():
            if entry.is_dir() and not (entry / "__init__.py").exists():
                files.update(file for file in entry.rglob("*") if file.suffix in _DATA_SUFFIXES)
            elif entry.suffix in _DATA_SUFFIXES:
                files.add(entry)
    return tuple(sorted(files))
