"""Result files and their comparison: what is read, what is refused, what can be computed again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from baselines import metrics
from baselines.evaluate import aligned, compare, results
from baselines.evaluate.attributes import append
from baselines.evaluate.choices import Choices
from baselines.evaluate.results import Data, Prompt, Result, Speed
from baselines.evaluate.summary import summarise_choices, summarise_generations
from polyfact_dataset.common.errors import ConfigError, DataError
from polyfact_dataset.common.files import digest

LANGUAGES = ("en", "de", "sw")
FACTS = 40


def choices(seed: int, better: float = 0.0) -> pa.Table:
    """Random scores of four options; `better` is added to the gold's."""
    rng = np.random.default_rng(seed)
    columns: dict[str, list[Any]] = {name: [] for name in results.CHOICES.schema.names}
    for fact in range(FACTS):
        for code in LANGUAGES:
            order = rng.permutation(4)
            for option, entity in enumerate(order):
                gold = bool(entity == fact % 4)
                logprob = -10 + rng.normal() + better * gold
                row = (f"Q{fact}|P1|Q9", "P1", code, option, f"Q{entity}", f"name {entity}", gold, logprob, 3, 6, 6)
                append(columns, (*row, *[None] * len(results.ITEM)))
    return results.table_of("mcq", columns)


def generations(share: float, contaminated: bool | None = None) -> pa.Table:
    """The first `share` of the facts is answered rightly in all languages."""
    rows = []
    for fact in range(20):
        for code in ("en", "nl"):
            right = fact < share * 20
            rows.append(
                {
                    "fact_id": f"capital|{fact}",
                    "group": "capital" if fact % 2 else "occupation",
                    "language": code,
                    "sample": 0,
                    "prediction": "Paris!" if right else "what",
                    "accepted": ["Paris"],
                    "exact": right,
                    "lenient": right,
                    "folded": right,
                    "mode": "correct" if right else "incoherent",
                    "contaminated": None if contaminated is None else fact < 5,
                }
            )
    return pa.Table.from_pylist(rows, schema=results.GENERATIONS.schema)


def write(path: Path, table: pa.Table, kind: str = "mcq", label: str = "Base", **changes: Any) -> Path:
    """A whole result around a table of scores."""
    codes = tuple(dict.fromkeys(table["language"].to_pylist()))
    stored = (
        summarise_choices(table, codes) if kind in ("mcq", "global_mmlu") else summarise_generations(table, kind, codes)
    )
    data = {"source": "release", "config": "clean", "split": "test", "revision": None, "content": "c" * 64}
    fields = {
        "kind": kind,
        "label": label,
        "data": Data(**{**data, "facts": 1, "languages": codes, "digests": {code: f"items {code}" for code in codes}}),
        "model": {"name": label},
        "prompt": Prompt(style="paper", sha256="p"),
        "settings": {},
        "counts": {},
        "seed": 42,
        "software": {},
        "hardware": {"accelerators": [], "threads": 1},
        "speed": Speed(items=1, seconds=1, processes=1, items_per_s=1),
        "metrics": stored,
    }
    results.save(path, table, **{**fields, **changes})
    return path


def edit(path: Path, **changes: Any) -> Path:
    content = json.loads(path.read_text())
    content.update(changes)
    path.write_text(json.dumps(content))
    return path


def run(*files: Path | str, **options: Any) -> None:
    compare.main(files=[str(file) for file in files], **{"resamples": 400, **options})


# ---------------------------------------------------------------- files


