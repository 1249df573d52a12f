"""The audit as a stage and as a command: reports, exit codes, the content that does not change."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from polyfact_dataset.audit import report
from polyfact_dataset.audit.run import AUDITS, run_alone
from polyfact_dataset.cli import build_commands as build
from polyfact_dataset.common.errors import ConfigError, DataError
from polyfact_dataset.common.files import read_json
from polyfact_dataset.common.progress import Log
from polyfact_dataset.config.audit import GATES, Gate
from polyfact_dataset.config.build import load_config
from polyfact_dataset.pipeline import runner as pipeline
from polyfact_dataset.pipeline.context import Inputs
from polyfact_dataset.pipeline.inputs import SAMPLE_DUMP
from polyfact_dataset.pipeline.stages import AUDIT
from polyfact_dataset.release.layout import content_of, data_files
from polyfact_dataset.release.schema import CONTAMINATION, FINDINGS
from polyfact_dataset.wikidata.dump import identify
from tests.support.audited import on_disk
from tests.support.command import polyfact

QUIET = Log(quiet=True)


@pytest.fixture(scope="module")
def summary(sample_build: Path) -> dict:
    return read_json(sample_build / "release" / "audit" / "report.json")


CHECKS = [
    *("integrity", "shortcuts", "attackers", "plausibility", "leakage", "answerability", "parallelism", "scripts"),
    *("language_id", "balance", "labels", "names", "columns", "popularity", "writing", "cues"),
]


def test_the_sample_release_passes_every_gate(summary: dict) -> None:
    assert summary["passed"] and summary["broken"] == [] and summary["not_checked"] == []
    assert [gate["gate"] for gate in summary["gates"]] == list(GATES)
    assert {gate["status"] for gate in summary["gates"]} == {"held"}
    names = [entry["name"] for entry in summary["audits"]]
    assert names == [module.__name__.split(".")[-1] for module in AUDITS]
    # A further check may stand anywhere among these.
    assert [name for name in names if name in CHECKS] == CHECKS


def test_the_report_names_the_content_and_does_not_change_it(sample_build: Path, summary: dict) -> None:
    release = sample_build / "release"
    assert summary["content"] == read_json(release / "manifest.json")["content"] == content_of(data_files(release))
    assert report.require_passing(release).passed
    assert read_json(sample_build / "manifest.json")["stages"]["audit"]["counts"]["content"] == summary["content"]


def test_all_findings_are_in_the_side_table(sample_build: Path, summary: dict) -> None:
    table = pq.read_table(sample_build / "release" / "audit" / "findings.parquet")
    assert table.schema.equals(FINDINGS.schema)
    assert len(table) == sum(sum(entry["findings"].values()) for entry in summary["audits"])
    assert pq.read_schema(sample_build / "release" / "audit" / "contamination.parquet").equals(CONTAMINATION.schema)


def test_the_page_needs_nothing_from_elsewhere(sample_build: Path) -> None:
    page = (sample_build / "release" / "audit" / "report.html").read_text(encoding="utf-8")
    links = re.findall(r"(?:src|href|url)\s*[=(]\s*[\"']?([^\"')\s>]+)", page)
    assert links and all(link.startswith("#") for link in links)
    assert "http" not in re.sub(r'xmlns(:xlink)?="[^"]+"', "", page)
    assert page.count("<svg") == page.count("<figure") > 6 and "prefers-color-scheme" in page and "<script" not in page
    assert not re.search(r"#0102[0-9a-f]{2}", page)


@pytest.fixture(params=["small", pytest.param("sample", marks=pytest.mark.slow)])
def built(request: pytest.FixtureRequest, small: Path) -> Path:
    """The release folder of a build."""
    return small if request.param == "small" else request.getfixturevalue("sample_build") / "release"


def test_alone_it_says_the_same_as_the_build(built: Path, tmp_path: Path) -> None:
    run_alone(built, tmp_path / "report", load_config(), QUIET)
    for path in sorted((built / "audit").iterdir()):
        assert (tmp_path / "report" / path.name).read_bytes() == path.read_bytes(), path.name


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return on_disk(tmp_path_factory.mktemp("refused") / "release", 600, "co-occurring", 40)


def test_the_command_refuses_and_lists_the_broken_gates(refused: Path, tmp_path: Path) -> None:
    result = polyfact("audit", refused, "--output", tmp_path / "report", check=False)
    assert result.returncode == 1
    for gate in ("shortcut_pooled", "shortcut_cells", "multiplicity"):
        assert f"- {gate} (" in result.stderr
    assert not (refused / "audit").exists()
    found = json.loads((tmp_path / "report" / "report.json").read_text())
    assert not found["passed"] and len(found["broken"]) >= 3
    examples = next(entry for entry in found["audits"] if entry["name"] == "balance")["examples"]["multiplicity"]
    assert len(examples) == 20
    text = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    assert text.startswith("# Audit: the release is refused") and "shortcut\\_pooled" in text


def test_a_read_only_place_is_said_so(refused: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="give --out"):
        run_alone(refused, tmp_path / "file" / "report", load_config(), QUIET)


def test_publishing_needs_a_passing_report_of_this_content(sample_build: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(sample_build / "release", tmp_path / "copy"))
    path = copy / "audit" / "report.json"
    good = json.loads(path.read_text())
    path.write_text(json.dumps({**good, "passed": False, "broken": ["leak_gold (leakage): 3"]}))
    with pytest.raises(DataError, match="failed its audit: leak_gold"):
        report.require_passing(copy)
    path.write_text(json.dumps({**good, "content": "0" * 64}))
    with pytest.raises(DataError, match="describes content 0000"):
        report.require_passing(copy)
    path.unlink()
    with pytest.raises(DataError, match="has no audit"):
        report.require_passing(copy)


@pytest.mark.slow
def test_a_build_with_a_broken_gate_fails_again_and_again_but_keeps_its_report(tmp_path: Path) -> None:
    toml, out = tmp_path / "strict.toml", tmp_path / "build"
    toml.write_text('[audit.gates.leak_gold]\nat = "most"\nlimit = -1\nreason = "no release holds this"\n')
    result = polyfact("build", "--out", out, "--facts", 300, "--config", toml, "--quiet", check=False)
    assert result.returncode == 1
    assert "the release failed its audit" in result.stderr and "- leak_gold (leakage): 0" in result.stderr
    found = read_json(out / "release" / "audit" / "report.json")
    gate = next(gate for gate in found["gates"] if gate["gate"] == "leak_gold")
    assert (gate["limit"], gate["usual_limit"], gate["reason"]) == (-1, 0, "no release holds this")
    again = {
        "until": AUDIT,
        "dump": None,
        "out": out,
        "previous": None,
        "overwrite": False,
        "quiet": True,
        "facts": 300,
    }
    with pytest.raises(DataError, match="leak_gold"):
        build.run(config_file=toml, **again)
    # Another threshold is not another build: the folder is reused, and only the audit reruns.
    exported = (out / "release" / "manifest.json").stat().st_mtime_ns
    build.run(config_file=None, **again)
    assert (out / "release" / "manifest.json").stat().st_mtime_ns == exported
    assert report.require_passing(out / "release").passed


@pytest.mark.slow
def test_a_damaged_report_is_made_anew(tmp_path: Path) -> None:
    inputs = Inputs(load_config(facts=300, extract__workers=1), SAMPLE_DUMP, identify(SAMPLE_DUMP))
    pipeline.run(inputs, tmp_path, QUIET)
    page = tmp_path / "release" / "audit" / "report.html"
    before = page.read_bytes()
    page.write_bytes(b"")
    pipeline.run(inputs, tmp_path, QUIET)
    assert page.read_bytes() == before


def test_a_gate_needs_a_reason_and_a_known_name() -> None:
    with pytest.raises(ConfigError, match="unknown gates leak_goold"):
        load_config(audit__gates={"leak_goold": {"limit": 1, "reason": "because of a typing error"}})
    with pytest.raises(ConfigError, match="reason"):
        load_config(audit__gates={"leak_gold": {"limit": 1}})
    one = load_config(audit__gates={"leak_gold": {"limit": 1, "reason": "one leak is known and borne"}})
    assert one.audit.gates["leak_gold"] == Gate(limit=1, reason="one leak is known and borne")
    assert {**one.audit.gates, "leak_gold": GATES["leak_gold"]} == GATES
