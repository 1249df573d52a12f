"""The stages of a build, in their order: each with the tables it reads and writes, its inputs and its folder.

No other module states them. A stage's module has `settings(config)`, which returns the settings that its result
depends on, and `run(context)`.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from polyfact_dataset.pipeline.dependencies import Dependencies

REJECTS = "rejects"


@dataclass(frozen=True)
class Stage:
    """One stage of a build.

    `reads` and `writes` name tables (`schema.py`); `release` and `audit` are the folders of these names. A stage that
    drops facts also writes `rejects`. `inputs` are fields of `Inputs` that change its result. `uses` are functions of
    later rooms, as `module:function`: the runner passes them, so that the stage does not import them.

    `covered` are rooms whose data is fully contained in the stage's settings: a change there that does not change the
    settings does not make it rerun.

    The rows of a `batched` stage are processed in batches by worker processes. A stage with `resumes` continues from
    the files of an interrupted run with the same key. The files of a stage that is `colocated_with` another are stored
    among that stage's files.
    """

    name: str
    module: str
    doc: str
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()
    covered: tuple[str, ...] = ()
    folder: str = ""
    batched: bool = False
    resumes: bool = False
    colocated_with: str | None = None

    def load(self) -> ModuleType:
        return importlib.import_module(f"polyfact_dataset.{self.module}")

    @property
    def depends_on(self) -> tuple[str, ...]:
        """The stages that write what this one reads, in the order of `reads`."""
        return tuple(dict.fromkeys(writer_of(table).name for table in self.reads))

    def sources(self, dependencies: Dependencies) -> tuple[Path, ...]:
        """The source files whose change makes the stage rerun."""
        modules = (self.module, *(name.partition(":")[0] for name in self.uses))
        return dependencies.sources_of((f"polyfact_dataset.{name}" for name in modules), self.covered)


EXTRACT = Stage(
    "extract",
    "wikidata.extract",
    "read the dump: labels, types, statements",
    writes=("entities", "statements", "quarantine"),
    inputs=("dump", "part"),
    covered=("polyfact_dataset.catalog", "polyfact_dataset.schema"),
    resumes=True,
)
CANDIDATES = Stage(
    "candidates",
    "facts.candidates",
    "choose the statements that may become questions",
    reads=("entities", "statements"),
    writes=("candidates", "true_objects"),
    inputs=("written_labels",),
)
BACKFILL = Stage(
    "backfill",
    "facts.backfill",
    "ask Wikidata's API for what the dump lacks",
    reads=("entities", "candidates", "true_objects"),
    writes=("answers", "fetched", "resolved_candidates", "resolved_true_objects"),
)
LOCALISE = Stage(
    "localise",
    "facts.labels",
    "resolve labels with their provenance",
    reads=("entities", "resolved_candidates", "fetched"),
    writes=("labels", "answer_aliases"),
    inputs=("written_labels",),
    batched=True,
)
FEATURES = Stage(
    "features",
    "facts.features",
    "collect features for wording and matching: kind, sex, years, places",
    reads=("entities", "statements", "resolved_candidates", "fetched"),
    writes=("features",),
    batched=True,
)
NAMESAKES = Stage(
    "namesakes",
    "facts.ambiguous_names",
    "find ambiguous names, and the descriptions that distinguish them",
    reads=("entities", "statements", "resolved_candidates", "fetched", "labels", "answer_aliases"),
    writes=("disambiguations",),
)
QUESTIONS = Stage(
    "questions",
    "questions.templates",
    "write the question in every language",
    reads=(
        "entities",
        "resolved_candidates",
        "resolved_true_objects",
        "fetched",
        "labels",
        "features",
        "answer_aliases",
        "disambiguations",
    ),
    writes=("questions", "question_labels"),
    inputs=("previous", "objections", "excluded"),
    uses=("items.selection:sampled_subjects",),
    batched=True,
)
VALIDATE = Stage(
    "validate",
    "questions.validate",
    "keep facts that are valid in all languages",
    reads=("answer_aliases", "questions", "question_labels"),
    writes=("valid_candidates",),
    inputs=("errata",),
    batched=True,
)
SAMPLE = Stage(
    "sample",
    "items.selection",
    "balance relations, split by subject, draw exchangeable distractors",
    reads=(
        "resolved_true_objects",
        "answer_aliases",
        "disambiguations",
        "features",
        "questions",
        "question_labels",
        "valid_candidates",
    ),
    writes=("sampled",),
    inputs=("previous", "excluded"),
)
ITEMS = Stage(
    "items",
    "items.layout",
    "lay out every item in every language",
    reads=("questions", "question_labels", "sampled"),
    writes=("items",),
    batched=True,
)
TIER = Stage(
    "tier",
    "items.tiers",
    "assign quality tiers",
    reads=("question_labels", "items"),
    writes=("tiers", "judged_items"),
    inputs=("verification",),
)
EXPORT = Stage(
    "export",
    "release.export",
    "write the release folder",
    reads=("entities", "answer_aliases", "questions", "question_labels", "items", "tiers", "judged_items"),
    writes=("release",),
    folder="release",
)
AUDIT = Stage(
    "audit",
    "audit.run",
    "measure whether the release tests recall",
    reads=("entities", "statements", "question_labels", "items", "release"),
    writes=("audit",),
    # Next to the data that it describes, and not part of the content that the release's digest covers.
    folder="release/audit",
)
CARD = Stage(
    "card",
    "release.documents",
    "describe the release: card, figures, version",
    reads=("release", "audit"),
    inputs=("previous_release",),
    folder="release",
    colocated_with="export",
)
STAGES: tuple[Stage, ...] = (
    EXTRACT,
    CANDIDATES,
    BACKFILL,
    LOCALISE,
    FEATURES,
    NAMESAKES,
    QUESTIONS,
    VALIDATE,
    SAMPLE,
    ITEMS,
    TIER,
    EXPORT,
    AUDIT,
    CARD,
)
LAST = CARD


def stage_named(name: str) -> Stage:
    """The stage of a name. Raises `KeyError` for an unknown one."""
    return {stage.name: stage for stage in STAGES}[name]


def writer_of(table: str) -> Stage:
    """The stage that writes a table. Raises `KeyError` for a table that no stage writes."""
    return {name: stage for stage in STAGES for name in stage.writes}[table]


def stage_folder(out: Path, stage: Stage) -> Path:
    """The folder of a finished stage in the build folder `out`."""
    return out / (stage.folder or f"stages/{STAGES.index(stage) + 1:02}-{stage.name}")


def table_path(out: Path, table: str) -> Path:
    """The Parquet file of a table in the build folder `out`, or the folder of its files."""
    return stage_folder(out, writer_of(table)) / f"{table}.parquet"
