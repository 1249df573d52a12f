"""Shared fixtures: a small dump, and one sample build for all end-to-end tests."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import settings

from tests.support.command import process
from tests.support.hub import TOKEN, Hub, running
from tests.support.quick import Quick, is_slow
from tests.support.sharing import made_once

pytest_plugins = ("tests.support.fixtures_release", "tests.support.fixtures_wikidata")
# No test measures time: an example may take long on a busy machine.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
SHARED = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def real_dump() -> Path:
    """Real Wikidata entities in dump layout, beside the checkout."""
    path = SHARED / "wikidata_entities.json.bz2"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    return path


@pytest.fixture(scope="session")
def sample_build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole build of the bundled sample dump, with worker processes."""
    options = ("--facts", 2000, "--workers", 2)
    return made_once(tmp_path_factory, "sample", lambda out: process("build", "--out", out, *options))


_HUB = pytest.StashKey[tuple[Hub, ExitStack]]()


def pytest_configure(config: pytest.Config) -> None:
    """Points the Hub's clients, which read their address once, to a local Hub: no test can reach the real one."""
    stack = ExitStack()
    hub = stack.enter_context(running())
    home = stack.enter_context(TemporaryDirectory())
    os.environ |= {"HF_ENDPOINT": hub.url, "HF_HOME": home, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_CACHE", "HF_DATASETS_CACHE"):
        os.environ.pop(name, None)
    config.stash[_HUB] = (hub, stack)
    if config.getoption("--quick"):
        config.pluginmanager.register(Quick(), "quick")


@pytest.fixture(scope="session", autouse=True)
def one_process_each() -> Iterator[None]:
    """Builds of the tests work in the test's process, which has all libraries already, unless they say otherwise.

    The process has threads, and so could not fork: its workers would import everything anew, for a few rows. It does
    not wait for the disk either: power cuts are tested on programs of their own.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "cpu_count", lambda: 1)
        patch.setattr(os, "fsync", lambda _: None)
        yield


def pytest_unconfigure(config: pytest.Config) -> None:
    config.stash[_HUB][1].close()


@pytest.fixture
def hub(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """An empty local Hub, with a token that may write; its address is that of the Hub for all clients."""
    found = request.config.stash[_HUB][0]
    found.reset()
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    return found


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="write the golden files anew; read them before committing"
    )
    parser.addoption("--slow", action="store_true", help="with the tests marked slow: whole builds, kills, power cuts")
    parser.addoption("--quick", action="store_true", help="the tests that take little time, of every room")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """More workers than cores: tests wait for processes, browsers and servers."""
    return max(1, (os.cpu_count() or 1) * 3 // 2)


# The files that take longest, the first of them make the builds which others share.
_FIRST = (
    *("pipeline/test_build.py", "hub/test_push.py", "wikidata/test_extract.py", "baselines/training/test_run.py"),
    *("verification/test_page.py", "verification/test_end_to_end.py", "questions/test_generation_run.py"),
    *("common/test_signals.py", "baselines/test_grpo.py", "hub/test_plan.py", "release/test_foreign_json.py"),
    *("items/test_blocks.py", "release/test_errata.py", "baselines/training/test_sharding.py", "test_sample.py"),
    *("audit/test_shortcuts.py", "audit/test_attackers.py", "items/test_exchangeable.py"),
)


def _order(items: list[pytest.Item]) -> list[pytest.Item]:
    """The files with the most slow tests first, so that no worker begins a long one when the others are at the end."""
    cost = Counter[str]()
    for item in items:
        cost[_file(item)] += 10 if is_slow(item) else 1
    first = {f"tests/{file}": -place for place, file in enumerate(reversed(_FIRST), 1)}
    return sorted(items, key=lambda item: (first.get(_file(item), 0), -cost[_file(item)], _file(item)))


def _file(item: pytest.Item) -> str:
    return item.nodeid.partition("::")[0]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without `--slow`, skips the tests that are marked so; orders the rest."""
    if not config.getoption("--slow"):
        for item in items:
            if item.get_closest_marker("slow"):
                item.add_marker(pytest.mark.skip(reason="takes 20 s or more; run it with: make test-slow"))
    items[:] = _order(items)
