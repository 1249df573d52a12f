"""Rows of a release for training and evaluation: from a folder or the Hub, for any of its languages.

`load` reads multiple-choice facts (configs `parallel` and `clean`), `load_open` questions without options (config
`open`). Only the needed columns of the needed languages are read, into Arrow; a row is decoded on access.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, overload

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from polyfact_dataset.catalog.language import PAPER_LANGUAGES
from polyfact_dataset.common.errors import ConfigError, DataError
from polyfact_dataset.common.files import digest_json, readable
from polyfact_dataset.release.reader import config_files, locate, read_manifest
from polyfact_dataset.schema import OPTIONS


@dataclass(frozen=True, slots=True)
class Item:
    """One fact in one language. `answer` is the position of the correct option."""

    question: str
    options: tuple[str, ...]
    option_ids: tuple[str, ...]
    answer: int


@dataclass(frozen=True, slots=True)
class OpenItem:
    """One fact in one language, to be answered without options. `accepted` are all names of the answer."""

    question: str
    answer: str
    accepted: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact in parallel: its ids, and its item by language code."""

    fact_id: str
    subject_id: str
    property_id: str
    object_id: str
    items: Mapping[str, Item]


@dataclass(frozen=True, slots=True)
class OpenFact:
    """One fact of config `open`."""

    fact_id: str
    subject_id: str
    property_id: str
    object_id: str
    items: Mapping[str, OpenItem]


class _HasId(Protocol):
    @property
    def fact_id(self) -> str: ...


Row = TypeVar("Row", bound=_HasId)
_IDS = ("fact_id", "subject_id", "property_id", "object_id")
_ATTRIBUTES = ("domain", "popularity", "subject_articles")
_BATCH_ROWS = 512


@dataclass(frozen=True, slots=True)
class Attributes:
    """What the results of a fact are split by. `subject_labels` are by language code."""

    domain: str | None
    popularity: int | None
    subject_articles: list[str] | None
    subject_labels: Mapping[str, str]


@dataclass(frozen=True)
class Origin:
    """Where rows come from. `revision` is the Hub's commit (None for a folder), `content` the release's digest."""

    source: str
    config: str
    split: str
    revision: str | None
    content: str | None