def test_a_result_is_read_as_written(tmp_path: Path) -> None:
    path = write(tmp_path / "r.json", choices(0))
    result = results.load_result(path)
    assert result.schema_version == results.SCHEMA and result.kind == "mcq" and result.data.languages == LANGUAGES
    assert results.load_scores(path, result).equals(choices(0))
    assert json.loads(path.read_text())["scores"]["file"] == "r.scores.parquet"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema_version": 1}, "has schema version 1, this version reads 2; evaluate again"),
        ({"schema_version": None}, "is no result of these evaluators"),
        ({"seed": "x"}, "r.json: seed: "),
        ({"surprise": 1}, "r.json: surprise: Extra inputs are not permitted"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = edit(write(tmp_path / "r.json", choices(0)), **changes)
    with pytest.raises(DataError, match=message):
        run(path)


def test_missing_and_foreign_scores_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "r.json", choices(0))
    scores = tmp_path / "r.scores.parquet"
    pq.write_table(choices(1), scores)
    with pytest.raises(DataError, match=r"r\.scores\.parquet is not the file that r\.json was written with"):
        run(path)
    scores.unlink()
    with pytest.raises(DataError, match=r"r\.scores\.parquet is missing: .* must be in the same folder"):
        run(path)
    with pytest.raises(DataError, match="cannot be read"):
        run(tmp_path / "none.json")


@pytest.mark.parametrize("name", ["x" * 300, "../x", "", "."])
def test_scores_under_no_name_of_a_file_are_refused(name: str, tmp_path: Path) -> None:
    path = write(tmp_path / "r.json", choices(0))
    result = results.load_result(path)
    renamed = result.model_copy(update={"scores": result.scores.model_copy(update={"file": name})})
    with pytest.raises(DataError, match=r"r\.json: .* \(scores\.file\) is no name of a file"):
        results.load_scores(path, renamed)


def test_scores_of_another_type_are_refused(tmp_path: Path) -> None:
    path, scores = write(tmp_path / "r.json", choices(0)), tmp_path / "r.scores.parquet"
    table = pq.read_table(scores)
    pq.write_table(table.set_column(0, table.schema.names[0], pa.array(range(len(table)))), scores)
    result = results.load_result(path)
    own = result.model_copy(update={"scores": result.scores.model_copy(update={"sha256": digest(scores)})})
    with pytest.raises(DataError, match=rf"columns {table.schema.names[0]} \(int64\), .*; expected .* \(string\)"):
        results.load_scores(path, own)


def test_results_of_other_items_are_not_mixed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = write(tmp_path / "a.json", choices(0))
    second = write(tmp_path / "b.json", choices(1), label="GRPO")
    content = json.loads(second.read_text())
    content["data"]["digests"]["de"] = "other"
    edit(second, data=content["data"])
    with pytest.raises(DataError, match=r"a\.json and .*b\.json have different items in de: release clean/test"):
        run(first, second)
    run(first, second, languages="en,sw")  # where the items are the same
    assert "GRPO" in capsys.readouterr().out


def test_results_of_other_languages_are_not_mixed(tmp_path: Path) -> None:
    first = write(tmp_path / "a.json", choices(0))
    fewer = choices(1).filter([code != "sw" for code in choices(1)["language"].to_pylist()])
    second = write(tmp_path / "b.json", fewer, label="GRPO")
    with pytest.raises(DataError, match="have different items in sw"):
        run(first, second)
    with pytest.raises(DataError, match=r"b\.json has no language sw; it has en, de"):
        run(first, second, languages="sw")


def test_two_results_of_one_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = write(tmp_path / "a.json", choices(0)), write(tmp_path / "b.json", choices(1))
    with pytest.raises(DataError, match=r"are both mcq of 'Base'; give one another name: NAME=FILE"):
        run(first, second)
    run(first, f"Mine={second}")
    assert "| Mine |" in capsys.readouterr().out


# ---------------------------------------------------------------- numbers


def test_choices_are_aligned_by_entity() -> None:
    found = Choices.of(choices(3), LANGUAGES)
    rows = choices(3).to_pylist()
    for row in rows[::7]:
        place = (found.facts.index(row["fact_id"]), found.languages.index(row["language"]), int(row["option_id"][1:]))
        assert found.scores["byte"][place] == pytest.approx(row["logprob"] / 6)
        assert found.scores["token"][place] == pytest.approx(row["logprob"] / 3)
        if row["gold"]:
            assert found.gold[place[0], place[1]] == place[2]


def test_languages_with_other_options_are_refused() -> None:
    table = choices(0)
    ids = table["option_id"].to_pylist()
    ids[5] = "Q77"
    broken = table.set_column(4, "option_id", pa.array(ids))
    with pytest.raises(DataError, match=r"fact Q0\|P1\|Q9: its languages do not have the same options"):
        Choices.of(broken, LANGUAGES)


