"""The documents of a release say what its data say, and the check finds where they do not."""

from __future__ import annotations

import json
import re
import subprocess
from collections import Counter
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from polyfact_dataset.catalog.language import PAPER_LANGUAGES
from polyfact_dataset.common.errors import DataError, PolyFactError
from polyfact_dataset.common.escaping import markdown
from polyfact_dataset.common.files import read_json
from polyfact_dataset.release import card, documents, figures
from polyfact_dataset.release.card_tables import floors, others
from polyfact_dataset.release.reader import read_audit, read_release
from polyfact_dataset.release.schema import FLAT_ROWS, parallel_rows
from polyfact_dataset.release.stats import statistics
from tests.support.command import polyfact
from tests.support.released import copy_of, parallel_rows_of


@pytest.fixture(scope="module")
def statistics_of_small(small: Path) -> dict[str, Any]:
    return statistics(small)


@pytest.fixture
def counted(statistics_of_small: dict[str, Any]) -> dict[str, Any]:
    """The statistics of the small release; they may be changed."""
    return deepcopy(statistics_of_small)


@pytest.fixture(scope="module")
def text(small: Path) -> str:
    return (small / "README.md").read_text(encoding="utf-8").split("---\n", 2)[2]


def test_the_check_passes_and_rendering_again_changes_nothing(small: Path, tmp_path: Path) -> None:
    copy = copy_of(small, tmp_path / "copy")
    documents.check(copy)
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    (copy / "README.md").unlink()
    documents.render_again(copy)
    assert {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()} == before


def test_the_card_has_its_parts(text: str, small: Path) -> None:
    titles = re.findall(r"^## (.+)", text, re.M)
    assert titles == [
        "One item",
        "Evaluate",
        "Configs",
        "Known issues and how to report an error",
        "Reading it",
        "Columns",
        "Construction",
        "Audit",
        "Quality tiers",
        "Attestation",
        "Personal data and use",
        "Licence",
        "Citation",
        "Changes",
    ]
    for name in re.findall(r"!\[[^\]]*\]\(([^)]+)\)|\[[^\]]*\]\(([A-Z][^)]+)\)", text):
        assert (small / (name[0] or name[1])).is_file(), name


@pytest.mark.parametrize(
    ("languages", "three", "two"),
    [
        (PAPER_LANGUAGES, "Swahili, Bengali or Japanese", "Swahili or Bengali"),
        (("en", "ko", "hi"), "Korean or Hindi", "Korean or Hindi"),
        (("en", "fr", "ja", "de"), "Japanese, French or German", "Japanese or French"),
        (("en",), "another language", "another language"),
    ],
)
def test_the_card_mentions_languages_of_the_release(languages: tuple[str, ...], three: str, two: str) -> None:
    assert others(languages, 3) == three and others(languages, 2) == two


def test_the_examples_are_in_the_card_and_the_datasheet(text: str, small: Path) -> None:
    languages = read_release(small).languages
    assert f"also knows it in {others(languages, 3)}.\n" in text
    datasheet = " ".join((small / "DATASHEET.md").read_text(encoding="utf-8").split())
    assert f"only speakers of {others(languages, 2)} know is absent" in datasheet


def test_the_numbers_of_the_card_are_those_of_the_rows(text: str, small: Path) -> None:
    rows = parallel_rows_of(small)
    tiers = [row["quality_tier"] for row in rows]
    assert f"{len(rows)} facts, 4 relations, 2 languages: {2 * len(rows)} items" in text
    for tier in ("gold", "silver", "bronze"):
        assert f"| {tier} | {tiers.count(tier)} | {100 * tiers.count(tier) / len(rows):.1f} % |" in text
    every, clean = ("gold", "silver", "bronze"), ("gold", "silver")
    for name, keep in (("`parallel`, `<lang>`", every), ("`clean_<lang>`", clean), ("`clean`", clean)):
        sizes = [
            sum(row["split"] == split and row["quality_tier"] in keep for row in rows)
            for split in ("train", "validation", "test")
        ]
        (line,) = [line for line in text.splitlines() if line.startswith(f"| {name} |")]
        assert line.endswith(f"| {sizes[0]} | {sizes[1]} | {sizes[2]} |")
    births = [row for row in rows if row["property_id"] == "P19"]
    answers = len({row["object_id"] for row in births})
    assert f"| place of birth (P19) | {len(births)} | {answers} |" in text and "| bronze | 25 % | 216 |" in text
    for column in (*parallel_rows(["en", "sw"]).columns, *FLAT_ROWS.columns):
        assert f"| `{column.name}` |" in text


