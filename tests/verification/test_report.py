"""The report: figures over the sample, what is missing counted apart, rules named for what they are."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import cohen_kappa_score

from polyfact_dataset.common.files import read_json, write_json
from polyfact_dataset.items.agreement import RELAXED
from polyfact_dataset.schema import VERIFICATION
from polyfact_dataset.verification.items import load_sample
from polyfact_dataset.verification.journal import Journal
from polyfact_dataset.verification.schema import JUDGEMENTS
from tests.support.command import call, done
from tests.support.judged import sampled
from tests.support.llm_server import serve
from tests.support.review_server import JUDGE, ScriptedJudge, by_question, record_of

TRUTH = by_question((0.3, 0.2))


def refuses_bengali(body: dict, tries: int) -> str | None:
    return "refusal" if "Bengali" in record_of(body)["language"] else None


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 items in each of three languages: judged but for Bengali, and for the last 10 of each; two reviewers."""
    folder = sampled(tmp_path_factory.mktemp("report"), {"P36": 20, "P50": 20, "P17": 20}, items=30)
    with serve(ScriptedJudge(truth=TRUTH, fault=refuses_bengali)) as server:
        done(
            "verify", "judge", "--folder", folder, "--model", JUDGE, "--base-url", server.url, "--items", 20, "--quiet"
        )
    sample = load_sample(folder)
    for name, number, other in (("amina", 12, 3), ("bilal", 8, 4)):
        journal = Journal(folder, name)
        with journal.locked():
            for code in ("en", "ar"):
                for place, item in enumerate(sample.of(code, number)):
                    right = TRUTH({"question": item.question})
                    slip = "ambiguous" if right == "correct" else "correct"
                    journal.add(item, slip if place % other == 0 else right)
    return folder


def test_what_is_missing_is_counted_apart(folder: Path) -> None:
    done("verify", "report", "--folder", folder, "--quiet")
    found = read_json(folder / "report" / "report.json")["coverage"]
    nobody = {"r1": 0, "r2": 0}
    assert found["en"] == {
        "items": 30,
        "judged": 20,
        "unjudged": {"not asked": 10},
        "reviewed": {"r1": 12, "r2": 8},
        "unsure": nobody,
    }
    assert found["bn"] == {
        "items": 30,
        "judged": 0,
        "unjudged": {"not asked": 10, "refused": 20},
        "reviewed": nobody,
        "unsure": nobody,
    }
    assert found["all"]["judged"] == 40 and found["all"]["reviewed"] == {"r1": 24, "r2": 16}


def test_answers_of_reviewers_who_do_not_know_are_no_labels(folder: Path, tmp_path: Path) -> None:
    done("verify", "report", "--folder", folder, "--quiet")
    before = read_json(folder / "report" / "report.json")
    copy = Path(shutil.copytree(folder, tmp_path / "v"))
    journal, items = Journal(copy, "bilal"), load_sample(copy)
    with journal.locked():
        for item in items.of("en", 12)[8:]:
            journal.add(item, "unsure")
        # Nobody else has a label for it.
        journal.add(items.of("bn", 1)[0], "unsure", "of whom?")
    done("verify", "report", "--folder", copy, "--quiet")
    after = read_json(copy / "report" / "report.json")
    assert after["coverage"]["en"]["reviewed"]["r2"] == 8 and after["coverage"]["en"]["unsure"]["r2"] == 4
    assert after["coverage"]["all"]["unsure"] == {"r1": 0, "r2": 5}
    assert {**after, "coverage": 0} == {**before, "coverage": 0}
    table = "verification.parquet"
    assert pq.read_table(copy / table).equals(pq.read_table(folder / table))
    assert "| 8 (4 unsure) |" in (copy / "report" / "report.md").read_text()


def test_labels_without_a_web_search_are_told(folder: Path, tmp_path: Path) -> None:
    done("verify", "report", "--folder", folder, "--quiet")
    sentence = "The judge searched the web for {} of its 40 labels."
    assert sentence.format(40) in (folder / "report" / "report.md").read_text()
    copy = Path(shutil.copytree(folder, tmp_path / "v"))
    (path,) = (copy / "judgements").glob("*.parquet")
    rows = pq.read_table(path).to_pylist()
    first = next(row for row in rows if row["label"])
    first["searches"] = 0
    pq.write_table(pa.Table.from_pylist(rows, schema=JUDGEMENTS.schema), path)
    done("verify", "report", "--folder", copy, "--quiet")
    assert sentence.format(39) in (copy / "report" / "report.md").read_text()
    about = path.with_suffix(".json")
    write_json(about, {**read_json(about), "search_tool": ""})
    done("verify", "report", "--folder", copy, "--quiet")
    assert "searched the web" not in (copy / "report" / "report.md").read_text()


def test_what_was_said_of_an_earlier_wording_moves_no_relation(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "v"))
    (path,) = (copy / "judgements").glob("*.parquet")
    rows = pq.read_table(path).to_pylist()
    earlier = [row | {"item": "0" * 16} for row in rows if row["label"]]
    pq.write_table(pa.Table.from_pylist(rows + earlier, schema=JUDGEMENTS.schema), path)
    for own in (folder, copy):
        done("verify", "report", "--folder", own, "--quiet")
    before, after = (read_json(own / "report" / "report.json")["tiers"] for own in (folder, copy))
    assert after == before and len(pq.read_table(copy / "verification.parquet")) == 80


