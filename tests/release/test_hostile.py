"""A release folder by a stranger: what it names stays inside it, and its texts stay texts."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest
from markdown_it import MarkdownIt

from polyfact_dataset.audit.load import read
from polyfact_dataset.cli import tables as show
from polyfact_dataset.common.errors import ConfigError, DataError
from polyfact_dataset.config.build import load_config
from polyfact_dataset.hub.push import require_publishable
from polyfact_dataset.pipeline.rebuild import _answered, configuration
from polyfact_dataset.release import card, query
from polyfact_dataset.release.diff import compare
from polyfact_dataset.release.documents import loading_script, render_again
from polyfact_dataset.release.reader import config_files, read_release
from polyfact_dataset.release.stats import statistics
from tests.support.released import copy_of, edited

OUTSIDE = (
    "../../secret.parquet",
    "/etc/secret.parquet",
    "data/../../secret.parquet",
    "data/sw/../../../secret.parquet",
    "data/-x/secret.parquet",
    "data/sw/secret.txt",
    "data/sw/a'b.parquet",
    "https://example.org/data/sw/x.parquet",
    "data/sw/x.parquet\n",
)


def with_changed_record(folder: Path, change: Callable[[dict[str, Any]], None], name: str = "manifest.json") -> Path:
    """The release with another manifest."""
    manifest = json.loads((folder / name).read_text())
    change(manifest)
    (folder / name).write_text(json.dumps(manifest))
    return folder


@pytest.mark.parametrize("where", ["configs", "files"])
@pytest.mark.parametrize("path", OUTSIDE)
def test_a_manifest_names_no_file_outside_its_release(path: str, where: str, small: Path, tmp_path: Path) -> None:
    def plant(manifest: dict[str, Any]) -> None:
        if where == "files":
            manifest["files"][path] = "0" * 64
        else:
            manifest["configs"]["sw"]["test"] = [path]

    copy = with_changed_record(copy_of(small, tmp_path / "copy"), plant)
    readers: tuple[Callable[[Path], Any], ...] = (
        lambda folder: config_files(folder, "parallel"),
        statistics,
        render_again,
        read_release,
        configuration,
        lambda folder: require_publishable(folder, None, "jvonrad/PolyFact", True),
        lambda folder: compare(small, folder),
        lambda folder: query.search(folder, "a", [], 1),
    )
    for reader in readers:
        with pytest.raises(DataError, match="not a data file of a release"):
            reader(copy)
    # The audit reads the files that are there, and finds that the manifest speaks of another.
    if where == "files":
        assert path in read(copy, load_config()).files


@pytest.mark.parametrize("code", ["sw\" FROM read_text('/etc/hosts') --", "../sw", "", "SW'"])
def test_a_language_is_no_query(code: str, small: Path, tmp_path: Path) -> None:
    copy = with_changed_record(
        copy_of(small, tmp_path / "copy"), lambda m: m["build"]["config"]["languages"].append(code)
    )
    for reader in (statistics, lambda folder: query.search(folder, "a", [], 1)):
        with pytest.raises(DataError, match="is not a language code"):
            reader(copy)


@pytest.mark.parametrize("path", OUTSIDE)
def test_the_loading_script_reads_nothing_outside(path: str, small: Path, tmp_path: Path) -> None:
    copy = with_changed_record(copy_of(small, tmp_path / "copy"), lambda m: m["configs"]["sw"].update(test=[path]))
    script = tmp_path / "script.py"
    script.write_text(loading_script(read_release(small)))
    spec = importlib.util.spec_from_file_location("script", script)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    asked: list[object] = []

    def download(what: Any) -> Any:
        asked.append(what)
        return what

    builder = SimpleNamespace(
        config=SimpleNamespace(name="sw", data_dir=str(copy)), base_path="", info=SimpleNamespace()
    )
    builder._release = lambda manager: module.PolyFact._release(builder, manager)
    with pytest.raises(ValueError, match="no data file of a release"):
        module.PolyFact._split_generators(builder, SimpleNamespace(download=download))
    assert asked == [f"{copy}/manifest.json"]


@pytest.mark.parametrize("name", ["audit/report.html", "audit/more", "data/more"])
def test_what_a_link_leads_to_is_not_pushed(name: str, small: Path, tmp_path: Path) -> None:
    copy, token = copy_of(small, tmp_path / "copy"), tmp_path / "token"
    token.write_text("hf_secret")
    (copy / name).unlink(missing_ok=True)
    (copy / name).symlink_to(token)
    with pytest.raises(DataError, match=f"{name} is a link"):
        require_publishable(copy, None, "jvonrad/PolyFact", True)
    (copy / name).unlink()
    (copy / name).symlink_to(tmp_path, target_is_directory=True)
    with pytest.raises(DataError, match=f"{name} is a link"):
        require_publishable(copy, None, "jvonrad/PolyFact", True)


def test_a_rebuild_asks_no_stranger_and_writes_no_strangers_file(small: Path, tmp_path: Path) -> None:
    def plant(manifest: dict[str, Any]) -> None:
        own = manifest["build"]["config"]
        own["llm"] = {"base_url": "http://evil.example/v1", "api_key_env": "HF_TOKEN", "cache": "/tmp/evil.sqlite"}
        api = {"api": "http://evil.example", "cache": "/tmp/evil.sqlite", "contact": "a@b.example", "offline": False}
        own["backfill"] |= {"enabled": True, **api}
        own["extract"] |= {"workers": 200, "max_expansion": 1e9}

    _, config = configuration(with_changed_record(copy_of(small, tmp_path / "copy"), plant))
    assert config.backfill.enabled and config.backfill.offline and "evil" not in repr(config)
    assert (config.llm, config.extract) == (
        load_config().llm,
        load_config(None, extract=config.extract.model_dump()).extract,
    )
    assert config.extract.workers != 200 and config.extract.max_expansion == 1000
    # Wikidata may answer otherwise by now: its answers are needed.
    with pytest.raises(ConfigError, match=r"wikidata-cache\.sqlite\) by --cache-from"):
        _answered(config, None)
    (tmp_path / "wikidata-cache.sqlite").touch()
    assert _answered(config, tmp_path).backfill.cache == tmp_path / "wikidata-cache.sqlite"


HOSTILE = (
    "<script>alert(1)</script> [x](javascript:y) | ![i](http://e) `c` &lt;b&gt; \n# h\n"
    "\x1b]0;owned\x07\x1b[2J [red]r[/nope]"
)


@pytest.fixture
def hostile(small: Path, tmp_path: Path) -> Path:
    """A release in which every text is hostile."""

    def plant(rows: list[dict[str, Any]]) -> None:
        for row in rows:
            for name in ("subject", "relation", "object", "domain"):
                row[name] = HOSTILE
            for item in row["translations"].values():
                item["question"] = HOSTILE
                for option in "abcd":
                    item[f"option_{option}"] = f"{HOSTILE}{option}"
                item["answer_text"] = item[f"option_{'abcd'[item['answer_index']]}"]

    return edited(small, tmp_path / "hostile", plant)


def test_hostile_texts_stay_texts_in_the_card(hostile: Path, small: Path) -> None:
    release = read_release(small)
    mixed = type(release)(hostile, json.loads((hostile / "manifest.json").read_text()), release.about, {}, "")
    example = card._example(mixed)
    shown = card.render(
        "card.md.j2", {**card.values(release, statistics(small)), "example": {**example, "fact_id": "Q1`|<b>\n# h"}}
    )
    tokens = [
        part
        for token in MarkdownIt("commonmark", {"html": True}).enable("table").parse(shown)
        for part in (token, *(token.children or ()))
    ]
    assert not [token for token in tokens if token.type in ("html_inline", "html_block")]
    targets = [
        token.attrGet("href") or token.attrGet("src") for token in tokens if token.type in ("link_open", "image")
    ]
    assert targets and not [target for target in targets if "javascript" in target or "//e" in target]
    texts = [token.content for token in tokens if token.type == "text"]
    assert not [token for token in tokens if token.type == "code_inline" and token.content == "c"] and "h" not in texts
    assert "Q1|<b> # h" in [token.content for token in tokens if token.type == "code_inline"]
    # What was a label is still read as one.
    assert any("<script>alert(1)</script> [x](javascript:y) | ![i](http://e) `c` &lt;b&gt;" in text for text in texts)


def test_hostile_texts_do_nothing_to_a_terminal(
    hostile: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = config_files(hostile, "parallel")["test"][0]
    fact = pq.read_table(path).column("fact_id")[0].as_py()
    show.fact(query.fact(hostile, fact, []))
    show.hits(*query.search(hostile, "alert", ["en"], 3))
    show.diff(compare(hostile, hostile), ("1", "2"), "3")
    text = capsys.readouterr().out
    assert (
        "\x1b" not in text and "\x07" not in text and "[red]r[/nope]" in text and "\N{REPLACEMENT CHARACTER}[2J" in text
    )


def test_hostile_names_of_relations_are_counted_and_shown(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures = statistics(small)
    for entry in figures["relations"].values():
        entry["label"] = "[/nope] [red]\x1b[2J"
    show.stats(figures)
    text = capsys.readouterr().out
    assert "[/nope] [red]" in text and "\x1b" not in text