def test_the_strongest_floors_are_the_audits(text: str, small: Path) -> None:
    audit = read_audit(small)
    # Attackers that are cross-validated have no figure of a split.
    known = {}
    for split in ("all", "test"):
        known |= {floor.takes: floor for floor in audit.pooled(split)}
        known |= {f"{floor.takes} (clean)": floor for floor in audit.pooled(split, "clean")}
    lines = [line for line in text.splitlines() if line.startswith("| *floor:* ")]
    assert len(lines) == 5
    shown = []
    for line in lines:
        takes = line.removeprefix("| *floor:* ").partition(" |")[0]
        floor = known[takes]
        shown.append(floor.accuracy)
        assert f"| {100 * floor.accuracy:.1f} % |" in line and f"| {100 * floor.expected:.1f} % |" in line
    # The strongest first, and none that is left out is stronger; a rule that was scored on `clean` counts once.
    by_rule = {floor["rule"]: floor["accuracy"] for floor in floors(audit, "test")}
    assert shown == sorted(by_rule.values(), reverse=True)[:5]
    assert f"strongest of {len(by_rule)} floors" in text.replace("\n", " ")


def test_configs_come_in_the_order_of_a_reader(small: Path) -> None:
    block = yaml.safe_load((small / "README.md").read_text(encoding="utf-8").split("---\n", 2)[1])
    assert [entry["config_name"] for entry in block["configs"]] == [
        "clean_items",
        "clean",
        "clean_en",
        "clean_sw",
        "parallel",
        "en",
        "sw",
        "open",
        "clean_open",
    ]
    assert [entry["config_name"] for entry in block["configs"] if entry.get("default")] == ["clean_items"]
    assert "features" not in str(block["dataset_info"]) and "arxiv:2606.06586" in block["tags"]
    assert [split["name"] for split in block["dataset_info"][0]["splits"]] == ["train", "validation", "test"]
    assert block["license"] == "cc0-1.0" and block["size_categories"] == ["n<1K"]


def test_croissant_is_valid_and_reads_the_rows(small: Path) -> None:
    import mlcroissant

    content = read_json(small / "croissant.json")
    assert set(content["conformsTo"]) == {
        "http://mlcommons.org/croissant/1.1",
        "http://mlcommons.org/croissant/RAI/1.0",
    }
    for name in (
        "dataCollection",
        "dataCollectionType",
        "dataBiases",
        "dataLimitations",
        "dataUseCases",
        "dataSocialImpact",
        "personalSensitiveInformation",
        "dataReleaseMaintenancePlan",
        "dataAnnotationProtocol",
        "dataPreprocessingProtocol",
        "dataCollectionMissingData",
        "dataCollectionRawData",
        "dataCollectionTimeFrame",
        "dataImputationProtocol",
        "dataManipulationProtocol",
        "dataAnnotationPlatform",
        "dataAnnotationAnalysis",
        "annotationsPerItem",
        "annotatorDemographics",
        "machineAnnotationTools",
    ):
        assert content[f"rai:{name}"], name
    data = mlcroissant.Dataset(str(small / "croissant.json"), mapping={"repository": str(small)})
    assert not data.metadata.ctx.issues.errors and not data.metadata.ctx.issues.warnings
    wide = {row["fact_id"]: row for row in parallel_rows_of(small)}
    command = "find data -name '*.parquet' | LC_ALL=C sort | xargs sha256sum | sha256sum"
    computed = subprocess.run(command, shell=True, cwd=small, capture_output=True, text=True, check=True).stdout
    assert content["distribution"][0]["sha256"] == computed.split()[0]
    records = list(data.records("clean_sw"))
    assert (
        dict(Counter(record["clean_sw/split"].decode() for record in records))
        == read_json(small / "manifest.json")["sizes"]["clean_sw"]
    )
    record = records[0]
    row = wide[record["clean_sw/fact_id"].decode()]
    assert record["clean_sw/question"].decode() == row["translations"]["sw"]["question"]
    assert [part.decode() for part in record["clean_sw/option_ids"]] == row["translations"]["sw"]["option_ids"]
    record = next(iter(data.records("parallel")))
    row = wide[record["parallel/fact_id"].decode()]
    item = record["parallel/translations/sw"]
    assert item["parallel/translations/sw/answer_text"].decode() == row["translations"]["sw"]["answer_text"]


