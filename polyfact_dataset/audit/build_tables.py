"""Tables of the build that are not in its release: statements, aliases, strata."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from polyfact_dataset.common.database import connect, parquet_files
from polyfact_dataset.common.files import read_json, read_parquet
from polyfact_dataset.pipeline.stages import EXTRACT, stage_folder, table_path

_STATEMENTS = """
    SELECT s.* FROM parquet($statements) s
    SEMI JOIN facts f ON s.subject = f.subject_id AND s.property = f.property_id
    ORDER BY ALL
"""
_ALIASES = """
    SELECT id AS entity, unnest(aliases).code AS code, unnest(aliases).text AS text
    FROM parquet($entities) e SEMI JOIN facts f ON e.id = f.object_id
    ORDER BY ALL
"""


@dataclass(frozen=True)
class BuildTables:
    """The folder of the build that made a release, or None when only the release is available."""

    build: Path | None = None

    @classmethod
    def of(cls, release: Path) -> BuildTables:
        """The build around a release folder, if it is the one that the release's manifest describes."""
        build = release.resolve().parent
        if not (build / "manifest.json").is_file() or not (release / "manifest.json").is_file():
            return cls()
        manifests = [read_json(folder / "manifest.json") for folder in (build, release)]
        described = [manifest.get("build") if isinstance(manifest, dict) else None for manifest in manifests]
        if described[0] is None or described[0] != described[1]:
            return cls()
        return cls(build) if stage_folder(build, EXTRACT).is_dir() else cls()

    def _query(self, query: str, facts: pa.Table, table: str) -> pa.Table | None:
        if self.build is None:
            return None
        with tempfile.TemporaryDirectory() as spill, connect(Path(spill)) as connection:
            connection.register("facts", facts.select(["subject_id", "property_id", "object_id"]))
            return connection.sql(query, params={table: parquet_files(table_path(self.build, table))}).to_arrow_table()

    def statements(self, facts: pa.Table) -> pa.Table | None:
        """`schema.STATEMENTS` about the facts' subjects and relations."""
        return self._query(_STATEMENTS, facts, "statements")

    def aliases(self, facts: pa.Table) -> pa.Table | None:
        """`entity, code, text` of the facts' objects."""
        return self._query(_ALIASES, facts, "entities")

    def sitelinks(self) -> dict[str, int] | None:
        """The number of sitelinks of every subject and answer."""
        if self.build is None:
            return None
        known = read_parquet(table_path(self.build, "question_labels"), ["entity_id", "sitelinks"])
        return dict(zip(*(known.column(name).to_pylist() for name in known.column_names)))

    def features(self) -> pa.Table | None:
        """`schema.FEATURES` of every subject and answer."""
        return None if self.build is None else read_parquet(table_path(self.build, "features"))

    def strata(self, facts: pa.Table) -> pa.ChunkedArray:
        """The stratum of each fact; its relation and split where the strata are unknown."""
        coarse = pc.binary_join_element_wise(facts.column("property_id"), facts.column("split"), "/")
        if self.build is None:
            return coarse
        drawn = read_parquet(table_path(self.build, "items"), ["fact_id", "stratum"])
        rows = pc.index_in(facts.column("fact_id"), value_set=drawn.column("fact_id").combine_chunks())
        return pc.coalesce(drawn.column("stratum").take(rows), coarse)