def test_a_fact_that_a_language_lacks_counts_nowhere_but_there() -> None:
    table = choices(0)
    keep = [not (row["fact_id"] == "Q0|P1|Q9" and row["language"] == "de") for row in table.to_pylist()]
    found = Choices.of(table.filter(keep), LANGUAGES)
    correct = found.correct("byte")
    assert np.isnan(correct[0]).tolist() == [False, True, False] and not np.isnan(correct[1:]).any()
    assert found.complete("byte").shape == (FACTS - 1, 3, 4)


def test_languages_with_other_numbers_of_facts_are_counted(tmp_path: Path, capsys: Any) -> None:
    """As KLAR's, of which fa and he have more; equal numbers need no row."""
    table = choices(0)
    keep = [not (row["fact_id"] == "Q0|P1|Q9" and row["language"] == "de") for row in table.to_pylist()]
    run(write(tmp_path / "a.json", table))
    assert "| facts |" not in capsys.readouterr().out
    run(write(tmp_path / "b.json", table.filter(keep)))
    shown = capsys.readouterr().out
    assert "| Model | en | sw | de |" in shown and f"| facts | {FACTS} | {FACTS} | {FACTS - 1} | –" in shown


def test_recompute_finds_every_changed_number(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "a.json", choices(0))
    run(path, recompute=True)
    assert "the scores of 1 results give every stored metric" in capsys.readouterr().err
    stored = json.loads(path.read_text())["metrics"]
    for name, change in (("rankc", 1e-6), ("ece", -1e-6), ("total_consistency", 0.025)):
        wrong = json.loads(json.dumps(stored))
        wrong["char"][name] += change
        edit(path, metrics=wrong)
        with pytest.raises(DataError, match=rf"a\.json: metrics\.char\.{name} is .*, from the scores it is"):
            run(path, recompute=True)
    stored["byte"]["extra"] = 1.0
    edit(path, metrics=stored)
    with pytest.raises(DataError, match=r"metrics\.byte\.extra cannot be recomputed"):
        run(path, recompute=True)


def test_recompute_judges_answers_again(tmp_path: Path) -> None:
    rows = generations(0.5).to_pylist()
    rows[3]["prediction"] = "Rome"
    table = pa.Table.from_pylist(rows, schema=results.GENERATIONS.schema)
    path = write(tmp_path / "k.json", table, kind="klar")
    with pytest.raises(DataError, match=r"judgement of capital\|1 in nl differs from the rule"):
        run(path, recompute=True)


def test_the_tables_of_several_benchmarks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [
        write(tmp_path / "a.json", choices(0)),
        write(tmp_path / "b.json", choices(0, better=2.0), label="GRPO"),
        write(tmp_path / "k1.json", generations(0.25, True), kind="klar"),
        write(tmp_path / "k2.json", generations(0.8, True), kind="klar", label="GRPO"),
    ]
    run(*files)
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert "| Method | PolyFact High | PolyFact Low | KLAR Trained | KLAR OOD |" in lines
    grpo = next(line for line in lines if line.startswith("| GRPO | ") and "[" in line)
    base, better = (Choices.of(choices(0, b), LANGUAGES).correct("byte") for b in (0.0, 2.0))
    assert f"{100 * better[:, :2].mean():.2f}* [" in grpo and "80.00* [" in grpo
    gain = 100 * (better[:, :2].mean() - base[:, :2].mean())
    assert any(line.startswith(f"| GRPO | PolyFact High | {gain:+.2f} |") for line in lines)
    assert "RankC (floor 0.0902, chance 0.3768)" in out and "(Table 9)" in out and "(Table 10)" in out
    gen = metrics.gen_score(better.mean(axis=0), base.mean(axis=0))
    assert any(line.startswith("| Gen score |") and f"| {100 * gen:.2f} |" in line for line in lines)
    assert any(line.startswith("| GRPO | contaminated | 10 | 100.00 |") for line in lines)
    assert any(line.startswith("| GRPO | clean | 30 | 73.33 |") for line in lines)


