"""What `make quick` runs: the tests that use no slow fixture, of the files that tests/long_files.txt does not name.

A new file is in. The end of a quick run names the files that took more CPU time than `BOUND_S`: they belong on the
list, and so does a file that loads PyTorch when it is collected.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
BOUND_S = 6.0
# Fixtures that run a whole build, train a model, start a browser, or draw very many facts.
SLOW_FIXTURES = {
    *("sample_build", "small", "following", "next_dump", "begun", "fourteen", "calm"),
    *("release", "tiny", "real_dump", "real_extraction", "drawn"),
}


def is_slow(item: pytest.Item) -> bool:
    """Whether a test uses a slow fixture."""
    return not SLOW_FIXTURES.isdisjoint(getattr(item, "fixturenames", ()))


def long_files() -> set[Path]:
    """The test files that a quick run leaves out."""
    lines = (TESTS / "long_files.txt").read_text(encoding="utf-8").splitlines()
    return {TESTS / line for line in lines if line and not line.startswith("#")}


def _cpu_s() -> float:
    """CPU time of this process and of those it has waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


class Quick:
    """The plugin of a quick run."""

    def __init__(self) -> None:
        self.loads_torch = False
        self._long = long_files()
        self._begin = 0.0
        self._seconds = Counter[str]()

    def pytest_ignore_collect(self, collection_path: Path) -> bool | None:
        return collection_path in self._long or None

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        config.hook.pytest_deselected(items=[item for item in items if is_slow(item)])
        items[:] = [item for item in items if not is_slow(item)]

    def pytest_collection_finish(self) -> None:
        self.loads_torch = "torch" in sys.modules

    def pytest_runtest_logstart(self) -> None:
        self._begin = _cpu_s()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> None:
        """Puts the time into the last report of a test, which goes to the process that sums up."""
        if call.when == "teardown":
            item.user_properties.append(("cpu_s", _cpu_s() - self._begin))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "teardown":
            self._seconds[report.nodeid.partition("::")[0]] += dict(report.user_properties).get("cpu_s", 0)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for file, seconds in self._seconds.most_common():
            if seconds > BOUND_S:
                terminalreporter.write_line(f"{file} took {seconds:.1f} s of CPU time: add it to tests/long_files.txt")
