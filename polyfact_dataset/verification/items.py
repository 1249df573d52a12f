"""The sample to be judged: its items, their facts in all languages, and the folder that contains them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from polyfact_dataset.common.errors import ConfigError, DataError
from polyfact_dataset.common.files import make_folder, read_parquet, sweep
from polyfact_dataset.common.locking import lock
from polyfact_dataset.common.untrusted import Untrusted, read_validated
from polyfact_dataset.schema import OPTIONS

LETTERS = "ABCD"
# Writing takes seconds.
_LOCK_WAIT_S = 120.0


@dataclass(frozen=True)
class Item:
    """One item in one language; `marked` is the index (0 to 3) of the option marked as correct."""

    fact_id: str
    language: str
    item: str
    property_id: str
    question: str
    options: tuple[str, ...]
    marked: int
    place: int = 0
    split: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """Fact and language."""
        return self.fact_id, self.language

    @property
    def answer(self) -> str:
        """The marked option."""
        return self.options[self.marked]

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Item:
        """The item of a row of `verification.schema.VERIFY_SAMPLE`."""
        names = ("fact_id", "language", "item", "property_id", "question", "place", "split")
        options = tuple(row[name] for name in OPTIONS)
        return cls(**{name: row[name] for name in names}, options=options, marked=row["answer_index"])


@dataclass(frozen=True)
class LocalQuestion:
    """A fact's question in one language, with the labels of its ends there."""

    language: str
    item: str
    question: str
    subject: str
    answer: str


@dataclass(frozen=True)
class JudgedFact:
    """A fact with English labels, and its questions in all languages."""

    fact_id: str
    property_id: str
    subject: str
    relation: str
    object: str
    items: tuple[LocalQuestion, ...]


@dataclass(frozen=True)
class Sample:
    """The items to be judged, by language and place; `about` records how they were drawn, and from which release."""

    items: tuple[Item, ...]
    about: Mapping[str, Any]

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages of the sample, in the order of the release."""
        return tuple(self.about["languages"])

    def of(self, code: str, first: int | None = None) -> list[Item]:
        """The items of a language by place, at most `first` of them."""
        return [item for item in self.items if item.language == code][:first]


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Locks a verification folder while a table, sample or report is written into it."""
    make_folder(folder)
    with lock(folder, f"another command is writing into {folder}; wait for it, then rerun the command", _LOCK_WAIT_S):
        for part in (folder, *(path for path in folder.iterdir() if path.is_dir())):
            sweep(part)
        yield


class SampleRecord(Untrusted):
    """`sample.json`: how a sample was drawn, and from which release."""

    release: str
    polyfact: str
    seed: int = Field(ge=0)
    items_per_language: int | None = Field(ge=1)
    splits: list[str]
    languages: list[str]
    same_facts: bool


def load_sample(folder: Path) -> Sample:
    """The sample in a folder. Raises `ConfigError` when there is none."""
    if not (folder / "sample.parquet").is_file():
        raise ConfigError(
            f"{folder} contains no sample; draw one with: polyfact verify sample RELEASE --folder {folder}"
        )
    rows = read_parquet(folder / "sample.parquet").to_pylist()
    try:
        about = read_validated(folder / "sample.json", SampleRecord, "draw the sample again")
        return Sample(tuple(map(Item.of, rows)), about)
    except KeyError as error:
        raise DataError(f"{folder}/sample.parquet lacks {error}; draw the sample again") from error


def load_facts(folder: Path) -> list[JudgedFact]:
    """The facts of the sample's items."""
    rows = read_parquet(folder / "facts.parquet").to_pylist()
    return [JudgedFact(**{**row, "items": tuple(LocalQuestion(**entry) for entry in row["items"])}) for row in rows]
