"""Release folders for fuzzing: a file is corrupted, or is valid with other content.

Records that their models refuse are rejected there. So half of the records are changed within their types
until the model accepts them, and half of the tables are valid Parquet with other columns, types, nulls or rows.
"""

from __future__ import annotations

import contextlib
import copy
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from polyfact_dataset.audit.load import read as read_for_audit
from polyfact_dataset.cli import tables as show
from polyfact_dataset.common.errors import PolyFactError
from polyfact_dataset.common.files import write_json
from polyfact_dataset.config.build import Config, load_config
from polyfact_dataset.hub.push import require_publishable
from polyfact_dataset.pipeline.rebuild import configuration
from polyfact_dataset.release import diff, query
from polyfact_dataset.release import reader as source
from polyfact_dataset.release.audit_report import AuditReport, Floor, GateResult
from polyfact_dataset.release.documents import render_again
from polyfact_dataset.release.models import About, Manifest, Statistics
from polyfact_dataset.release.stats import read_statistics, statistics
from tests.support.hostile import hostile_json, mutated_bytes, places
from tests.support.planted import build, world

MODELS: dict[str, type[BaseModel]] = {
    "manifest.json": Manifest,
    "release.json": About,
    "statistics.json": Statistics,
    "audit/report.json": AuditReport,
}

_KINDS = ("drop", "rename", "null", "type", "rows", "twice")


@cache
def _config() -> Config:
    languages = ("en", "sw", "zh")
    few = {"languages": languages, "candidates__min_languages": len(languages)}
    return load_config(facts=40, relations=("P36",), extract__workers=1, **few)


def _report() -> AuditReport:
    """A report with a gate and a floor."""
    gate = GateResult(
        gate="parallel_rows",
        audit="parallelism",
        status="held",
        value=1.0,
        at="least",
        limit=1.0,
        usual_limit=1.0,
        reason="r",
        detail="d",
    )
    shares = dict.fromkeys(("accuracy", "expected", "standard_error", "low", "high", "distance"), 0.25)
    floor = Floor(rule="longest", takes="t", sees="options", split="test", language="all", facts=10, **shares)
    return AuditReport(
        polyfact="1",
        release="r",
        content="c",
        facts=40,
        languages=["en", "sw", "zh"],
        splits={"train": 20, "validation": 10, "test": 10},
        passed=True,
        broken=[],
        not_checked=["n"],
        gates=[gate],
        floors=[floor],
        audits=[{"name": "balance", "tables": []}],
    )


@cache
def _release(folder: Path) -> Path:
    """A valid release of a planted world, with what the card and the audit would add."""
    release = build(folder, world(), config=_config()) / "release"
    write_json(release / "release.json", {"version": "1.0.0", "content": "c", "release": {}})
    write_json(release / "statistics.json", statistics(release))
    write_json(release / "audit" / "report.json", _report().model_dump(mode="json"))
    (release / "CHANGELOG.md").write_text("# Changes\n")
    return release


@dataclass(frozen=True)
class Spoilt:
    """A file of a release and its new content. `valid`: the model of the file accepts it."""

    name: str
    data: bytes
    valid: bool = False


@st.composite
def valid_records(draw: st.DrawFn, base: Any, model: type[BaseModel]) -> bytes:
    """A record with up to six changes within its types, each of which the model accepts."""
    record = copy.deepcopy(base)
    model.model_validate_json(json.dumps(record))
    words = [key for path in places(record) for key in path if isinstance(key, str)]
    texts = st.text(max_size=20) | st.sampled_from([*words, "train", "en", "P36", "../x", "\x1b[2J", "x" * 1000])
    counts = st.sampled_from((0, 1, 2, 10**12)) | st.integers(0, 1000)
    for _ in range(draw(st.integers(1, 6))):
        changed = copy.deepcopy(record)
        *path, key = draw(st.sampled_from(places(changed)[1:]))
        holder = changed
        for step in path:
            holder = holder[step]
        value = holder[key]
        if isinstance(value, (dict, list)) or draw(st.integers(0, 3)) == 0:
            kind = draw(st.sampled_from(("remove", "empty", "add")))
            if kind == "remove":
                del holder[key]
            elif kind == "empty" and isinstance(value, (dict, list)):
                value.clear()
            elif isinstance(holder, dict):
                holder[draw(texts)] = value
            else:
                holder.append(value)
        elif isinstance(value, str):
            holder[key] = draw(texts)
        elif isinstance(value, bool):
            holder[key] = not value
        elif isinstance(value, (int, float)):
            holder[key] = type(value)(draw(counts))
        # A change that the model refuses is not made.
        with contextlib.suppress(ValidationError):
            model.model_validate_json(json.dumps(changed))
            record = changed
    return json.dumps(record).encode()