def test_a_language_that_the_paper_does_not_group_is_in_neither_group(tmp_path: Path, capsys: Any) -> None:
    """Silently counted as high-resource, its accuracy would change the column High of the paper's layout."""
    table = choices(0)
    other = pc.replace_substring_regex(table["language"], "^de$", "ca")
    place = table.schema.names.index("language")
    files = [write(tmp_path / "a.json", table), write(tmp_path / "b.json", table.set_column(place, "language", other))]
    run(files[0])
    header = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("| Method |"))
    assert header == "| Method | PolyFact High | PolyFact Low |"
    run(files[1], recompute=True, figures=tmp_path / "figures")
    lines = capsys.readouterr().out.splitlines()
    assert "| Method | PolyFact High | PolyFact Low | PolyFact Neither |" in lines
    assert any(line.startswith("| Model | en | ca | sw | High | Low | Neither | All |") for line in lines)
    own = Choices.of(table, LANGUAGES).correct("byte").mean(axis=0)
    assert results.load_result(files[1]).metrics["byte"]["groups"] == pytest.approx(
        {"high": own[0], "low": own[2], "neither": own[1]}
    )


def test_equal_models_get_no_star(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(write(tmp_path / "a.json", choices(0)), write(tmp_path / "b.json", choices(0), label="Twin"))
    out = capsys.readouterr().out
    assert "*" not in out and "| Twin | PolyFact High | +0.00 | [+0.00, +0.00] | 1.0000 |" in out


def test_lite_and_full_global_mmlu_stand_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = []
    for config in ("global_mmlu_full", "global_mmlu_lite"):
        path = write(tmp_path / f"{config}.json", choices(0), kind="global_mmlu")
        content = json.loads(path.read_text())
        content["data"]["config"] = config
        paths.append(edit(path, data=content["data"]))
    run(*paths)
    header = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("| Method"))
    assert "Global-MMLU High" in header and "Global-MMLU-Lite High" in header


def test_other_prompts_are_noted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = write(tmp_path / "a.json", choices(0))
    second = write(tmp_path / "b.json", choices(1), label="B", prompt=Prompt(style="plain", sha256="q"))
    run(first, second)
    assert "used different prompts" in capsys.readouterr().err


def test_normalisations_can_be_chosen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "a.json", choices(0))
    assert aligned.read(path, None, "sum", None).normalisation == "sum"
    with pytest.raises(ConfigError, match="'word' is unknown; known are byte, sum, token, char"):
        run(path, normalisation="word")


def test_figures_are_drawn_in_both_formats(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs polyfact[eval]")
    files = [
        write(tmp_path / "a.json", choices(0)),
        write(tmp_path / "b.json", choices(1), label="GRPO"),
        write(tmp_path / "k.json", generations(0.5), kind="klar"),
    ]
    run(*files, figures=tmp_path / "one")
    run(*files, figures=tmp_path / "two")
    names = ["klar_accuracy", "klar_consistency", "klar_measures"]
    names += ["mcq_accuracy", "mcq_consistency", "mcq_measures", "mcq_rankc"]
    found = sorted((tmp_path / "one").iterdir())
    assert [path.name for path in found] == [f"{name}.{kind}" for name in names for kind in ("png", "svg")]
    for path in found:
        head = path.read_bytes()[:200]
        assert head.startswith(b"\x89PNG") if path.suffix == ".png" else b"<svg" in path.read_bytes()
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_bars_start_at_zero_even_if_all_are_zero(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs polyfact[eval]")
    from baselines.evaluate import figures
    from baselines.figures import style

    path = write(tmp_path / "k.json", generations(0.0), kind="klar")
    found = aligned.read(path, None, "byte", None)
    assert not found.correct.any()
    with style():
        assert figures.accuracy_by_language("klar", {"Base": found}).axes[0].get_ylim() == (0, 1)


def test_every_column_is_described() -> None:
    for table in (results.CHOICES, results.GENERATIONS):
        assert all(column.doc for column in table.columns)
    assert Result.model_fields["speed"] is not None
