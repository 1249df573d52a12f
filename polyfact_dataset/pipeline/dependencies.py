"""The source files that a module depends on, computed from its imports.

Imports, including those inside functions, are found by text search without importing or parsing, because a build
computes the dependencies of all its stages each time it starts. A package whose files are read as resources
(`importlib.resources.files`) counts as imported with all its modules.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path

# Packages of the project that a stage may import, and the folder that contains them.
PACKAGES = ("polyfact_dataset", "dataset_card", "loading_script")
ROOT = Path(__file__).parents[2]
# The configuration that a stage uses is hashed as its settings; the runner and the log write no table.
_NO_DEPENDENCY = ("polyfact_dataset.config", "polyfact_dataset.pipeline", "polyfact_dataset.common.progress")
_DATA_SUFFIXES = (".toml", ".txt", ".tsv", ".j2")
_PACKAGE = rf"(?:{'|'.join(PACKAGES)})\b[\w.]*"
_IMPORT = re.compile(
    rf"^[ \t]*(?:from[ \t]+({_PACKAGE})[ \t]+import[ \t]*(\([^)]*\)|[^\n]*)|import[ \t]+({_PACKAGE}[^\n]*))",
    re.MULTILINE,
)
_RESOURCES = re.compile(rf"""\bfiles\(["']({_PACKAGE})["']\)""")
_COMMENT = re.compile(r"#[^\n]*")


def is_within(module: str, packages: Iterable[str]) -> bool:
    """Whether a module is one of `packages` or in one of them."""
    return any(module == name or module.startswith(f"{name}.") for name in packages)


class Dependencies:
    """The modules below a folder that holds `PACKAGES`, with their imports, data files and digests."""

    def __init__(self, root: Path = ROOT) -> None:
        self._root = root
        self._imports: dict[str, frozenset[str]] = {}
        self._digests: dict[Path, bytes] = {}
        self._data: dict[Path, dict[Path, tuple[Path, ...]]] = {}
        self._texts: dict[Path, str] = {}

    @cached_property
    def modules(self) -> dict[str, Path]:
        """Every module and package by its dotted name."""
        modules = {}
        for package in PACKAGES:
            for path in sorted((self._root / package).rglob("*.py")):
                parts = path.relative_to(self._root).with_suffix("").parts
                modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
        return modules

    def imports_of(self, module: str) -> frozenset[str]:
        """The modules of the project that `module` imports, those imported inside functions included."""
        if module not in self._imports:
            text = self._text(self.modules[module])
            names = set(_imported(text))
            for package in _RESOURCES.findall(text):
                names |= {(name, name) for name in self.modules if is_within(name, [package])}
            # `from package import name` may name a module or a member of a module.
            self._imports[module] = frozenset(
                name if name in self.modules else parent
                for name, parent in names
                if {name, parent} & self.modules.keys()
            )
        return self._imports[module]

    def modules_of(self, module: str, but: Iterable[str] = ()) -> frozenset[str]:
        """`module` and all its direct and indirect imports, without the packages of `but`."""
        excluded = (*_NO_DEPENDENCY, *but)
        reached, pending = {module}, [module]
        while pending:
            new = {name for name in self.imports_of(pending.pop()) if not is_within(name, excluded)} - reached
            reached |= new
            pending.extend(new)
        return frozenset(reached)

    def sources_of(self, modules: Iterable[str], but: Iterable[str] = ()) -> tuple[Path, ...]:
        """The files of `modules` and of all their imports, and their data files.

        Imports from the packages of `but` are left out.
        """
        files: set[Path] = set()
        for module in {name for start in modules for name in self.modules_of(start, but)}:
            files |= {self.modules[module], *self._data_files(self.modules[module])}
        return tuple(sorted(files))

    def digest(self, paths: Iterable[Path]) -> str:
        """SHA-256 over the names and contents of source files, independent of the place of installation."""
        hasher = hashlib.sha256()
        for path in sorted(paths):
            if path not in self._digests:
                self._digests[path] = hashlib.sha256(path.read_bytes()).digest()
            hasher.update(path.relative_to(self._root).as_posix().encode() + b"\0" + self._digests[path])
        return hasher.hexdigest()

    def _text(self, path: Path) -> str:
        if path not in self._texts:
            self._texts[path] = path.read_text(encoding="utf-8")
        return self._texts[path]

    def _data_files(self, module: Path) -> Iterator[Path]:
        """The data files next to a module, and in subfolders that are not packages, that the module's text names.

        A file that no module of the folder names counts for all modules.
        """
        folder = module.parent
        if folder not in self._data:
            self._data[folder] = {entry: tuple(_data_in(entry)) for entry in folder.iterdir()}
        module_text, *all_texts = map(self._text, (module, *folder.glob("*.py")))
        for entry, files in self._data[folder].items():
            if files and (entry.name in module_text or not any(entry.name in text for text in all_texts)):
                yield from files


def _imported(text: str) -> Iterator[tuple[str, str]]:
    """(`module.name`, `module`) of every name that a source text imports from the project."""
    for match in _IMPORT.finditer(text):
        module, names, plain = match.groups()
        for entry in _COMMENT.sub("", names or plain).strip("() \t\n").split(","):
            name = entry.split()[0] if entry.split() else ""
            if plain:
                yield name, name
            elif name:
                yield f"{module}.{name}", module


def _data_in(entry: Path) -> Iterator[Path]:
    if entry.is_dir() and not (entry / "__init__.py").exists():
        yield from (file for file in entry.rglob("*") if file.suffix in _DATA_SUFFIXES)
    elif entry.suffix in _DATA_SUFFIXES:
        yield entry
