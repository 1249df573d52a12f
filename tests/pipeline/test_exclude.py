"""Facts that are left out of a build: others take their place, the folder resumes, and the reasons are recorded."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from polyfact_dataset.cli.build_commands import _without_option, refuse, write_exclusions
from polyfact_dataset.common.errors import ConfigError, DataError
from polyfact_dataset.common.files import read_json
from polyfact_dataset.common.progress import Log
from polyfact_dataset.config.build import load_config
from polyfact_dataset.pipeline.context import Inputs
from polyfact_dataset.pipeline.inputs import excluded_before, read_excluded
from polyfact_dataset.pipeline.runner import run
from polyfact_dataset.pipeline.stages import EXTRACT, ITEMS, SAMPLE, stage_folder, table_path
from polyfact_dataset.release.schema import FINDINGS
from polyfact_dataset.wikidata.dump import identify
from tests.support.planted import build, reasons, world

CONFIG = load_config(facts=48, extract__workers=1)


def sampled(out: Path) -> list[dict]:
    return pq.read_table(table_path(out, "sampled")).to_pylist()


@pytest.fixture(scope="module")
def rebuilt(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict], dict[str, str]]:
    """A build of 48 of 60 facts that ran again without two of them; the rows before, and what was excluded."""
    folder = tmp_path_factory.mktemp("exclude")
    out = build(folder, world(60), "items", CONFIG)
    before, dump = sampled(out), folder / "build.json"
    excluded = {before[0]["fact_id"]: "leak_alias:en", before[30]["fact_id"]: "wrong"}
    extracted = (stage_folder(out, EXTRACT) / "entities.parquet").stat().st_mtime_ns
    run(replace(Inputs(CONFIG, dump, identify(dump)), excluded=excluded), out, Log(quiet=True), until=ITEMS)
    assert (stage_folder(out, EXTRACT) / "entities.parquet").stat().st_mtime_ns == extracted
    return out, before, excluded


def test_others_are_drawn_in_their_place(rebuilt: tuple[Path, list[dict], dict[str, str]]) -> None:
    out, before, excluded = rebuilt
    after = {row["fact_id"] for row in sampled(out)}
    assert len(after) == len(before) == 48 and after.isdisjoint(excluded)
    found = reasons(pq.read_table(stage_folder(out, SAMPLE) / "rejects.parquet").to_pylist())
    assert all(found[fact] == ["excluded"] for fact in excluded)


def test_options_are_exchangeable_again(rebuilt: tuple[Path, list[dict], dict[str, str]]) -> None:
    golds: Counter[tuple[str, str]] = Counter()
    options: Counter[tuple[str, str]] = Counter()
    for row in sampled(rebuilt[0]):
        golds[row["stratum"], row["object_id"]] += 1
        options.update((row["stratum"], entity) for entity in (row["object_id"], *row["distractor_ids"]))
    assert options == Counter({key: 4 * count for key, count in golds.items()})


def test_the_reasons_are_in_the_manifest_and_stay(rebuilt: tuple[Path, list[dict], dict[str, str]]) -> None:
    out, _, excluded = rebuilt
    assert read_json(out / "manifest.json")["build"]["excluded"] == excluded
    assert excluded_before(out, overwrite=False) == excluded and excluded_before(out, overwrite=True) == {}


def test_ids_in_a_text_file(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    path.write_text("# seen by a reader\nQ90|P17|Q142\n\nQ84|P17|Q145\tasks for the past\n")
    assert read_excluded(path) == {"Q84|P17|Q145": "asks for the past", "Q90|P17|Q142": "excluded"}


def finding(check: str, fact: str, language: str | None) -> dict:
    return {"audit": "x", "check": check, "fact_id": fact, "language": language, "split": None, "detail": "d"}


def findings(folder: Path) -> Path:
    rows = [
        finding("leak_alias", "Q1|P17|Q2", "en"),
        finding("leak_alias", "Q1|P17|Q2", "de"),
        finding("multiplicity", "P17/train/000", None),
        finding("length_band", "Q3|P17|Q2", "en"),
    ]
    path = folder / "findings.parquet"
    pq.write_table(pa.Table.from_pylist(rows, schema=FINDINGS.schema), path)
    return path


def test_the_findings_of_an_audit(tmp_path: Path) -> None:
    assert read_excluded(findings(tmp_path)) == {"Q1|P17|Q2": "leak_alias:en", "Q3|P17|Q2": "length_band:en"}


def test_of_a_verification_the_incorrect_ones(tmp_path: Path) -> None:
    rows = [
        {"fact_id": "Q1|P17|Q2", "language": "en", "label": "incorrect", "judge_label": "incorrect"},
        {"fact_id": "Q3|P17|Q2", "language": "en", "label": "correct", "judge_label": "correct"},
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "verification.parquet")
    assert read_excluded(tmp_path / "verification.parquet") == {"Q1|P17|Q2": "judged_incorrect:en"}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "Q90|P17|Q142\nParis\n", "line 2: 'Paris' is not a fact id"),
        ("a.txt", "# nothing\n", "contains no fact"),
        ("a.csv", "fact,language\nQ1|P1|Q2,en\n", "no column fact_id; it has fact, language"),
        ("a.csv", "fact_id\nParis\n", "no row names a fact"),
    ],
)
def test_a_file_that_excludes_nothing_is_refused(name: str, content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(ConfigError, match="--exclude") as error:
        read_excluded(tmp_path / name)
    assert message in str(error.value)


def test_a_refusal_ends_with_the_command_that_leaves_the_facts_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    findings(tmp_path)
    target = tmp_path / "exclude.csv"
    monkeypatch.setattr("sys.argv", ["polyfact", "build", "--out", "b c", "--exclude", "old.csv", "--overwrite"])
    with pytest.raises(DataError) as error:
        refuse(["leak_alias (leakage): 2, allowed is at most 0"], tmp_path, target)
    assert str(error.value).endswith(
        "to leave out the 1 affected facts and replace them by others, run:\n"
        f"  polyfact build --out 'b c' --exclude {target}"
    )
    assert read_excluded(target) == {"Q1|P17|Q2": "leak_alias:en"}


def test_no_command_where_no_fact_is_to_blame(tmp_path: Path) -> None:
    findings(tmp_path)
    assert write_exclusions(tmp_path, ["multiplicity (balance): 0.1"], tmp_path / "exclude.csv") == 0
    assert not (tmp_path / "exclude.csv").exists()
    with pytest.raises(DataError) as error:
        refuse(["multiplicity (balance): 0.1"], tmp_path, tmp_path / "exclude.csv")
    assert "--exclude" not in str(error.value)


def test_options_are_taken_out_of_a_command() -> None:
    command = ["polyfact", "build", "--exclude", "a.csv", "--overwrite", "--facts", "10", "--exclude=b.csv"]
    assert _without_option(command, "--exclude", "--overwrite") == ["polyfact", "build", "--facts", "10"]