def test_shares_are_of_what_was_labelled(folder: Path) -> None:
    done("verify", "report", "--folder", folder, "--quiet")
    found, sample = read_json(folder / "report" / "report.json"), load_sample(folder)
    for code in ("en", "ar"):
        labels = [TRUTH({"question": item.question}) for item in sample.of(code, 20)]
        own = found["by_language"][code]
        assert own["labels"] == {label: labels.count(label) for label in ("correct", "ambiguous", "incorrect")}
        assert own["doubtful"]["share"] == 1 - labels.count("correct") / 20
        assert own["doubtful"]["low"] < own["doubtful"]["share"] < own["doubtful"]["high"]
    assert (
        found["by_language"]["bn"]["doubtful"]["items"] == 0 and found["by_language"]["bn"]["doubtful"]["share"] is None
    )
    assert sum(own["doubtful"]["items"] for name, own in found["by_relation"].items() if name != "all") == 40
    # 13 or 14 items of a relation were judged: too few, so the paper's share stays.
    assert found["tiers"]["P50"]["ambiguity"] == 0.03 and "fewer than 30" in found["tiers"]["P50"]["source"]


def test_agreement_is_of_the_labels_that_both_gave(folder: Path) -> None:
    done("verify", "report", "--folder", folder, "--quiet")
    found, sample = read_json(folder / "report" / "report.json"), load_sample(folder)
    judge, people = [], []
    for code in ("en", "ar"):
        for number, other in ((12, 3), (8, 4)):
            for place, item in enumerate(sample.of(code, number)):
                right = TRUTH({"question": item.question})
                judge.append(right)
                people.append(("ambiguous" if right == "correct" else "correct") if place % other == 0 else right)
    own = found["judge_and_people"]["all"]
    assert own["exact"]["items"] == 40 and own["exact"]["hits"] == sum(a == b for a, b in zip(judge, people)) == 28
    assert own["kappa"] == pytest.approx(cohen_kappa_score(judge, people))
    assert set(found["judge_and_people"]) == {"en", "ar", "all"}
    # Both reviewers slip at place 0, one of them at 3, 4 and 6.
    assert {name: (own["exact"]["items"], own["exact"]["hits"]) for name, own in found["people"].items()} == {
        "en": (8, 5),
        "ar": (8, 5),
        "all": (16, 10),
    }
    assert found["reviewers_in_pairs"] == {"r1 and r2": found["people"]["all"]}
    assert RELAXED not in own


def test_every_language_has_its_confusion_table(folder: Path) -> None:
    done("verify", "report", "--folder", folder, "--quiet")
    found, text = read_json(folder / "report" / "report.json"), (folder / "report" / "report.md").read_text()
    for name, title in (("judge_and_people", "Judge and people"), ("people", "People and people")):
        part = text.partition(f"## {title}: confusion")[2].partition("## ")[0]
        for code in ("en", "ar", "all"):
            for label, counts in zip(("correct", "ambiguous", "incorrect"), found[name][code]["confusion"]):
                assert f"| {code} | {label} | {' | '.join(map(str, counts))} |" in part


def test_the_relaxed_rule_is_named_where_it_is_asked_for(folder: Path) -> None:
    plain = done("verify", "report", "--folder", folder)
    assert "relaxed" not in plain.casefold() and "r1 is amina" in plain
    output = " ".join(done("verify", "report", "--folder", folder, "--relaxed").split())
    assert "Relaxed: judge `correct` with reviewer `ambiguous` counts as agreeing" in output
    own = read_json(folder / "report" / "report.json")["judge_and_people"]["all"]
    assert own[RELAXED] == (28 + own["confusion"][0][1]) / 40 > own["exact"]["share"]


def test_the_table_has_the_declared_schema_and_no_names(folder: Path) -> None:
    done("verify", "report", "--folder", folder, "--quiet")
    path = folder / "verification.parquet"
    assert pq.read_schema(path).equals(VERIFICATION.schema, check_metadata=False)
    rows = pq.read_table(path).to_pylist()
    assert len(rows) == 40 and all(row["judge_label"] == TRUTH({"question": row["question"]}) for row in rows)
    assert sum(len(row["human_labels"]) for row in rows) == 40
    data = b"".join(file.read_bytes() for file in [path, *(folder / "report").iterdir()])
    assert b"amina" not in data and b"bilal" not in data
    assert (folder / "objections.csv").read_text() == "fact_id,language\n"
    text = (folder / "report" / "report.md").read_text()
    assert "| bn | 30 | 0 | not asked 10, refused 20 | 0 | 0 |" in text


def test_a_sample_without_any_label_is_a_report_too(tmp_path: Path) -> None:
    folder = sampled(tmp_path)
    assert "0 judged items" in done("verify", "report", "--folder", folder, "--quiet")
    status, output = call("verify", "report", "--folder", tmp_path / "none")
    assert status == 2 and "contains no sample" in output