@st.composite
def valid_tables(draw: st.DrawFn, data: bytes) -> bytes:
    """A valid Parquet file of other columns, types or rows."""
    table = pq.read_table(BytesIO(data))
    for _ in range(draw(st.integers(1, 3))):
        if not table.num_columns:
            break
        place = draw(st.integers(0, table.num_columns - 1))
        name, kind = (
            table.column_names[place],
            draw(st.sampled_from(("drop", "rename", "null", "type", "rows", "twice"))),
        )
        if kind == "drop":
            table = table.remove_column(place)
        elif kind == "rename":
            table = table.rename_columns([f"{n}_" if n == name else n for n in table.column_names])
        elif kind == "null":
            table = table.set_column(place, name, pa.nulls(len(table), table.column(place).type))
        elif kind == "type":
            other = draw(
                st.sampled_from((pa.array([1.5] * len(table)), pa.array([[1]] * len(table)), pa.nulls(len(table))))
            )
            table = table.set_column(place, name, other)
        elif kind == "rows":
            table = table.slice(0, draw(st.integers(0, 2)))
        else:
            table = pa.concat_tables([table, table])
    sink = BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def spoilt(folder: Path) -> st.SearchStrategy[Spoilt]:
    """A file of a valid release with its new content."""
    release = _release(folder)
    files = sorted(path for path in release.rglob("*") if path.is_file())

    def change(path: Path) -> st.SearchStrategy[Spoilt]:
        data, name = path.read_bytes(), path.relative_to(release).as_posix()
        broken = hostile_json(json.loads(data)) if path.suffix == ".json" else mutated_bytes(data)
        changed = broken.map(lambda data: Spoilt(name, data))
        if name in MODELS:
            return changed | valid_records(json.loads(data), MODELS[name]).map(lambda data: Spoilt(name, data, True))
        if path.suffix == ".parquet":
            return changed | valid_tables(data).map(lambda data: Spoilt(name, data))
        return changed

    return st.sampled_from(files).flatmap(change)


def release_folders(changed: Spoilt, folder: Path) -> None:
    """A release with a changed file: shown, searched, counted, compared, checked, audited, rebuilt and pushed."""
    if changed.valid:
        MODELS[changed.name].model_validate_json(changed.data)
    sound = _release(folder)
    release = folder / "spoilt"
    shutil.rmtree(release, ignore_errors=True)
    shutil.copytree(sound, release)
    (release / changed.name).write_bytes(changed.data)
    fact = pq.read_table(next((sound / "data" / "parallel").glob("*.parquet"))).column("fact_id")[0].as_py()
    uses: tuple[Callable[[], object], ...] = (
        lambda: show.stats(read_statistics(str(release))),
        lambda: show.fact(query.fact(release, fact, ["en"])),
        lambda: query.search(release, "Land", [], 5),
        lambda: statistics(release),
        lambda: source.check_content(release),
        lambda: source.read_release(release),
        lambda: diff.compare(sound, release),
        lambda: read_for_audit(release, _config()),
        lambda: configuration(release),
        lambda: require_publishable(release, None, "a/b", True),
        *((lambda: render_again(release),) if changed.valid else ()),
    )
    for use in uses:
        with contextlib.suppress(PolyFactError):
            use()
