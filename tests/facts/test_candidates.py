"""Every reason for rejecting a statement, planted once, with its near miss."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from polyfact_dataset.catalog.language import PAPER_LANGUAGES
from polyfact_dataset.common.errors import DataError
from polyfact_dataset.config.build import load_config
from polyfact_dataset.pipeline.stages import CANDIDATES, stage_folder, table_path
from tests.support.planted import build, item, labels, reasons, state, world


@pytest.fixture(scope="module")
def decided(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, list[str]], set[str], dict]:
    extra = [
        state(item("Q201", labels("Realm A")), "P36", ("Q1001", "deprecated", ""), "Q1002"),
        state(item("Q202", labels("Realm B")), "P36", ("Q1003", "preferred", ""), "Q1004"),
        state(item("Q203", labels("Realm C")), "P36", ("Q1005", "normal", "1949"), "Q1006"),
        state(item("Q204", labels("Realm D")), "P36", "Q204"),
        state(item("Q205", labels("Realm E"), ("Q4167410",)), "P36", "Q1007"),
        state(item("Q206", labels("Realm F")), "P36", "Q9999999"),
        state(item("Q207", {**labels("Realm G"), "sw": ""} | {"sw": "x"}), "P36", "Q210"),
        state(item("Q208", {code: text for code, text in labels("Realm H").items() if code != "bn"}), "P36", "Q1008"),
        state(item("Q209", labels("(85254) 1993 TG12")), "P36", "Q1009"),
        item("Q210", {code: text for code, text in labels("Town G").items() if code != "ja"}),
        state(item("Q211", labels("Realm I")), "P36", "Q1010", "Q1011"),
        state(item("Q212", labels("Realm J")), "P47", "Q1", "Q2"),
        state(item("Q213", labels("Realm K")), "P36", "Q1012", "Q1012"),
        state(item("Q214", labels("Realm L")), "P36", "Q300"),
        item("Q215", labels("Town L"), redirects={"from": "Q300", "to": "Q215"}),
        state(item("Q216", labels("8 Women")), "P36", "Q1013"),
        # No Swahili label, but a Swahili Wikipedia article: labelled. And only `mul`: labelled in Latin script only.
        state(
            item("Q217", {c: t for c, t in labels("Realm M").items() if c != "sw"}, titles={"swwiki": "Realm M"}),
            "P36",
            "Q1014",
        ),
        state(item("Q218", {"mul": "Realm N"}), "P36", "Q1015"),
        # A former country, asked for the present and for where it was; and one that is a country as well.
        state(state(item("Q219", labels("Realm O"), ("Q3024240",)), "P36", "Q1016"), "P17", "Q1"),
        state(item("Q220", labels("Realm P"), ("Q3024240", "Q6256")), "P36", "Q1017"),
        item("Q221", labels("Realm Q"), ("Q6256",)),
        item("Q222", labels("Realm R"), ("Q6256", "Q3336843")),
        state(state(item("Q223", labels("Person A"), ("Q5",)), "P27", "Q221", "Q222"), "P19", "Q221"),
        state(item("Q224", labels("Person B"), ("Q5",)), "P19", "Q1001"),
        # A genre, a topic of no known type as a genre, and the same topic where answers of any type are taken.
        item("Q225", labels("Topic A"), ("Q999001",)),
        item("Q226", labels("Genre A"), ("Q483394",)),
        state(state(item("Q227", labels("Film A"), ("Q11424",)), "P136", "Q225", "Q226"), "P400", "Q225"),
    ]
    out = build(tmp_path_factory.mktemp("candidates"), world() + extra, "candidates")
    folder = stage_folder(out, CANDIDATES)
    true = pq.read_table(folder / "true_objects.parquet").to_pylist()
    return (
        reasons(pq.read_table(folder / "rejects.parquet").to_pylist()),
        set(pq.read_table(folder / "candidates.parquet").column("fact_id").to_pylist()),
        {(row["subject_id"], row["property_id"]): row["objects"] for row in true},
    )


@pytest.mark.parametrize(
    ("fact", "reason"),
    [
        ("Q201|P36|Q1001", "deprecated"),
        ("Q202|P36|Q1004", "not_best_rank"),
        ("Q203|P36|Q1005", "ended"),
        ("Q204|P36|Q204", "self_reference"),
        ("Q205|P36|Q1007", "subject_not_a_thing"),
        ("Q206|P36|Q9999999", "object_not_in_dump"),
        ("Q207|P36|Q210", "object_unlabelled"),
        ("Q208|P36|Q1008", "subject_unlabelled"),
        ("Q209|P36|Q1009", "catalogue_designation"),
        ("Q211|P36|Q1010", "not_unique"),
        ("Q211|P36|Q1011", "not_unique"),
        ("Q213|P36|Q1012", "repeated"),
        ("Q218|P36|Q1015", "subject_unlabelled"),
        ("Q219|P36|Q1016", "subject_is_no_more"),
        ("Q223|P27|Q222", "unexpected_type"),
        ("Q223|P19|Q221", "unexpected_type"),
        ("Q227|P136|Q225", "unexpected_type"),
    ],
)
def test_planted_defects_are_rejected(fact: str, reason: str, decided: tuple) -> None:
    assert decided[0][fact] == [reason]


def test_near_misses_are_kept(decided: tuple) -> None:
    kept = {
        "Q201|P36|Q1002", "Q202|P36|Q1003", "Q203|P36|Q1006", "Q212|P47|Q1", "Q212|P47|Q2", "Q213|P36|Q1012",
        "Q214|P36|Q215", "Q216|P36|Q1013", "Q217|P36|Q1014", "Q1|P36|Q1001",
        "Q219|P17|Q1", "Q220|P36|Q1017", "Q223|P27|Q221", "Q224|P19|Q1001", "Q227|P136|Q226", "Q227|P400|Q225",
    }  # fmt: skip
    assert kept <= decided[1]


def test_what_was_ever_stated_is_never_a_distractor(decided: tuple) -> None:
    assert decided[2]["Q203", "P36"] == ["Q1005", "Q1006"]
    assert decided[2]["Q202", "P36"] == ["Q1003", "Q1004"]
    assert decided[2]["Q212", "P47"] == ["Q1", "Q2"]


def test_the_pool_is_cut_by_the_shuffle_and_counted(tmp_path: Path) -> None:
    from polyfact_dataset.config.build import load_config

    config = load_config(facts=22, extract__workers=1, candidates__min_pool=5)
    out = build(tmp_path, world(), "candidates", config)
    kept = pq.read_table(table_path(out, "candidates")).to_pylist()
    rejected = pq.read_table(stage_folder(out, CANDIDATES) / "rejects.parquet").to_pylist()
    assert [row["priority"] for row in kept] == [1, 2, 3, 4, 5]
    assert len(rejected) == 55 and {row["reason"] for row in rejected} == {"beyond_pool"}
    other = build(tmp_path, world(), "candidates", config.model_copy(update={"seed": 1}), "other")
    again = pq.read_table(table_path(other, "candidates")).column("fact_id").to_pylist()
    assert again != [row["fact_id"] for row in kept]


def test_a_language_in_which_nothing_has_a_name_is_stated(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no entity has a name in ko, he; remove them from languages, or give"):
        config = load_config(languages=(*PAPER_LANGUAGES, "ko", "he"), extract__workers=1)
        build(tmp_path, world(), "candidates", config)
