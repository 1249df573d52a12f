"""The stages of a build in their order: what each reads, depends on, and where its tables are."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from polyfact_dataset.pipeline.dependencies import sources_of


@dataclass(frozen=True)
class Stage:
    """One step: its module has `settings(config)` and `run(context)`. `reads` are stages whose tables it uses.

    One that `resumes` finds in its folder what an interrupted run of the same key left there. The files of a stage
    `beside` another stand among that stage's files, in its folder.
    """

    name: str
    module: str
    reads: tuple[str, ...]
    doc: str
    resumes: bool = False
    beside: str | None = None

    def load(self) -> ModuleType:
        return importlib.import_module(f"polyfact_dataset.{self.module}")

    @property
    def sources(self) -> tuple[Path, ...]:
        """The files whose change makes the stage run again."""
        return sources_of(f"polyfact_dataset.{self.module}")


STAGES: tuple[Stage, ...] = (
    Stage("extract", "wikidata.extract", (), "read the dump: labels, types, statements", resumes=True),
    Stage("candidates", "facts.candidates", ("extract",), "choose the statements that may become questions"),
    Stage("backfill", "facts.backfill", ("extract", "candidates"), "ask Wikidata's API for what the dump lacks"),
    Stage("localise", "facts.labels", ("extract", "backfill"), "resolve labels with their provenance"),
    Stage(
        "namesakes",
        "facts.ambiguous_names",
        ("extract", "backfill", "localise"),
        "find subjects that share a name, and what tells them apart",
    ),
    Stage(
        "questions",
        "questions.templates",
        ("extract", "backfill", "localise", "namesakes"),
        "write the question in every language",
    ),
    Stage("validate", "questions.validate", ("localise", "questions"), "keep facts sound in all languages"),
    Stage(
        "sample",
        "items.selection",
        ("backfill", "localise", "questions", "validate"),
        "balance relations, split by subject, draw exchangeable distractors",
    ),
    Stage("items", "items.layout", ("questions", "sample"), "lay out every item in every language"),
    Stage("tier", "items.tiers", ("questions", "items"), "assign quality tiers"),
    Stage(
        "export", "release.export", ("extract", "localise", "questions", "items", "tier"), "write the release folder"
    ),
    Stage("audit", "audit.run", ("extract", "items", "export"), "measure whether the release tests recall"),
    Stage(
        "card",
        "release.documents",
        ("export", "audit"),
        "describe the release: card, figures, version",
        beside="export",
    ),
)
LAST = STAGES[-1].name
BY_NAME = {stage.name: stage for stage in STAGES}


def stage_folder(out: Path, stage: str) -> Path:
    """Where a finished stage's tables are."""
    if stage in ("export", "card"):
        return out / "release"
    if stage == "audit":
        # Beside the data it speaks of, and no part of the content that it names.
        return out / "release" / "audit"
    return out / "stages" / f"{[s.name for s in STAGES].index(stage) + 1:02}-{stage}"
