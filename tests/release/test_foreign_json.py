"""JSON files of a release that somebody else wrote: every command refuses them in one line."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyfact_dataset.cli.app import run
from polyfact_dataset.common.errors import DataError
from polyfact_dataset.common.untrusted import shown
from polyfact_dataset.hub.plan import tree
from polyfact_dataset.release.models import Manifest
from polyfact_dataset.release.reader import read_about, read_manifest, require_plain
from tests.support.released import copy_of

Change = Callable[[dict[str, Any]], Any]
Refusal = Callable[..., str]


def _set(*path: str, value: Any) -> Change:
    def change(manifest: dict[str, Any]) -> None:
        for name in path[:-1]:
            manifest = manifest[name]
        manifest[path[-1]] = value

    return change


def _many_configs(manifest: dict[str, Any]) -> None:
    for name in ("configs", "sizes"):
        manifest[name] |= {f"c{number}": manifest[name]["parallel"] for number in range(10_000)}


MANIFESTS: dict[str, Change] = {
    "no language": _set("build", "config", "languages", value=[]),
    "10,000 languages": _set("build", "config", "languages", value=["en"] * 10_000),
    "languages null": _set("build", "config", "languages", value=None),
    "a language twice": _set("build", "config", "languages", value=["en", "en"]),
    "stage null": _set("stages", "tier", value=None),
    "negative tally": _set("stages", "validate", "tally", value={"P36": {"input": -1, "kept": 0, "rejected": {}}}),
    "count that is a text": _set("stages", "extract", "counts", "statements", value="many"),
    "limit that is a text": _set("build", "config", "tiers", value={"max_ambiguity": "x", "min_judged_items": 1}),
    "config of another table": lambda m: m["configs"]["sw"].update(m["configs"]["en"]),
    "split of another": lambda m: m["configs"]["sw"].update(train=m["configs"]["sw"]["test"]),
    "config without sizes": lambda m: m["sizes"].pop("sw"),
    "negative size": _set("sizes", "sw", "train", value=-1),
    "dump of another type": _set("build", "dump", value=["x"]),
    "previous release of another type": _set("build", "previous_release", value=[]),
    "previous release without content": _set("build", "previous_release", value={"version": "1.0.0"}),
    "excluded of another type": _set("build", "excluded", value=[1]),
    "10,000 configs": _many_configs,
    "digest of another type": lambda m: m["files"].update({next(iter(m["files"])): 5}),
    "terminal command as a config": lambda m: m["configs"].update({"\x1b[2J\n" * 50: {}}),
}


@pytest.fixture(scope="module")
def copied(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_of(small, tmp_path_factory.mktemp("foreign") / "copy")


@pytest.fixture
def release(copied: Path) -> Iterator[Path]:
    """A release whose JSON files may be changed; they are as before for the next test."""
    before = {path: path.read_bytes() for path in copied.rglob("*.json")}
    yield copied
    for path, content in before.items():
        path.write_bytes(content)


@pytest.fixture
def refusal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Refusal:
    """Runs a command; the one line with which it refuses its input."""

    def line_of(*words: object) -> str:
        monkeypatch.setattr(sys, "argv", ["polyfact", *map(str, words)])
        capsys.readouterr()
        code = run()
        line = capsys.readouterr().err
        assert code in (1, 2) and line.startswith("polyfact: ") and line.count("\n") == 1 and len(line) < 1000, line
        assert line[:-1].isprintable()
        return line

    return line_of


def commands(release: Path, sound: Path, folder: Path) -> list[tuple[object, ...]]:
    """The commands that read a release."""
    return [
        ("show", "Q1|P36|Q2", "--release", release),
        ("search", "a", "--release", release),
        ("stats", release),
        ("verify", "sample", release, "--folder", folder / "verification"),
        ("card", release),
        ("card", release, "--check"),
        ("push", release, "--repo", "somebody/sample", "--dry-run"),
        ("diff", sound, release),
        ("diff", release, sound),
        ("rebuild", release, "--out", folder / "rebuild"),
        ("space", release, "--out", folder / "space"),
        ("build", "--previous", release, "--out", folder / "build"),
    ]


@pytest.mark.parametrize("name", MANIFESTS)
def test_every_command_refuses_a_manifest_in_one_line(
    name: str, release: Path, small: Path, tmp_path: Path, refusal: Refusal
) -> None:
    manifest = json.loads((release / "manifest.json").read_text())
    MANIFESTS[name](manifest)
    (release / "manifest.json").write_text(json.dumps(manifest))
    for words in commands(release, small, tmp_path):
        line = refusal(*words)
        assert str(release / "manifest.json") in line, (words, line)
    if name in ("no language", "dump of another type", "digest of another type"):
        assert "manifest.json" in refusal("audit", release, "--out", tmp_path / "audit")


@pytest.mark.parametrize("text", ["[]", "NaN", "true", "null", '"x"', "[" * 100_000, '{"a": ' * 100_000])
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("manifest.json", ("show", "Q1|P36|Q2", "--release")),
        ("manifest.json", ("audit",)),
        ("release.json", ("card",)),
        ("release.json", ("build", "--previous")),
        ("statistics.json", ("stats",)),
        ("audit/report.json", ("card",)),
        ("audit/report.json", ("build", "--previous")),
    ],
)
def test_a_file_that_holds_no_object_is_refused(
    name: str,
    words: tuple[str, ...],
    text: str,
    release: Path,
    tmp_path: Path,
    refusal: Refusal,
) -> None:
    (release / name).write_text(text)
    line = refusal(*words, release, "--out", tmp_path) if "build" in words else ""
    line = line or refusal(*words, release)
    assert str(release / name) in line


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("version", 5),
        ("content", None),
        ("previous", []),
        ("previous", {"version": "1.0.0"}),
        ("dump_date", 5),
        ("release", {"repository": "../x"}),
        ("release", {"unknown": 1}),
        ("release", []),
    ],
)
def test_a_strange_release_json_is_refused(key: str, value: Any, release: Path) -> None:
    about = json.loads((release / "release.json").read_text())
    (release / "release.json").write_text(json.dumps({**about, key: value}))
    with pytest.raises(DataError, match=f"release.json: {key}"):
        read_about(release)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("facts",), -1),
        (("facts",), float("nan")),
        (("splits",), {}),
        (("relations",), {"P36": {}}),
        (("popularity", "bins", "gold"), [1]),
        (("languages", "sw", "answer_provenance"), {"label": "x"}),
        (("verification",), None),
    ],
)
def test_strange_statistics_are_refused(
    path: tuple[str, ...],
    value: Any,
    release: Path,
    refusal: Refusal,
) -> None:
    figures = json.loads((release / "statistics.json").read_text())
    _set(*path, value=value)(figures)
    (release / "statistics.json").write_text(json.dumps(figures))
    assert "statistics.json: " in refusal("stats", release)


def test_a_built_manifest_is_accepted_as_it_is(small: Path) -> None:
    written = json.loads((small / "manifest.json").read_text())
    assert read_manifest(small) == written
    Manifest.model_validate(written)


@pytest.mark.parametrize("name", ["../x", "data/../../x.parquet", "/etc/x", "", "a//b", "a\\..\\b", "./x"])
def test_a_listing_of_the_hub_leads_out_of_no_folder(name: str) -> None:
    class Api:
        def list_repo_tree(self, *_: object, **__: object) -> list[Any]:
            return [type("Entry", (), {"path": name})()]

    with pytest.raises(DataError, match="not a path in a repository"):
        require_plain(name, "a/b")
    with pytest.raises(DataError, match="a/b: the Hub lists"):
        tree(Api(), "a/b", "main")  # type: ignore[arg-type]


@given(st.text(max_size=400))
def test_foreign_text_in_a_message_is_one_short_line(text: str) -> None:
    line = shown(text)
    assert line.isprintable() and line.isascii() and len(line) <= 123
