"""Arguments and results of a stage: inputs, context, report, and the tally of kept and rejected facts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from polyfact_dataset.common.files import digest_json, read_json, read_parquet, write_parquet
from polyfact_dataset.common.processes import Workers
from polyfact_dataset.common.progress import Log
from polyfact_dataset.config.build import Config
from polyfact_dataset.pipeline.reasons import is_reason
from polyfact_dataset.pipeline.stages import Stage, table_path


@dataclass
class Tally:
    """Kept and rejected per relation; `check` raises when the counts do not add up."""

    input: Counter[str] = field(default_factory=Counter)
    kept: Counter[str] = field(default_factory=Counter)
    rejected: dict[str, Counter[str]] = field(default_factory=dict)

    def check(self, stage: str) -> None:
        """Raises when kept + rejected is not the input, for any relation, or for a reason that is not documented."""
        unknown = {reason for reasons in self.rejected.values() for reason in reasons if not is_reason(reason)}
        if unknown:
            raise AssertionError(f"{stage}: pipeline/reasons.py lacks {', '.join(sorted(unknown))}")
        for relation in self.input.keys() | self.kept.keys() | self.rejected.keys():
            dropped = sum(self.rejected.get(relation, Counter()).values())
            if self.kept[relation] + dropped != self.input[relation]:
                raise AssertionError(
                    f"{stage}: {relation}: {self.kept[relation]} kept + {dropped} rejected, not {self.input[relation]}"
                )

    def count(self, relation: str, reason: str | None, number: int = 1) -> None:
        """Counts a fact, or so many of them: kept, or rejected for a reason."""
        self.input[relation] += number
        if reason is None:
            self.kept[relation] += number
        else:
            self.rejected.setdefault(relation, Counter())[reason] += number

    def add(self, other: Tally) -> None:
        """Adds the counts of another part of the facts."""
        self.input += other.input
        self.kept += other.kept
        for relation, reasons in other.rejected.items():
            self.rejected.setdefault(relation, Counter()).update(reasons)

    def as_json(self) -> dict[str, Any]:
        relations = sorted(self.input, key=lambda relation: int(relation[1:]))
        return {
            relation: {
                "input": self.input[relation],
                "kept": self.kept[relation],
                "rejected": dict(sorted(self.rejected.get(relation, Counter()).items())),
            }
            for relation in relations
        }


@dataclass
class Report:
    """What a stage returns: totals for the manifest and, where facts are dropped, the tally.

    A stage with `pending` work reruns on the next run.
    """

    counts: dict[str, Any]
    tally: Tally | None = None
    pending: int = 0


@dataclass(frozen=True)
class Previous:
    """What an earlier release fixes for the next one.

    `splits` maps the subjects of it and of all before it to their split. `blocks` are the ids of four facts each that
    have each other's golds as options.
    """

    splits: Mapping[str, str] = field(default_factory=dict)
    blocks: tuple[tuple[str, ...], ...] = ()

    def digest(self) -> str | None:
        """The digest of its contents; None where there is no earlier release."""
        return digest_json([dict(self.splits), self.blocks]) if self.splits else None


@dataclass(frozen=True)
class Inputs:
    """The inputs of a build.

    `dump` is None where it is not available: its extraction is in the build folder, or is merged from others.
    `dump_identity` distinguishes it from other dumps. `part` is (i, n) where only the i-th of n parts of the dump
    is extracted. `previous` is what `previous_release`, an earlier release, fixes. `objections` maps facts to the
    languages in which a model's question was objected to (an empty set: in all). `excluded` maps facts that must not
    be released to the reason; facts may be added to it in an existing build folder.
    `verification` contains the labels of judges and reviewers (`schema.VERIFICATION`), `written_labels` labels of
    entities that people wrote (`schema.WRITTEN_LABELS`). `source` is `sample` for the bundled sample, whose
    releases must not be mistaken for Wikidata. `errata` are facts of earlier releases that are known to be wrong.
    """

    config: Config
    dump: Path | None
    dump_identity: str
    previous: Previous = Previous()
    objections: Mapping[str, frozenset[str]] = field(default_factory=dict)
    excluded: Mapping[str, str] = field(default_factory=dict)
    verification: pa.Table | None = None
    written_labels: pa.Table | None = None
    part: tuple[int, int] | None = None
    previous_release: Path | None = None
    source: Literal["sample", "dump"] = "dump"
    errata: frozenset[str] = frozenset()

    def identity(self) -> dict[str, Any]:
        """The identity of a build: contents and configuration, without settings that do not change results."""
        return {
            "dump": self.dump_identity,
            "source": self.source,
            "config": self.config.identity(),
            **self.digests(),
            "verification": digest_json(self.verification.to_pylist()) if self.verification is not None else None,
            "written_labels": digest_json(self.written_labels.to_pylist()) if self.written_labels else None,
            "previous_release": _version_and_content(self.previous_release) if self.previous_release else None,
            **({"part": list(self.part)} if self.part else {}),
            **({"excluded": dict(sorted(self.excluded.items()))} if self.excluded else {}),
        }

    def digests(self) -> dict[str, str | None]:
        """Digests of the inputs from files other than the dump; None where there is none."""
        objections = {fact: sorted(codes) for fact, codes in self.objections.items()}
        return {
            "previous": self.previous.digest(),
            "objections": digest_json(objections) if objections else None,
            "errata": digest_json(sorted(self.errata)) if self.errata else None,
        }


def _version_and_content(release: Path) -> dict[str, str]:
    about = read_json(release / "release.json")
    return {name: about[name] for name in ("version", "content")}


class Context:
    """The argument of a stage's `run`: the configuration, tables of earlier stages, its folder, the log."""

    def __init__(
        self, inputs: Inputs, out: Path, log: Log, target: Path, manifest: dict[str, Any], workers: Workers
    ) -> None:
        self.config, self.dump, self.previous, self.part = inputs.config, inputs.dump, inputs.previous, inputs.part
        self.objections, self.excluded, self.errata = inputs.objections, inputs.excluded, inputs.errata
        self.previous_release, self.verification = inputs.previous_release, inputs.verification
        self.written_labels = inputs.written_labels
        self.out, self.log, self._target = out, log, target
        self.workers = workers
        # The entries of the finished stages, for stages that report on the build.
        self.manifest = manifest

    def path(self, table: str) -> Path:
        """The Parquet file of an earlier stage's table, or the folder of its files."""
        return table_path(self.out, table)

    def read(self, table: str, columns: list[str] | None = None) -> pa.Table:
        """An earlier stage's table."""
        return read_parquet(self.path(table), columns)

    def entry(self, stage: Stage) -> dict[str, Any]:
        """The manifest entry of a finished stage: its counts, its tally, its files."""
        entry: dict[str, Any] = self.manifest["stages"][stage.name]
        return entry

    def target(self, table: str) -> Path:
        """The path of one of the stage's tables."""
        return self._target / f"{table}.parquet"

    @property
    def folder(self) -> Path:
        """The stage's folder, for files that are not tables."""
        return self._target

    def write(self, table: str, rows: pa.Table) -> None:
        """Writes one of the stage's tables."""
        write_parquet(self.target(table), rows)


Run = Callable[..., Report]
"""The work of a stage: takes its context, and the functions of `Stage.uses` by name."""