class Rows(Sequence[Row], Generic[Row]):
    """The rows of one config and split: a sequence that decodes rows on access, for the chosen languages."""

    def __init__(
        self, table: pa.Table, origin: Origin, languages: tuple[str, ...], decode: Callable[[dict[str, Any]], Row]
    ) -> None:
        self.table = table
        self.origin = origin
        self.languages = languages
        self._decode = decode

    def __len__(self) -> int:
        return len(self.table)

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> Rows[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | Rows[Row]:
        if isinstance(index, slice):
            return self.take(range(len(self))[index])
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        return self._decode(self.table.slice(index % len(self), 1).to_pylist()[0])

    def __iter__(self) -> Iterator[Row]:
        for batch in self.table.to_batches(max_chunksize=_BATCH_ROWS):
            yield from map(self._decode, batch.to_pylist())

    def take(self, indices: Sequence[int]) -> Rows[Row]:
        """The rows at `indices`, in that order."""
        return Rows(self.table.take(pa.array(indices, pa.int64())), self.origin, self.languages, self._decode)

    def sample(self, count: int | None, seed: int = 42) -> Rows[Row]:
        """`count` rows by a hash of (seed, fact), in the order of the release: the same facts on any machine."""
        if count is None or count >= len(self):
            return self
        ids = self.table.column("fact_id").to_pylist()
        ranked = sorted(range(len(ids)), key=lambda i: hashlib.sha256(f"{seed}|sample|{ids[i]}".encode()).digest())
        return self.take(sorted(ranked[:count]))

    @cached_property
    def digests(self) -> dict[str, str]:
        """Language code -> SHA-256 of ids and items in that language, in order: equal for equal items."""
        ids = self.table.column("fact_id").to_pylist()
        column = self.table.column("translations").combine_chunks()
        return {code: digest_json([ids, column.field(code).to_pylist()]) for code in self.languages}


def _fact(row: dict[str, Any]) -> Fact:
    items = {
        code: Item(
            question=item["question"],
            options=tuple(item[name] for name in OPTIONS),
            option_ids=tuple(item["option_ids"]),
            answer=item["answer_index"],
        )
        for code, item in row["translations"].items()
    }
    return Fact(items=items, **{name: row[name] for name in _IDS})


def _open_fact(row: dict[str, Any]) -> OpenFact:
    items = {
        code: OpenItem(question=item["question"], answer=item["answer"], accepted=tuple(item["accepted_answers"]))
        for code, item in row["translations"].items()
    }
    return OpenFact(items=items, **{name: row[name] for name in _IDS})


def load(
    source: str | Path,
    config: str = "clean",
    split: str = "test",
    languages: Sequence[str] | None = None,
    revision: str | None = None,
) -> Rows[Fact]:
    """The facts of a release, `source` being its folder or its id on the Hub; by default in all its languages.

    Raises `ConfigError` for an unknown source, config, split or language, `DataError` for a split without
    rows and for a dataset without `option_ids`, whose options cannot be aligned across languages.
    """
    needed = ("question", *OPTIONS, "option_ids", "answer_index")
    opened = _Config.open(str(source), config, revision)
    return Rows(*opened.table(split, languages, needed), decode=_fact)


def load_open(
    source: str | Path,
    config: str = "open",
    split: str = "test",
    languages: Sequence[str] | None = None,
    revision: str | None = None,
) -> Rows[OpenFact]:
    """Questions with their accepted answers; raises as `load` does."""
    needed = ("question", "answer", "accepted_answers")
    opened = _Config.open(str(source), config, revision)
    return Rows(*opened.table(split, languages, needed), decode=_open_fact)


def accepted_names(facts: Rows[OpenFact]) -> dict[str, dict[str, tuple[str, ...]]]:
    """Language code -> entity -> its accepted names, over all answers of `facts`.

    The distractors of a split are golds of other facts of that split, so the result covers them too.
    """
    names: dict[str, dict[str, tuple[str, ...]]] = {code: {} for code in facts.languages}
    for fact in facts:
        for code, item in fact.items.items():
            names[code][fact.object_id] = item.accepted
    return names


def languages_of(source: str | Path) -> tuple[str, ...]:
    """The languages of a release folder; for one on the Hub, which is not fetched, the paper's twelve."""
    folder = Path(source)
    if not folder.is_dir():
        return PAPER_LANGUAGES
    return tuple(read_manifest(folder)["build"]["config"]["languages"])


def load_answers(source: str | Path, languages: Sequence[str], revision: str | None = None) -> dict[str, list[str]]:
    """Language code -> every accepted name of every answer of a release, over all splits of config `open`."""
    names: dict[str, list[str]] = {code: [] for code in languages}
    opened = _Config.open(str(source), "open", revision)
    for split in opened.files:
        table, _, _ = opened.table(split, languages, ("accepted_answers",))
        answers = table.group_by("object_id", use_threads=False).aggregate([([], "count_all")])
        first = pc.index_in(answers["object_id"], value_set=table["object_id"].combine_chunks())
        translations = table.take(first)["translations"].combine_chunks()
        for code in languages:
            names[code] += pc.list_flatten(translations.field(code).field("accepted_answers")).to_pylist()
    return names


def load_labels(
    source: str | Path, config: str, split: str, languages: Sequence[str], revision: str | None = None
) -> dict[str, list[tuple[str, str, str]]]:
    """Language code -> (relation, subject, answer) labels of every fact, for the `languages` that the release has."""
    needed = ("subject_label", "answer_text")
    table, _, available = _Config.open(str(source), config, revision).table(split, None, needed)
    column, relations = table["translations"].combine_chunks(), table["property_id"].to_pylist()
    return {
        code: list(zip(relations, *(column.field(code).field(name).to_pylist() for name in needed)))
        for code in available
        if code in languages
    }


def load_attributes(
    source: str | Path, split: str, languages: Sequence[str], revision: str | None = None
) -> dict[str, Attributes]:
    """`fact_id` -> what the results of a fact are split by, for every fact of a split. Missing columns give None."""
    opened = _Config.open(str(source), "parallel", revision)
    attributes: dict[str, Attributes] = {}
    for path in opened.files.get(split, ()):
        schema = pq.read_schema(path)
        kind = schema.field("translations").type
        labelled = [code for code in languages if _has(kind, code) and _has(kind.field(code).type, "subject_label")]
        columns = ["fact_id", *(name for name in _ATTRIBUTES if name in schema.names)]
        columns += [f"translations.{code}.subject_label" for code in labelled]
        for row in pq.ParquetFile(path).read(columns=columns).to_pylist():
            labels = {code: row["translations"][code]["subject_label"] for code in labelled}
            domain, popularity, articles = (row.get(name) for name in _ATTRIBUTES)
            attributes[row["fact_id"]] = Attributes(domain, popularity, articles, labels)
    return attributes


def _has(kind: pa.DataType, name: str) -> bool:
    return bool(pa.types.is_struct(kind)) and kind.get_field_index(name) >= 0


@dataclass(frozen=True)
class _Config:
    """One config of a release: the files of its splits, the Hub's commit and the release's content digest."""

    source: str
    name: str
    files: dict[str, list[Path]]
    revision: str | None
    content: str

    @staticmethod
    def open(source: str, config: str, revision: str | None) -> _Config:
        """Finds the files, fetching from the Hub those that the config needs."""
        if not source:
            raise ConfigError("the name of the dataset is empty; pass a release folder or an id on the Hub")
        local = Path(source).is_dir()
        name = source if local or not revision else f"{source}@{revision}"
        folder = locate(name, ())
        manifest = read_manifest(folder)
        paths = (path for paths in manifest["configs"].get(config, {}).values() for path in paths)
        folder = locate(name, sorted({path.split("/")[1] for path in paths}))
        files = config_files(folder, config, manifest)
        return _Config(source, config, files, None if local else folder.name, manifest["content"])

    def table(
        self, split: str, languages: Sequence[str] | None, needed: Sequence[str]
    ) -> tuple[pa.Table, Origin, tuple[str, ...]]:
        """The ids and, of each language, the `needed` fields, after checking that all of them exist."""
        where = f"config {self.name!r} of {self.source}"
        if split not in self.files:
            raise ConfigError(f"{where} has no split {split!r}; it has {', '.join(self.files)}")
        paths = self.files[split]
        with readable(paths[0]):
            chosen = _chosen_languages(pq.read_schema(paths[0]), where, languages, needed)
        wanted = [*_IDS, *(f"translations.{code}.{name}" for code in chosen for name in needed)]
        tables = []
        for path in paths:
            with readable(path):
                tables.append(pq.ParquetFile(path).read(columns=wanted))
        table = pa.concat_tables(tables)
        if not len(table):
            raise DataError(f"split {split!r} of {where} is empty")
        column = table.column("translations").combine_chunks()
        structs = [
            pa.StructArray.from_arrays([column.field(code).field(name) for name in needed], names=list(needed))
            for code in chosen
        ]
        translations = pa.StructArray.from_arrays(structs, names=list(chosen))
        kept = pa.table({**{name: table.column(name) for name in _IDS}, "translations": translations})
        return kept, Origin(self.source, self.name, split, self.revision, self.content), chosen


def _chosen_languages(
    schema: pa.Schema, where: str, languages: Sequence[str] | None, needed: Sequence[str]
) -> tuple[str, ...]:
    """The languages to read. Raises for rows that are not parallel, an unknown language and a missing field."""
    if "translations" not in schema.names or "fact_id" not in schema.names:
        raise ConfigError(f"{where} holds no parallel rows; use config clean, parallel or open, with --languages")
    kind = schema.field("translations").type
    available = tuple(field.name for field in kind)
    unknown = [code for code in languages or () if code not in available]
    if unknown:
        raise ConfigError(f"{where} has no language {', '.join(unknown)}; it has {', '.join(available)}")
    chosen = tuple(languages or available)
    for code in chosen:
        lacking = [name for name in needed if not _has(kind.field(code).type, name)]
        if lacking:
            raise DataError(
                f"{where}: translations.{code} lacks {', '.join(lacking)}; "
                "choose another --config, or a release that this project built"
            )
    return chosen
