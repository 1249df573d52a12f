"""The multiple-choice evaluator from data to result: scores, aliases, resuming, and what it refuses."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytest.importorskip("torch", reason="needs polyfact[eval]")
pytest.importorskip("transformers", reason="needs polyfact[eval]")

from baselines import data
from baselines.evaluate import mcq, results, scored, shards
from baselines.evaluate.engines.hf import HfScoreJob
from polyfact_dataset.catalog.language import PAPER_LANGUAGES
from polyfact_dataset.common.errors import ConfigError, DataError
from polyfact_dataset.common.files import read_json
from tests.baselines import processes
from tests.support import baseline_releases as releases


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    configs = {"clean": {"test": releases.parallel_rows(8)}, "open": {"test": releases.open_rows(8)}}
    return releases.write(tmp_path_factory.mktemp("small"), configs)


def evaluate(folder: Path, model: Path, output: Path, **options: Any) -> results.Result:
    """Runs the command in this process."""
    mcq.main(model=str(model), output=output, dataset=str(folder), device="cpu", quiet=True, **options)
    return results.load_result(output)


def rows_of(output: Path) -> list[dict[str, Any]]:
    return results.load_scores(output, results.load_result(output)).to_pylist()


def test_a_result_says_everything_and_its_numbers_follow(
    release: Path, tiny: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "r.json"
    result = evaluate(release, tiny("qwen2"), output, limit=6, label="Tiny")
    table = capsys.readouterr().out
    assert "Tiny: 6 facts, 12 languages" in table and "RankC" in table
    assert table.endswith(f"{output}: mcq of Tiny, all scores in {tmp_path / 'r.scores.parquet'}\n")
    assert result.data.languages == PAPER_LANGUAGES and set(result.data.digests) == set(PAPER_LANGUAGES)
    assert result.data.content == read_json(release / "manifest.json")["content"]
    assert result.model["weights"] and result.model["tokenizer"] and result.model["dtype"] == "float32"
    assert result.software["torch"] and result.hardware["cores"] and result.speed.items == 72
    assert result.speed.items_per_s > 0 and result.speed.latency_p95_s >= result.speed.latency_median_s > 0
    assert result.prompt.style == "paper" and len(result.prompt.sha256) == 64
    rows = rows_of(output)
    assert len(rows) == 6 * 12 * 4 == result.scores.rows
    facts = {fact.fact_id: fact for fact in data.load(release, "clean", "test")}
    for row in rows:
        item = facts[row["fact_id"]].items[row["language"]]
        assert row["name"] == item.options[row["option"]] and row["option_id"] == item.option_ids[row["option"]]
        assert row["gold"] == (row["option"] == item.answer) and row["logprob"] < 0 < row["tokens"]
        assert (row["characters"], row["bytes"]) == (len(row["name"]), len(row["name"].encode()))
    for normalisation, unit in (("byte", "bytes"), ("token", "tokens"), ("char", "characters"), ("sum", None)):
        accuracy = _accuracy(rows, "sw", unit)
        assert result.metrics[normalisation]["accuracy"]["sw"] == pytest.approx(accuracy)
    assert not (tmp_path / "r.json.parts").exists()


def _accuracy(rows: list[dict[str, Any]], code: str, unit: str | None) -> float:
    """A second computation, item by item."""
    right = []
    for fact in {row["fact_id"] for row in rows}:
        own = [row for row in rows if (row["fact_id"], row["language"]) == (fact, code)]
        best = max(own, key=lambda row: row["logprob"] / (row[unit] if unit else 1))
        right.append(best["gold"])
    return sum(right) / len(right)


def test_aliases_count_by_the_best_name(small: Path, tiny: Callable[[str], Path], tmp_path: Path) -> None:
    labels = evaluate(small, tiny("olmo2"), tmp_path / "labels.json", prompt="plain")
    aliases = evaluate(small, tiny("olmo2"), tmp_path / "aliases.json", prompt="plain", names="aliases")
    plain, several = rows_of(tmp_path / "labels.json"), rows_of(tmp_path / "aliases.json")
    assert {row["name"] for row in several} - {row["name"] for row in plain} == {"City of Light"}
    both = {(r["fact_id"], r["language"], r["name"]): r["logprob"] for r in several}
    for row in plain:
        assert both[row["fact_id"], row["language"], row["name"]] == pytest.approx(row["logprob"], abs=1e-4)
    expected = _best_of_names(several, "en")
    assert aliases.metrics["byte"]["accuracy"]["en"] == pytest.approx(expected)
    assert aliases.metrics["byte"]["accuracy"]["de"] == labels.metrics["byte"]["accuracy"]["de"]
    assert (aliases.settings["names"], labels.settings["names"]) == ("aliases", "labels")


def _best_of_names(rows: list[dict[str, Any]], code: str) -> float:
    right = []
    for fact in {row["fact_id"] for row in rows}:
        own = [row for row in rows if (row["fact_id"], row["language"]) == (fact, code)]
        right.append(max(own, key=lambda row: row["logprob"] / row["bytes"])["gold"])
    return sum(right) / len(right)


def test_letters_score_letters(small: Path, tiny: Callable[[str], Path], tmp_path: Path) -> None:
    result = evaluate(small, tiny("qwen2"), tmp_path / "r.json", prompt="letters", languages="ja,en")
    assert result.data.languages == ("ja", "en")
    assert {row["name"] for row in rows_of(tmp_path / "r.json")} == {"A", "B", "C", "D"}
    with pytest.raises(ConfigError, match="scores letters"):
        evaluate(small, tiny("qwen2"), tmp_path / "s.json", prompt="letters", names="aliases")


# ---------------------------------------------------------------- resuming


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_file(release: Path, tiny: Callable[[str], Path], tmp_path: Path) -> None:
    """Killed for good after its first shards; the rest is computed by another process."""
    whole, resumed = tmp_path / "whole.json", tmp_path / "resumed.json"
    options = {"limit": 60, "batch_tokens": 300}
    expected = evaluate(release, tiny("qwen2"), whole, **options)
    arguments = ["--model", tiny("qwen2"), "--dataset", release, "--output", resumed]
    arguments += ["--limit", 60, "--batch-tokens", 300, "--device", "cpu", "--quiet"]
    command = processes.start(tmp_path / "killed", "baselines.evaluate.mcq", *arguments)
    parts = tmp_path / "resumed.json.parts"
    deadline = time.monotonic() + 120
    while not (parts / "00000.parquet").exists():
        assert command.process.is_alive() and time.monotonic() < deadline, command.stderr
        time.sleep(0.005)
    command.process.kill()
    assert command.wait() == -signal.SIGKILL
    done = sorted(path.name for path in parts.glob("0*.parquet"))
    assert 0 < len(done) < 3 and not resumed.exists()
    before = {name: (parts / name).stat().st_mtime_ns for name in done}
    found = evaluate(release, tiny("qwen2"), resumed, **options)
    assert before  # the finished shards were read, not made again: their rows are in the result
    assert (tmp_path / "resumed.scores.parquet").read_bytes() == (tmp_path / "whole.scores.parquet").read_bytes()
    volatile = {"speed", "scores"}
    assert found.model_dump(exclude=volatile) == expected.model_dump(exclude=volatile)
    assert found.scores.sha256 == expected.scores.sha256


def test_finished_shards_are_not_computed_again(
    small: Path, tiny: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scored, "cut", lambda total: [slice(0, 1), slice(1, 2), slice(2, total)])
    real, seen = HfScoreJob.run, []

    def failing(job: HfScoreJob, units: range) -> Any:
        seen.append(units)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return real(job, units)

    monkeypatch.setattr(HfScoreJob, "run", failing)
    with pytest.raises(KeyboardInterrupt):
        evaluate(small, tiny("qwen2"), tmp_path / "r.json")
    evaluate(small, tiny("qwen2"), tmp_path / "r.json")
    assert len(seen) == 4 and seen[1] == seen[2] and len(set(seen)) == 3


def test_another_run_is_not_mixed_in(
    small: Path, tiny: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any) -> pa.Table:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(HfScoreJob, "run", stop)
        with pytest.raises(KeyboardInterrupt):
            evaluate(small, tiny("qwen2"), tmp_path / "r.json")
        with pytest.raises(KeyboardInterrupt):  # nothing was finished, so nothing can be mixed
            evaluate(small, tiny("qwen2"), tmp_path / "r.json", prompt="letters")
        with pytest.raises(KeyboardInterrupt):
            evaluate(small, tiny("qwen2"), tmp_path / "r.json")
    stray = tmp_path / "r.json.parts" / "00000.parquet"
    stray.write_bytes(b"of the other run")
    with pytest.raises(ConfigError, match=r"r\.json\.parts holds part of another run \(other prompt\)"):
        evaluate(small, tiny("qwen2"), tmp_path / "r.json", prompt="plain")
    with pytest.raises(ConfigError, match=r"\(other model\)"):
        evaluate(small, tiny("olmo2"), tmp_path / "r.json")
    with pytest.raises(ConfigError, match=r"\(other items\)"):
        evaluate(small, tiny("qwen2"), tmp_path / "r.json", limit=3)
    fresh = evaluate(small, tiny("qwen2"), tmp_path / "s.json", limit=3)
    assert evaluate(small, tiny("qwen2"), tmp_path / "r.json", limit=3, overwrite=True).metrics == fresh.metrics
    assert not stray.parent.exists()


def test_overwrite_does_not_start_an_unfinished_run_again(
    small: Path, tiny: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scored, "cut", lambda total: [slice(0, 1), slice(1, total)])
    real, seen = HfScoreJob.run, []

    def failing(*given: Any) -> pa.Table:
        seen.append(given)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return real(*given)

    monkeypatch.setattr(HfScoreJob, "run", failing)
    with pytest.raises(KeyboardInterrupt):
        evaluate(small, tiny("qwen2"), tmp_path / "r.json", overwrite=True)
    evaluate(small, tiny("qwen2"), tmp_path / "r.json", overwrite=True)
    assert len(seen) == 3


@pytest.mark.parametrize(("total", "sizes"), [(10, [10]), (150, [64, 64, 22]), (0, [])])
def test_shards_of_few_rows(total: int, sizes: list[int]) -> None:
    assert [part.stop - part.start for part in shards.cut(total)] == sizes


def test_shards_of_many_rows() -> None:
    parts = shards.cut(30_000)
    assert parts[0].start == 0 and parts[-1].stop == 30_000 and len(parts) == 32
    assert all(before.stop == after.start for before, after in zip(parts, parts[1:]))
    assert max(part.stop - part.start for part in shards.cut(10**6)) == 2048


# ---------------------------------------------------------------- what it refuses


def test_a_finished_result_is_not_overwritten(small: Path, tiny: Callable[[str], Path], tmp_path: Path) -> None:
    evaluate(small, tiny("qwen2"), tmp_path / "r.json", languages="en")
    with pytest.raises(ConfigError, match="exists; choose another --output or add --overwrite"):
        evaluate(small, tiny("qwen2"), tmp_path / "r.json", languages="en")
    evaluate(small, tiny("qwen2"), tmp_path / "r.json", languages="de", overwrite=True)
    assert results.load_result(tmp_path / "r.json").data.languages == ("de",)


def test_a_model_that_does_not_exist(small: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="model '.*nowhere' is neither a folder with a causal language model nor one"):
        evaluate(small, tmp_path / "nowhere", tmp_path / "r.json")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prompt": "fancy"}, "--prompt 'fancy' is unknown; known are paper"),
        ({"names": "all"}, "--names 'all' is unknown"),
        ({"boundary": "x"}, "--boundary 'x' is unknown; known are lm_eval, exact"),
        ({"dtype": "int8"}, "unknown dtype 'int8'"),
        ({"languages": "en,xx"}, "has no language xx"),
        ({"languages": ","}, "list of languages is empty"),
    ],
)
def test_unknown_settings(
    small: Path, tiny: Callable[[str], Path], tmp_path: Path, options: dict[str, str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        evaluate(small, tiny("qwen2"), tmp_path / "r.json", **options)
    assert not (tmp_path / "r.json").exists()


def test_the_output_is_json(small: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="must end in .json"):
        evaluate(small, tmp_path, tmp_path / "r.txt")


def test_options_that_are_not_aligned(tmp_path: Path) -> None:
    rows = releases.parallel_rows(3)
    rows[1]["translations"]["ja"]["option_ids"][0] = "Q99"
    facts = data.load(releases.write(tmp_path, {"clean": {"test": rows}}))
    with pytest.raises(
        DataError, match=r"fact Q101\|P36\|Q2 in ja: its option_ids are not those of the other languages"
    ):
        mcq.check_alignment(facts)


def test_the_command_line_says_errors_in_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "baselines.evaluate.mcq", "--model", "x", "--output", str(tmp_path / "r.txt")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.strip() == f"error: --output {tmp_path / 'r.txt'} must end in .json"


def test_scores_are_compressed(small: Path, tiny: Callable[[str], Path], tmp_path: Path) -> None:
    evaluate(small, tiny("qwen2"), tmp_path / "r.json")
    metadata = pq.read_metadata(tmp_path / "r.scores.parquet")
    assert {metadata.row_group(0).column(i).compression for i in range(metadata.num_columns)} == {"ZSTD"}