def test_citation_file(small: Path) -> None:
    content = yaml.safe_load((small / "CITATION.cff").read_text(encoding="utf-8"))
    about = read_json(small / "release.json")
    assert content["cff-version"] == "1.2.0" and content["type"] == "dataset" and content["title"] == "PolyFact"
    assert content["version"] == about["version"] and about["content"] in content["identifiers"][0]["value"]
    assert content["authors"][0]["family-names"] == "Rad" and content["authors"][0]["name-particle"] == "von"
    assert len(content["authors"]) == len(content["preferred-citation"]["authors"]) == 9


def test_the_datasheet_answers_every_group_of_questions(small: Path) -> None:
    sheet = (small / "DATASHEET.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (.+)", sheet, re.M) == [
        "Motivation",
        "Composition",
        "Collection",
        "Preprocessing, cleaning, labelling",
        "Uses",
        "Distribution",
        "Maintenance",
    ]
    assert "maintainer@example.org" in sheet and "2026-01-05" in sheet


def replaced(path: Path, old: str, new: str) -> None:
    content = path.read_text(encoding="utf-8")
    assert old in content
    path.write_text(content.replace(old, new, 1), encoding="utf-8")


def damage(kind: str, release: Path) -> None:
    """Makes one thing of a release untrue."""
    parquet = next((release / "data" / "en").glob("*.parquet"))
    if kind == "number in the card":
        replaced(release / "README.md", "200 facts, 4 relations", "201 facts, 4 relations")
    elif kind == "number in the YAML":
        replaced(release / "README.md", "num_examples: ", "num_examples: 9")
    elif kind == "other document":
        replaced(release / "DATASHEET.md", "400 items", "401 items")
    elif kind == "croissant":
        replaced(release / "croissant.json", "clean_sw", "clean_xx")
    elif kind == "script":
        replaced(release / "loading_script" / "PolyFact.py", '"clean_sw"', '"clean_xx"')
    elif kind == "data":
        content = bytearray(parquet.read_bytes())
        content[len(content) // 2] ^= 1
        parquet.write_bytes(content)
    elif kind == "missing data":
        parquet.unlink()
    elif kind == "more data":
        (parquet.parent / "more.parquet").write_bytes(parquet.read_bytes())
    elif kind == "missing figure":
        (release / "figures" / "relations.png").unlink()
    elif kind == "no figure":
        (release / "figures" / "relations.png").write_text("a picture")
    elif kind == "stranger":
        (release / "notes.txt").write_text("mine")
    elif kind == "change log":
        replaced(release / "CHANGELOG.md", "## 1.0.0", "## 1.0.1")
    elif kind == "audit":
        (release / "audit" / "report.json").unlink()
    elif kind == "version":
        replaced(release / "release.json", '"version": "1.0.0"', '"version": "1.1.0"')


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("number in the card", "README.md does not match"),
        ("number in the YAML", "README.md does not match"),
        ("other document", "DATASHEET.md does not match"),
        ("croissant", "croissant.json does not match"),
        ("script", "PolyFact.py does not match"),
        ("data", "is changed since the build"),
        ("missing data", "is missing since the build"),
        ("more data", "is not listed since the build"),
        ("missing figure", "relations.png is missing"),
        ("no figure", "relations.png is not a PNG"),
        ("stranger", "notes.txt is not part of the release"),
        ("change log", "first entry is not about 1.0.0"),
        ("audit", "has no audit"),
        ("version", "first entry is not about 1.1.0"),
    ],
)
def test_the_check_finds_what_is_untrue(
    kind: str, message: str, small: Path, tmp_path: Path, rendered_once: None
) -> None:
    copy = copy_of(small, tmp_path / "copy")
    damage(kind, copy)
    with pytest.raises(DataError, match=message):
        documents.check(copy)


def test_the_command_checks(small: Path, tmp_path: Path, rendered_once: None) -> None:
    assert "every document matches content" in polyfact("card", "--check", small).stdout
    copy = copy_of(small, tmp_path / "copy")
    damage("number in the card", copy)
    result = polyfact("card", "--check", copy, check=False)
    assert result.returncode == 1 and "-201 facts" in result.stderr and "+200 facts" in result.stderr


def test_a_figure_of_other_content_is_found(
    small: Path, counted: dict[str, Any], tmp_path: Path, rendered_once: None
) -> None:
    copy = copy_of(small, tmp_path / "copy")
    manifest = {**read_json(small / "manifest.json"), "content": "0" * 64}
    picture = figures.draw(counted, manifest)["figures/relations.png"]
    (copy / "figures" / "relations.png").write_bytes(picture)
    with pytest.raises(DataError, match="shows other content"):
        documents.check(copy)


