"""The work of `polyfact build` and the stage commands: resolve the inputs, run the pipeline, print a summary."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from polyfact_dataset.common.errors import ConfigError, DataError
from polyfact_dataset.common.files import read_parquet
from polyfact_dataset.config.build import Config
from polyfact_dataset.facts.written_labels import read_written_labels
from polyfact_dataset.pipeline.build_dir import read_manifest
from polyfact_dataset.pipeline.context import Inputs, Previous
from polyfact_dataset.pipeline.stages import EXTRACT
from polyfact_dataset.release.layout import read_splits
from polyfact_dataset.release.reader import files_of_config, locate, read_about, read_audit, read_errata
from polyfact_dataset.schema import VERIFICATION
from polyfact_dataset.wikidata.dump import identify

_FACT_ID = re.compile(r"Q[1-9]\d*\|P[1-9]\d*\|Q[1-9]\d*")
SAMPLE_DUMP = Path(__file__).parents[1] / "sample" / "dump.json.bz2"
SAMPLE_LABELS = SAMPLE_DUMP.with_name("written_labels.tsv")
# Of further languages: one table each, `<code>.tsv`.
SAMPLE_LABEL_TABLES = SAMPLE_DUMP.with_name("labels")


def read_previous(release: Path) -> Previous:
    """The splits and blocks of an earlier release, from its `splits.parquet` and its `parallel` rows.

    A release in the published layout has only `parallel` rows, so subjects of releases before it are unknown. Raises
    `ConfigError` when the folder contains neither.
    """
    table = release / "splits.parquet"
    try:
        files = files_of_config(release, "parallel")
    except ConfigError as error:
        if not table.is_file():
            raise ConfigError(
                f"--previous {release}: it contains neither splits.parquet nor parallel rows; give a release folder"
            ) from error
        files = {}
    columns = ["fact_id", "subject_id", "object_id", "translations.en.option_ids"]
    rows = read_splits(files, columns) if files else pa.table({})
    # Train comes first, so that held-out splits win.
    known = read_parquet(table) if table.is_file() else rows
    splits = dict(zip(known.column("subject_id").to_pylist(), known.column("split").to_pylist()))
    return Previous(dict(sorted(splits.items())), _blocks(rows))


def _blocks(rows: pa.Table) -> tuple[tuple[str, ...], ...]:
    """Fours of facts of one relation and split that have each other's golds as options.

    Where several blocks have the same golds, a release does not show which facts are in which; any division is valid.
    """
    # The published layout has the texts of options only, and is then read without this column.
    if not {"fact_id", "object_id", "translations"} <= set(rows.column_names):
        return ()
    options = pc.struct_field(rows.column("translations"), [0, 0]).to_pylist()
    together: dict[tuple[str, str, tuple[str, ...]], dict[str, list[str]]] = {}
    for fact, gold, split, ids in zip(
        *(rows.column(name).to_pylist() for name in ("fact_id", "object_id", "split")), options
    ):
        key = (fact.split("|")[1], split, tuple(sorted(ids)))
        together.setdefault(key, {}).setdefault(gold, []).append(fact)
    return tuple(
        sorted(
            tuple(block)
            for (_, _, ids), facts in together.items()
            if tuple(sorted(facts)) == ids
            for block in zip(*(sorted(facts[gold]) for gold in ids))
        )
    )


def _dump(requested: Path | None, out: Path, overwrite: bool) -> tuple[Path | None, str]:
    """The dump, if it is available, and its identity.

    Without `requested`, it is the dump that was piped or merged into `out`, or the bundled sample.
    """
    if requested is None and (out / "manifest.json").exists():
        manifest = read_manifest(out, overwrite)
        if manifest.get("dump_is_gone") and EXTRACT.name in manifest["stages"]:
            return None, manifest["build"]["dump"]
    dump = requested or SAMPLE_DUMP
    return dump, identify(dump)


def source_of(identity: str) -> Literal["sample", "dump"]:
    """Whether a dump is the bundled sample, by its identity."""
    return "sample" if identity == identify(SAMPLE_DUMP) else "dump"


def _part(text: str | None) -> tuple[int, int] | None:
    """`i/n` as numbers. Raises `ConfigError` when it has another form."""
    if text is None:
        return None
    number, _, count = text.partition("/")
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise ConfigError(f"--part {text}: give it as i/n, such as 2/8 for the second of eight parts")
    return int(number), int(count)


def read_objections(path: Path) -> dict[str, frozenset[str]]:
    """Fact -> the languages objected to (empty: all), from a table with columns `fact_id` and `language`.

    The audit's table of findings has these columns. Raises `ConfigError` when the file lacks them.
    """
    import pyarrow.csv
    import pyarrow.parquet as pq

    try:
        table = pyarrow.csv.read_csv(path) if path.suffix == ".csv" else pq.read_table(path)
        rows = table.select(["fact_id", "language"]).to_pylist()
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(f"--objections {path}: {error}; give Parquet or CSV with fact_id and language") from error
    objections: dict[str, frozenset[str]] = {}
    for row in rows:
        fact, codes = str(row["fact_id"]), frozenset([row["language"]] if row["language"] else [])
        known = objections.setdefault(fact, codes)
        objections[fact] = known | codes if known and codes else frozenset()
    return dict(sorted(objections.items()))


def read_excluded(path: Path) -> dict[str, str]:
    """Fact -> why it is excluded. The file is a list of fact ids, one a line, or Parquet or CSV with `fact_id`.

    The reason is in column `reason` or, in the audit's findings, `check` with the language. From a table
    of `polyfact verify report`, facts with an item judged incorrect are used. Lines that name no fact are errors;
    findings about files and strata are ignored. Raises `ConfigError` naming the file and the line.
    """
    import pyarrow.csv
    import pyarrow.parquet as pq

    try:
        if path.suffix not in (".csv", ".parquet"):
            return _listed_facts(path)
        table = pyarrow.csv.read_csv(path) if path.suffix == ".csv" else pq.read_table(path)
        rows = table.to_pylist()
    except (OSError, ValueError) as error:
        raise ConfigError(f"--exclude {path}: {error}; give fact ids, one a line, or a table with fact_id") from error
    if "fact_id" not in table.column_names:
        raise ConfigError(f"--exclude {path}: no column fact_id; it has {', '.join(table.column_names)}")
    excluded: dict[str, str] = {}
    for row in rows:
        if "judge_label" in row and row.get("label") != "incorrect":
            continue
        reason = row.get("reason") or row.get("check") or ("judged_incorrect" if "judge_label" in row else "excluded")
        code = row.get("language")
        if _FACT_ID.fullmatch(str(row["fact_id"])):
            excluded.setdefault(str(row["fact_id"]), f"{reason}:{code}" if code and ":" not in reason else str(reason))
    if not excluded:
        raise ConfigError(f"--exclude {path}: no row names a fact such as Q90|P17|Q142")
    return dict(sorted(excluded.items()))


def _listed_facts(path: Path) -> dict[str, str]:
    """The fact ids of a text file, one a line; followed by a space or tab and the reason.

    Lines that begin with # are comments.
    """
    excluded: dict[str, str] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), start=1):
        fact, _, reason = line.strip().replace("\t", " ").partition(" ")
        if not fact or fact.startswith("#"):
            continue
        if not _FACT_ID.fullmatch(fact):
            raise ConfigError(f"--exclude {path}, line {number}: {fact[:60]!r} is not a fact id such as Q90|P17|Q142")
        excluded[fact] = reason.strip() or "excluded"
    if not excluded:
        raise ConfigError(f"--exclude {path}: it contains no fact")
    return dict(sorted(excluded.items()))


def excluded_before(out: Path, overwrite: bool) -> dict[str, str]:
    """The facts that are already excluded from the build in a folder; they remain excluded."""
    if overwrite or not (out / "manifest.json").exists():
        return {}
    excluded: dict[str, str] = read_manifest(out).get("build", {}).get("excluded", {})
    return excluded


def dump_date(dump: Path) -> datetime.date | None:
    """The day in the name of a dump (wikidata-20260105-all.json.bz2), if there is one."""
    for digits in re.findall(r"(?<!\d)20\d{6}(?!\d)", dump.name):
        try:
            return datetime.datetime.strptime(digits, "%Y%m%d").date()
        except ValueError:
            continue
    return None


def read_verification(path: Path) -> pa.Table:
    """The labels of judges and reviewers: the table of `polyfact verify report`, or a folder of such tables.

    Raises `ConfigError` when it is another table.
    """
    try:
        table = read_parquet(path).select(VERIFICATION.schema.names).cast(VERIFICATION.schema)
    except (DataError, KeyError, pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise ConfigError(f"--verification {path}: {error}; give verification.parquet of `polyfact verify`") from error
    return table.sort_by([(name, "ascending") for name in ("fact_id", "language", "item")])


def require_passed(release: Path) -> None:
    """Raises `ConfigError` when a release failed its audit: the next release would keep its splits."""
    report = release / "audit" / "report.json"
    if report.is_file() and not read_audit(release).passed:
        raise ConfigError(
            f"--previous {release}: it failed its audit (see {report.parent / 'report.html'}); give a release "
            "that passed, or --force to keep the splits of this one"
        )


def sample_labels(languages: Sequence[str]) -> list[Path]:
    """The tables of the bundled sample's written labels: that of the paper's languages, and those of further ones."""
    tables = [SAMPLE_LABEL_TABLES / f"{code}.tsv" for code in languages]
    return [SAMPLE_LABELS, *(path for path in tables if path.is_file())]


def written_labels(config: Config, source: str) -> pa.Table | None:
    """The labels of the configured tables, and those of the bundled sample where it is the source of a build."""
    bundled = sample_labels(config.languages) if source == "sample" else []
    return read_written_labels((*config.labels.written, *bundled))


def resolve_inputs(
    config: Config,
    dump: Path | None,
    out: Path,
    previous: Path | None = None,
    part: str | None = None,
    overwrite: bool = False,
    force: bool = False,
) -> Inputs:
    """The inputs of a build into `out`. `previous` is an earlier release, a folder or `owner/name@revision` on the Hub.

    A release in the published layout has no version. Raises `ConfigError` for an unfinished release of this project.
    """
    path, identity = _dump(dump, out, overwrite)
    source = source_of(identity)
    # The sample is not a dump of a certain day, so a configured date does not apply.
    if source == "sample" or (config.release.dump_date is None and path is not None):
        day = None if source == "sample" or path is None else dump_date(path)
        config = config.model_copy(update={"release": config.release.model_copy(update={"dump_date": day})})
    written = written_labels(config, source)
    inputs = Inputs(config, path, identity, part=_part(part), source=source, written_labels=written)
    if previous is None:
        return inputs
    folder = locate(str(previous))
    if (folder / "manifest.json").is_file():
        read_about(folder)
        if not force:
            require_passed(folder)
        wrong = frozenset(row["fact_id"] for row in read_errata(folder))
        inputs = replace(inputs, previous_release=folder, errata=wrong)
    return replace(inputs, previous=read_previous(folder))
