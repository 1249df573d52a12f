"""The rooms in their order, and a walk over all imports that finds those that go upwards or in a circle.

    python -m tests.rooms

A module may import from its own room and from the rooms above it in the list, never from one further down. Imports
inside functions count.
"""

from __future__ import annotations

import ast
import graphlib
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("polyfact_dataset", "baselines")
# From the ground up. A module belongs to the room with the longest name that it begins with.
ROOMS = (
    "polyfact_dataset",  # the version
    "polyfact_dataset.schema",
    "polyfact_dataset.common",
    "polyfact_dataset.catalog",
    "polyfact_dataset.config",
    "polyfact_dataset.pipeline",
    "polyfact_dataset.llm",
    "polyfact_dataset.wikidata",
    "polyfact_dataset.facts",
    "polyfact_dataset.questions",
    "polyfact_dataset.items",
    "polyfact_dataset.release",
    "polyfact_dataset.verification",
    "polyfact_dataset.audit",
    "polyfact_dataset.hub",
    "polyfact_dataset.sample",
    # These two resolve what a build is made from, which may be a release.
    "polyfact_dataset.pipeline.inputs",
    "polyfact_dataset.pipeline.rebuild",
    "polyfact_dataset.cli",
    "baselines",
    "baselines.cli",
    "baselines.data",
    "baselines.figures",
    "baselines.models",
    "baselines.metrics",
    "baselines.resampling",
    "baselines.answer_lines",
    "baselines.lockstep",
    "baselines.penalties",
    "baselines.feasibility",
    "baselines.prompts",
    "baselines.sampler",
    "baselines.evaluate",
    "baselines.rewards",
    "baselines.pass_rate",
    "baselines.samples",
    "baselines.training",
    "baselines.rollouts",
    "baselines.corpus",
    "baselines.*",  # the trainers: every module of the package that is not named here
    "baselines.tiny",
    "baselines.analysis",
    "baselines.lab",
)
# Imports that go upwards all the same, each with its reason; one that is gone fails.
EXCEPTIONS = {
    ("polyfact_dataset.cli.leaderboard", "baselines.evaluate.leaderboard"): "reads the results of the evaluators",
}
# What the package of the factory holds besides its rooms.
ROOT_FILES = ("__init__.py", "schema.py")


def modules(root: Path = ROOT) -> dict[str, Path]:
    """Every module of the packages by its dotted name."""
    found = {}
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(module: str, known: Mapping[str, Path]) -> set[str]:
    """The modules of `known` that `module` imports: at its top, in functions, relatively or by `import_module`."""
    path = known[module]
    names: set[str] = set()
    for level, base, name in _imports_of(path.read_text(encoding="utf-8")):
        if level:
            package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
            base = ".".join([*package[: len(package) - level + 1], *([base] if base else [])])
        names.add(f"{base}.{name}" if f"{base}.{name}" in known else base)
    return (names & known.keys()) - {module}


@cache
def _imports_of(source: str) -> list[tuple[int, str, str]]:
    """What a source file imports: the level (0: absolute), the module, and the name from it (or nothing)."""
    found = []
    for node in _executed(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [(0, alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found += [(node.level, node.module or "", alias.name) for alias in node.names]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in (
            "import_module",
            "__import__",
        ):
            found += [(0, str(word.value), "") for word in node.args if isinstance(word, ast.Constant)]
    return found


def _executed(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those that only the type checker sees."""
    yield tree
    for child in ast.iter_child_nodes(tree):
        if not (isinstance(child, ast.If) and ast.unparse(child.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")):
            yield from _executed(child)


def room_of(module: str) -> str | None:
    """The room of a module; None where the list names none, except the packages themselves."""
    rooms = [room for room in ROOMS if module == room or module.startswith(f"{room}.")]
    room = max(rooms, key=len, default=None)
    if room not in PACKAGES or module == room:
        return room
    return f"{room}.*" if f"{room}.*" in ROOMS else None


def violations(root: Path = ROOT) -> Iterator[str]:
    """What breaks the order, in words."""
    known = modules(root)
    graph = {module: imports(module, known) for module in known}
    for module, targets in graph.items():
        room = room_of(module)
        if room is None:
            yield f"{module} is in no room of the list"
            continue
        for target in sorted(targets):
            other = room_of(target)
            if (module, target) in EXCEPTIONS:
                continue
            if other is not None and ROOMS.index(other) > ROOMS.index(room):
                yield f"{module} imports {target}: {other} is above {room}"
    for module, target in EXCEPTIONS:
        if target not in graph.get(module, ()):
            yield f"{module} does not import {target}: no exception is needed"
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        yield f"circle: {' -> '.join(error.args[1])}"
    for path in sorted((root / "polyfact_dataset").iterdir()):
        is_room = path.is_dir() and f"polyfact_dataset.{path.name}" in ROOMS
        if not is_room and path.name not in (*ROOT_FILES, "py.typed", "__pycache__"):
            yield f"polyfact_dataset/{path.name} is neither a room nor one of {', '.join(ROOT_FILES)}"


if __name__ == "__main__":
    broken = list(violations())
    print("\n".join(broken) or f"{len(modules())} modules in {len(ROOMS)} rooms: no import goes upwards or in a circle")
    sys.exit(bool(broken))