def test_figures_show_whole_bars_in_the_order_of_the_release(counted: dict[str, Any]) -> None:
    axes = figures.relations(counted).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == [r["label"] for r in counted["relations"].values()]
    longest = max(sum(entry["tiers"].values()) for entry in counted["relations"].values())
    assert max(bar.get_x() + bar.get_width() for bar in axes.patches) == longest < axes.get_xlim()[1]
    attested = {code: {"subjects": 4, "answers": 3, "whole": 2} for code in ("bn", "en")}
    axes = figures.coverage(attested, ("en", "bn"), 8).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["English (en)", "Bengali (bn)"]
    assert sorted(bar.get_width() for bar in axes.patches) == [25, 25, 37.5, 37.5, 50, 50]


def test_what_a_model_wrote_is_told_from_templates(small: Path, counted: dict[str, Any]) -> None:
    release = read_release(small)
    statements = card.values(release, counted)["statements"]
    assert "named in all 2 languages, one value where one is expected) and " in statements["preprocessing"]
    assert "were written from one template" in statements["limits"][1] and "few wordings" in statements["use_cases"]
    for own in counted["languages"].values():
        own["question_source"] = {"model:m": counted["facts"]}
    relation = next(iter(release.manifest["stages"]["questions"]["tally"].values()))
    relation["rejected"]["not_asked"] = 7
    release.manifest["build"]["config"]["candidates"]["min_languages"] = 1
    statements = card.values(release, counted)["statements"]
    tried = release.manifest["stages"]["candidates"]["counts"]["candidates"] - 7
    assert (
        f"at least 1 of the 2 languages, one value where one is expected), {tried:,} were taken up"
        in (statements["preprocessing"])
    )
    assert "were written by the model `m`" in statements["limits"][1] and "few wordings" not in statements["use_cases"]


@pytest.mark.parametrize("path", ["candidates.counts.candidates", "tier.counts.attested", "validate.counts"])
def test_a_number_that_the_manifest_lacks_is_an_error(path: str, small: Path, counted: dict[str, Any]) -> None:
    release = read_release(small)
    *above, last = path.split(".")
    part = release.manifest["stages"]
    for name in above:
        part = part[name]
    del part[last]
    with pytest.raises(DataError, match="lacks"):
        card.values(release, counted)


@pytest.mark.parametrize(
    "gone", [("stats", "facts"), ("audit", "gates"), ("about", "version"), ("counts", "valid_candidates")]
)
def test_a_number_that_the_card_lacks_is_an_error(gone: tuple[str, str], small: Path, counted: dict[str, Any]) -> None:
    named = card.values(read_release(small), counted)
    named["audit"] = named["audit"].model_dump()
    named = json.loads(json.dumps(named, default=str))
    name, key = gone
    for broken in ({k: v for k, v in named[name].items() if k != key}, {**named[name], key: None}):
        with pytest.raises(PolyFactError, match="does not have"):
            for template in ("card.md.j2", "statements.toml.j2"):
                card.render(template, {**named, name: broken})


def test_text_of_wikidata_is_no_markup() -> None:
    assert markdown("<b>a|b</b> `x` [y](z)\n# *h*") == r"\<b\>a\|b\</b\> \`x\` \[y\](z) \# \*h\*"


def test_the_script_of_a_release_names_its_configs_and_tag(small: Path, sample_build: Path) -> None:
    script = (small / "loading_script" / "PolyFact.py").read_text(encoding="utf-8")
    found: dict[str, object] = {}
    exec(script.partition("CONFIGS = ")[1] + script.partition("CONFIGS = ")[2].partition("\n]")[0] + "\n]", found)
    assert found["CONFIGS"] == [
        *("clean_items", "clean", "clean_en", "clean_sw"),
        *("parallel", "en", "sw", "open", "clean_open"),
    ]
    assert 'DEFAULT = "clean_items"' in script
    assert 'REPOSITORY = "hf://datasets/jvonrad/PolyFact@v1.0.0"' in script
    compile(script, "PolyFact.py", "exec")
    # A release of all languages carries the script of the repository unchanged, except for the tag.
    own = (Path(__file__).parents[2] / "loading_script" / "PolyFact.py").read_text(encoding="utf-8")
    shipped = (sample_build / "release" / "loading_script" / "PolyFact.py").read_text(encoding="utf-8")
    assert shipped.replace("@v1.0.0", "") == own
