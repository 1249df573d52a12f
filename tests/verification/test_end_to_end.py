"""A release is sampled, judged and built again: its tiers change where the evidence says, and only there."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from polyfact_dataset.catalog.language import PAPER_LANGUAGES
from polyfact_dataset.common.errors import ConfigError
from polyfact_dataset.common.files import read_json
from polyfact_dataset.common.text.normalise import clean
from polyfact_dataset.items.evidence import item_digest
from polyfact_dataset.pipeline.inputs import read_objections, read_verification
from polyfact_dataset.pipeline.stages import table_path
from polyfact_dataset.schema import JUDGED_ROWS, OPTIONS
from polyfact_dataset.verification.items import Item, load_sample
from polyfact_dataset.verification.page import ReviewSession
from tests.support.command import call, done
from tests.support.llm_server import serve
from tests.support.review_server import JUDGE, ScriptedJudge, record_of

# Relations of which the judge says something; of the rest everything is correct.
DOUBTFUL, CLEARED, REFUSED, DRIFTED, WITHDRAWN, REVIEWED = "P17", "P136", "P495", "P36", "P50", "P57"
BUILD = ("build", "--facts", 2000, "--quiet")


@dataclass(frozen=True)
class Story:
    """The build before, the folder of the verification, the build after, and the facts with a label."""

    before: Path
    folder: Path
    after: Path
    facts: dict[str, str]

    def parallel(self, build: Path) -> dict[str, dict[str, Any]]:
        """JudgedFact -> its row in `parallel`, without translations."""
        tables = [pq.read_table(path) for path in sorted((build / "release/data/parallel").glob("*.parquet"))]
        return {row["fact_id"]: row for row in pa.concat_tables(tables).drop_columns(["translations"]).to_pylist()}


def judge_all(folder: Path) -> dict[str, str]:
    """Judges and reviews a sample; relation -> the fact that was singled out."""
    items = load_sample(folder).items
    # The judge is shown plain spaces in place of those that do not break.
    by_question = {(clean(item.question), item.language): item for item in items}
    single = {item.property_id: item.fact_id for item in reversed(items)}

    def item_of(record: dict[str, str]) -> Item:
        code = next(code for code in PAPER_LANGUAGES if (record["question"], code) in by_question)
        return by_question[record["question"], code]

    def truth(record: dict[str, str]) -> str:
        item = item_of(record)
        if item.property_id == DOUBTFUL and item.language in PAPER_LANGUAGES[:7]:
            return "ambiguous"
        return "incorrect" if item.fact_id == single[WITHDRAWN] and item.language == "sw" else "correct"

    def fault(body: dict[str, Any], tries: int) -> str | None:
        record = record_of(body)
        return "refusal" if "marked" in record and item_of(record).property_id == REFUSED else None

    drifted = next(clean(i.question) for i in items if i.fact_id == single[DRIFTED] and i.language == "ja")
    script = ScriptedJudge(truth=truth, fault=fault, problems=lambda q: "extra" if q == drifted else None)
    with serve(script) as server:
        for more in ((), ("--parallel",)):
            done("verify", "judge", "--folder", folder, "--model", JUDGE, "--base-url", server.url, "--quiet", *more)
    for name, label in (("amina", "ambiguous"), ("bilal", "correct")):
        session = ReviewSession(folder, None)
        for item in load_sample(folder).of("ar"):
            doubted, record = item.fact_id == single[REVIEWED], {"question": clean(item.question) or ""}
            session.label(name, "ar", item.item, label if doubted else truth(record), "")
    return single


@pytest.fixture(scope="module")
def story(sample_build: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    root = tmp_path_factory.mktemp("story")
    folder, after = root / "v", root / "build"
    done("verify", "sample", sample_build / "release", "--folder", folder, "--items", 66)
    single = judge_all(folder)
    done("verify", "report", "--folder", folder, "--quiet")
    shutil.copytree(sample_build, after)
    status, output = call(*BUILD, "--out", after, "--verification", folder / "verification.parquet")
    assert status == 2 and "different verification" in output
    done(*BUILD, "--out", after, "--verification", folder / "verification.parquet", "--overwrite")
    yield Story(sample_build, folder, after, single)


def test_tiers_change_exactly_where_the_evidence_says(story: Story) -> None:
    before, after = story.parallel(story.before), story.parallel(story.after)
    assert before.keys() - after.keys() == {story.facts[WITHDRAWN]} and after.keys() < before.keys()
    sampled = {item.fact_id for item in load_sample(story.folder).items}
    doubted = {story.facts[DRIFTED], story.facts[REVIEWED]}
    items = pq.read_table(table_path(story.before, "items"), columns=["fact_id", "stratum"]).to_pylist()
    block_of = {row["fact_id"]: row["stratum"] for row in items}
    # A block is bronze as a whole.
    doubted_blocks = {block_of[fact] for fact in doubted}
    overlapping = {block_of[fact] for fact, row in before.items() if row["name_overlap"]}
    expected = {}
    for fact, row in before.items():
        relation = row["property_id"]
        # P19 had 25 % in the paper and nothing but correct items here; P495 was refused, and keeps the paper's 35 %.
        bronze = relation in (DOUBTFUL, REFUSED) or block_of[fact] in doubted_blocks | overlapping
        judged = fact in sampled and relation != REFUSED
        label = "ambiguous" if fact in doubted or (judged and relation == DOUBTFUL) else "correct"
        # A written label keeps a fact silver, whatever was judged.
        was = row["quality_tier"]
        tiers = {"bronze"} if bronze else {"gold", "silver"} if was == "bronze" else {was}
        expected[fact] = tiers, label if judged or fact in doubted else "unverified"
    refused = {fact for fact in sampled if before[fact]["property_id"] == REFUSED}
    for fact, row in after.items():
        tiers, label = expected[fact]
        if fact in refused:
            # People labelled what the judge refused.
            label = "correct"
        assert row["quality_tier"] in tiers and row["verification"] == label, fact
    changed = {fact for fact in after if after[fact]["quality_tier"] != before[fact]["quality_tier"]}
    relations = {before[fact]["property_id"] for fact in changed if block_of[fact] not in doubted_blocks}
    assert relations == {DOUBTFUL, CLEARED, "P19"} and doubted <= changed


def test_a_relation_that_the_judge_refused_keeps_the_papers_share_and_says_so(story: Story) -> None:
    found = read_json(story.after / "manifest.json")["stages"]["tier"]
    relations = found["counts"]["relations"]
    assert relations[REFUSED] == {
        "judged": 3,
        "ambiguity": 0.35,
        "source": "0.35 of the paper's Table 7: 3 items judged, fewer than 30",
    }
    assert relations[DOUBTFUL]["judged"] == 36 and relations[DOUBTFUL]["ambiguity"] > 0.2
    assert relations[CLEARED]["ambiguity"] < 0.02
    assert found["tally"]["P50"]["rejected"] == {"judged_incorrect:sw": 1}


def test_clean_holds_no_doubted_fact_and_the_release_lists_what_was_withdrawn(story: Story) -> None:
    release = story.after / "release"
    manifest = read_json(release / "manifest.json")
    clean = [pq.read_table(release / path) for paths in manifest["configs"]["clean"].values() for path in paths]
    rows = pa.concat_tables(clean)
    assert set(rows.column("verification").to_pylist()) == {"correct", "unverified"}
    assert not {DOUBTFUL, REFUSED} & set(rows.column("property_id").to_pylist())
    judged = read_verification(release / "data" / "verification").to_pylist()
    assert judged == read_verification(story.folder / "verification.parquet").to_pylist()
    (gone,) = (row for row in judged if row["label"] == "incorrect")
    assert (gone["fact_id"], gone["language"], gone["judge_label"]) == (story.facts[WITHDRAWN], "sw", "incorrect")
    assert sum(sum(sizes.values()) for sizes in [manifest["sizes"]["verification"]]) == len(judged)
    for path in (path for paths in manifest["configs"]["verification"].values() for path in paths):
        assert pq.read_schema(release / path).equals(JUDGED_ROWS.schema, check_metadata=False)


def test_judged_items_are_released_with_their_options(story: Story) -> None:
    release = story.after / "release"
    configs = read_json(release / "manifest.json")["configs"]
    rows = [
        row
        for paths in configs["verification"].values()
        for path in paths
        for row in pq.read_table(release / path).to_pylist()
    ]
    released = {}
    for code in ("en", "sw"):
        for path in (path for paths in configs[code].values() for path in paths):
            released |= {(row["fact_id"], code): row for row in pq.read_table(release / path).to_pylist()}
    names = ("question", *OPTIONS, "answer_text", "answer_index")
    compared = 0
    for row in rows:
        options = [row[name] for name in OPTIONS]
        assert options[row["answer_index"]] == row["answer_text"]
        assert item_digest(row["question"], row["answer_text"], options) == row["item"]
        item = released.get((row["fact_id"], row["language"]))
        if item is not None:
            assert [row[name] for name in names] == [item[name] for name in names]
            compared += 1
    assert compared > 50 and [name for name in rows[0] if name in names] == list(names)


def test_questions_that_drifted_can_be_objected_to(story: Story) -> None:
    assert read_objections(story.folder / "objections.csv") == {story.facts[DRIFTED]: frozenset({"ja"})}


def test_the_card_is_rendered_from_what_was_judged(story: Story) -> None:
    text = (story.after / "release" / "README.md").read_text(encoding="utf-8")
    report = read_json(story.folder / "report" / "report.json")
    own = report["by_language"]["en"]["doubtful"]
    assert f"| en | 63 | 60 | 3 | 0 | {100 * own['share']:.1f} % |" in text
    assert "test/judge" in text and "`human_labels`" in text and "bilal" not in text
    assert "## Verification" not in (story.before / "release" / "README.md").read_text(encoding="utf-8")


def test_what_was_judged_of_another_wording_counts_in_nothing(story: Story, tmp_path: Path) -> None:
    table = read_verification(story.folder / "verification.parquet")
    place = table.schema.get_field_index("item")
    stale = table.set_column(place, table.schema.field("item"), pa.array(["0" * 16] * len(table)))
    pq.write_table(stale, tmp_path / "stale.parquet")
    out = tmp_path / "build"
    shutil.copytree(story.before, out)
    done("tier", "--facts", 2000, "--quiet", "--out", out, "--verification", tmp_path / "stale.parquet", "--overwrite")
    counts = read_json(out / "manifest.json")["stages"]["tier"]["counts"]
    assert (counts["verification"]["items"], counts["verification"]["stale"]) == (0, len(table))
    assert counts["tiers"] == read_json(story.before / "manifest.json")["stages"]["tier"]["counts"]["tiers"]


def test_another_table_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"fact_id": ["Q1"]}), tmp_path / "other.parquet")
    for path in (tmp_path / "other.parquet", tmp_path / "none.parquet"):
        with pytest.raises(ConfigError, match=r"--verification .*; give verification.parquet of `polyfact verify`"):
            read_verification(path)
