"""A small release, two languages and four relations, and the one that follows when a fact is no longer stated."""

from __future__ import annotations

import bz2
import csv
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from polyfact_dataset.pipeline.inputs import SAMPLE_DUMP, SAMPLE_LABELS
from tests.support import rendered
from tests.support.command import polyfact
from tests.support.released import parallel_rows_of
from tests.support.sharing import made_once

CONFIG = """
languages = ["en", "sw"]
facts = 200
relations = ["P36", "P17", "P50", "P19"]
[candidates]
min_languages = 2
[release]
contact = "maintainer@example.org"
"""


@pytest.fixture
def rendered_once() -> Iterator[None]:
    """Documents are rendered once for equal releases, where a test is not about rendering."""
    with rendered.rendered_once():
        yield


@pytest.fixture(scope="session")
def small_config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("config") / "polyfact.toml"
    path.write_text(CONFIG)
    return path


@pytest.fixture(scope="session")
def small_dump(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The entities of the sample as the dump of a day, since releases of the bundled sample are not published.

    The written labels of the sample are labels of its entities here.
    """
    written: dict[str, dict[str, str]] = {}
    for row in csv.DictReader(SAMPLE_LABELS.read_text(encoding="utf-8").splitlines(), delimiter="\t"):
        written[row.pop("qid")] = {code: text for code, text in row.items() if text}
    lines = []
    for line in bz2.decompress(SAMPLE_DUMP.read_bytes()).decode().splitlines():
        entity = json.loads(line.rstrip(",")) if line.startswith("{") else {}
        if own := written.get(entity.get("id", "")):
            labels = {code: {"language": code, "value": text} for code, text in own.items()}
            entity["labels"] = {**labels, **dict(entity["labels"])}
            line = json.dumps(entity) + ("," if line.endswith(",") else "")
        lines.append(line)
    path = tmp_path_factory.mktemp("dump") / "wikidata-20260105-all.json"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="session")
def small_options(small_config: Path, small_dump: Path) -> tuple[object, ...]:
    """The options of the small build."""
    return ("--config", small_config, "--dump", small_dump, "--quiet")


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory, small_options: tuple[object, ...]) -> Path:
    """The release folder of a small build."""
    return made_once(tmp_path_factory, "small", lambda out: polyfact("build", "--out", out, *small_options)) / "release"


@pytest.fixture(scope="session")
def dropped_fact(small: Path) -> str:
    """A train fact of the small release."""
    return min(row["fact_id"] for row in parallel_rows_of(small) if row["split"] == "train")


@pytest.fixture(scope="session")
def next_dump(tmp_path_factory: pytest.TempPathFactory, small_dump: Path, dropped_fact: str) -> Path:
    """The small dump without the statement of `dropped_fact`."""
    subject, relation, value = dropped_fact.split("|")
    lines = small_dump.read_text().splitlines()
    for place, line in enumerate(lines):
        if f'"id":"{subject}"' in line:
            entity = json.loads(line.rstrip(","))
            if entity["id"] != subject:
                continue
            statements = entity["claims"][relation]
            kept = [s for s in statements if s["mainsnak"].get("datavalue", {}).get("value", {}).get("id") != value]
            assert len(kept) == len(statements) - 1
            entity["claims"][relation] = kept
            lines[place] = json.dumps(entity) + ("," if line.endswith(",") else "")
    path = tmp_path_factory.mktemp("dump") / "wikidata-20260202-all.json"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="session")
def following(tmp_path_factory: pytest.TempPathFactory, small: Path, next_dump: Path, small_config: Path) -> Path:
    """The release that is built on `small` from `next_dump`."""
    arguments = ("--config", small_config, "--dump", next_dump, "--previous", small, "--quiet")
    return made_once(tmp_path_factory, "following", lambda out: polyfact("build", "--out", out, *arguments)) / "release"
