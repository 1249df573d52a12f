"""The laboratory end to end at a tiny size, and what its model is told."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from baselines.lab import __main__ as lab
from baselines.lab.facts_taught import make_world
from baselines.lab.methods import VARIANTS, folder_of
from baselines.lab.pretrain import batches_of
from baselines.lab.report import Report
from polyfact_dataset.common.errors import ConfigError

app = typer.Typer(pretty_exceptions_enable=False)
app.command()(lab.main)


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False, standalone_mode=False)
    return result.stdout


def test_english_states_all_facts_and_others_some(release: Path) -> None:
    world = make_world(str(release), ("en", "de"), ("es",), 40, 20, 0.5, seed=1)
    facts = [*world.taught, *world.fresh]
    assert len(facts) == 60 and not {f.fact_id for f in world.taught} & {f.fact_id for f in world.fresh}
    stated = {code: sum(world.states(fact.fact_id, code) for fact in facts) for code in ("en", "de", "es")}
    assert stated["en"] == 60 and 18 <= stated["de"] <= 42 and 18 <= stated["es"] <= 42
    documents = list(world.documents())
    assert len(documents) == 3 * sum(stated.values())
    answers = {item.options[item.answer] for fact in facts for item in fact.items.values()}
    assert {answer.strip() for _, answer in documents} <= answers
    other = make_world(str(release), ("en", "de"), ("es",), 40, 20, 0.5, seed=2)
    assert [fact.fact_id for fact in other.taught] != [fact.fact_id for fact in world.taught]


def test_the_parallel_text_states_no_fact(release: Path, tmp_path: Path) -> None:
    world = make_world(str(release), ("en", "de"), (), 10, 6, 0.5, seed=0)
    rows = [json.loads(line) for line in world.write_parallel_text(tmp_path / "p.jsonl").read_text().splitlines()]
    assert len(rows) == 32 and len({(row["talk"], row["position"]) for row in rows}) == 32
    for fact, (question, names) in zip((*world.taught, *world.fresh), zip(rows[::2], rows[1::2])):
        for code, item in fact.items.items():
            assert question["translations"][code] == item.question
            assert sorted(names["translations"][code].split(", ")) == sorted(", ".join(item.options).split(", "))


def test_batches_hold_every_document_once_in_each_epoch() -> None:
    batches = batches_of([number % 7 for number in range(100)], 3, seed=0)
    assert Counter(number for batch in batches for number in batch) == Counter(dict.fromkeys(range(100), 3))
    assert batches == batches_of([number % 7 for number in range(100)], 3, seed=0)


def test_tables_are_of_the_facts_of_all_seeds() -> None:
    right, wrong = np.ones((5, 3)), np.zeros((5, 3))
    half = np.array([[1.0, 1, 0]] * 5)
    correct = {
        "Base": {("fresh", "paper"): [wrong, half], ("fresh", "open"): [wrong, wrong]},
        "GRPO": {("fresh", "paper"): [right, right], ("fresh", "open"): [right, half]},
    }
    report = Report(("en", "id"), ("es",), correct, [], resamples=500)
    assert report.values("Base", ("fresh", "paper"), ("en", "id")).mean() == 0.5
    assert report.cell("Base", ("fresh", "paper"), ("es",)) == "0.00 [0.00, 0.00]"
    assert report.cell("GRPO", ("fresh", "paper"), ("es",)) == "100.00* [100.00, 100.00]"
    assert report.values("Base", ("fresh", "paper"), ("en", "id"), consistent=True).sum() == 5
    line = next(line for line in report.accuracy().splitlines() if line.startswith("| GRPO"))
    assert line.split(" | ")[5].startswith("50.00 [")


# Few steps with high rates, from a model that knows some of the facts: what it learns shows in seconds.
TINY = {
    "world": {"taught": 4, "fresh": 4},
    "model": {"hidden": 48, "layers": 1, "vocabulary": 1000, "epochs": 30, "learning_rate": 8e-3},
    "steps": {
        **{"cpt": 4, "sft": 16, "sft_facts": 4, "grpo": 12, "grpo_facts": 4},
        **{"generations": 6, "new_tokens": 8, "grpo_rate": 1e-3},
    },
}


@pytest.mark.slow
def test_a_tiny_laboratory_learns(release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("trl", reason="needs polyfact[train]")
    monkeypatch.setitem(lab.SIZES, "tiny", TINY)
    folder = tmp_path / "lab"
    command = ("--dataset", release, "--output", folder, "--size", "tiny", "--quiet")
    command += ("--languages", "en,de", "--held-out", "es")
    printed = run(*command)
    assert printed.strip() == (folder / "report.md").read_text().strip()
    for name in VARIANTS:
        assert f"| {name} |" in printed
    readings = {(r["figure"], r["model"]): r for r in json.loads((folder / "learning.json").read_text())}
    gains: dict[str, list[float]] = defaultdict(list)
    for (figure, _), reading in readings.items():
        gains[figure].append(reading["after"] - reading["before"])
    # A few steps of one seed on whatever facts the sample holds; benchmarks/lab.md has the real gains.
    rewards = [readings["reward", model] for model in ("GRPO", "CPT + GRPO")]
    assert sum(reading["after"] - reading["before"] for reading in rewards) > 0.1
    assert all(reading["after"] > reading["before"] for reading in rewards)
    for model in ("SFT", "CPT + SFT"):
        reading = readings["loss", model]
        assert reading["after"] < 0.5 * reading["before"]
        reading = readings["total consistency (letters)", model]
        assert reading["after"] > reading["before"] + 0.3
    for name, variant in VARIANTS.items():
        if variant:
            record = json.loads((folder / "seed-0" / folder_of(name) / "run.json").read_text())
            assert record["status"] == "finished" and record["method"] == variant[0]
    # All is there: nothing is trained again.
    times = {path: path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")}
    assert run(*command) == printed
    assert times == {path: path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")}
    with pytest.raises(ConfigError, match="is of other settings"):
        run(*command, "--grpo-steps", 9)


def test_what_cannot_be_made_is_said(release: Path, tmp_path: Path) -> None:
    pytest.importorskip("trl", reason="needs polyfact[train]")
    for arguments, message in (
        (("--size", "huge"), "--size 'huge' is unknown"),
        (("--languages", "de,id"), "must have en"),
        (("--taught", 10**6), "the size needs 1000000"),
    ):
        with pytest.raises(ConfigError, match=message):
            run("--dataset", release, "--output", tmp_path / message[:6], *arguments)
