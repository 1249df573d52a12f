"""The representation of a release in the audits: the facts once, and the items of each language.

Texts and entities repeat, so they are encoded: each distinct value once, with integer codes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from polyfact_dataset.audit.wording import wording
from polyfact_dataset.common.text.normalise import normalise
from polyfact_dataset.schema import OPTIONS

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Coded:
    """Values of a column or a matrix, which are `values[codes[...]]`."""

    values: list[str]
    codes: Ints

    def map(self, function: Callable[[str], object]) -> list[object]:
        """The function of each distinct value, in the order of `values`."""
        return [function(value) for value in self.values]

    def numbers(self, function: Callable[[str], float]) -> Floats:
        """The function of every cell, in the shape of `codes`; it is called once per distinct value."""
        return np.array([function(value) for value in self.values], dtype=np.float64)[self.codes]

    def texts(self) -> list[str]:
        """The values of a column, one by one."""
        values = self.values
        return [values[code] for code in self.codes.tolist()]


def relation_order(relation: str) -> tuple[int, str]:
    """Sorts property ids by their number."""
    number = relation[1:]
    return (int(number) if number.isdecimal() else 0, relation)


def coded(columns: Sequence[pa.ChunkedArray]) -> Coded:
    """One column, or several as the matrix (rows, columns). They contain no nulls."""
    whole = pa.chunked_array([chunk for column in columns for chunk in column.chunks], columns[0].type)
    encoded = whole.combine_chunks().dictionary_encode()
    codes = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    values = encoded.dictionary.to_pylist()
    return Coded(values, codes if len(columns) == 1 else codes.reshape(len(columns), -1).T.copy())


@dataclass(frozen=True)
class Items:
    """The whole items of one language. `rows[i]` is the fact of item `i`, as a row of the release's facts.

    `table` has `question`, the four options, `answer_text`, `answer_index` (0 to 3) and, where the release has
    them, `option_ids`, `option_provenance`, `subject_label`, `template`; none of these contains nulls.
    """

    code: str
    rows: Ints
    table: pa.Table

    def __len__(self) -> int:
        return len(self.rows)

    def only(self, chosen: Bools) -> Items:
        """Some of the items; `chosen` is (items,)."""
        return self if chosen.all() else Items(self.code, self.rows[chosen], self.table.filter(pa.array(chosen)))

    def has(self, column: str) -> bool:
        """Whether the release has the column."""
        return column in self.table.column_names

    @cached_property
    def options(self) -> Coded:
        """The texts of the options, (items, 4)."""
        return coded([self.table.column(name) for name in OPTIONS])

    @cached_property
    def questions(self) -> Coded:
        """The questions, (items,)."""
        return coded([self.table.column("question")])

    @cached_property
    def subjects(self) -> Coded | None:
        """The labels of the subjects, (items,); None where the release lacks them."""
        return coded([self.table.column("subject_label")]) if self.has("subject_label") else None

    @cached_property
    def asked(self) -> list[str]:
        """The distinct questions, normalised, in the order of `questions.values`."""
        return [normalise(text) for text in self.questions.values]

    @cached_property
    def offered(self) -> list[str]:
        """The distinct options, normalised, in the order of `options.values`."""
        return [normalise(text) for text in self.options.values]

    @cached_property
    def named(self) -> list[str]:
        """The distinct labels of subjects, normalised; empty where the release lacks them."""
        return [normalise(text) for text in self.subjects.values] if self.subjects else []

    @cached_property
    def wordings(self) -> Coded:
        """The questions without the names of their subjects, (items,).

        The whole question where the names are not known.
        """
        if self.subjects is None:
            return self.questions
        code_of: dict[str, int] = {}
        pairs = zip(self.questions.texts(), self.subjects.texts())
        codes = [code_of.setdefault(wording(question, subject), len(code_of)) for question, subject in pairs]
        return Coded(list(code_of), np.array(codes, dtype=np.int64))

    @cached_property
    def option_sets(self) -> list[tuple[int, ...]]:
        """The four options of each item in an order that does not depend on the item, as codes of `choices`."""
        return [tuple(sorted(row)) for row in self.choices.codes.tolist()]

    @cached_property
    def templates(self) -> list[str]:
        """The key of each question's wording, (items,); empty where it is not known."""
        return self.table.column("template").to_pylist() if self.has("template") else [""] * len(self)

    @cached_property
    def verbatim(self) -> Bools:
        """Whether the wording is known: the question contains the subject's name verbatim, (items,)."""
        if self.subjects is None:
            return np.zeros(len(self), dtype=np.bool_)
        pairs = zip(self.questions.texts(), self.subjects.texts())
        return np.array([bool(name) and name in question for question, name in pairs], dtype=np.bool_)

    @cached_property
    def gold(self) -> Ints:
        """The marked option, 0 to 3."""
        marked: Ints = self.table.column("answer_index").to_numpy().astype(np.int64)
        return marked

    @cached_property
    def entities(self) -> Coded | None:
        """The entities of the options, (items, 4); None where the release lacks them."""
        if not self.has("option_ids"):
            return None
        flat = coded([pa.chunked_array([pc.list_flatten(chunk) for chunk in self.table.column("option_ids").chunks])])
        return Coded(flat.values, flat.codes.reshape(-1, 4))

    @cached_property
    def choices(self) -> Coded:
        """The identity of the options across items: entities where the release has them, else texts."""
        return self.entities or self.options


@dataclass(frozen=True)
class OpenItems:
    """Config `open`: its faults, and language -> answer -> normalised names.

    A fault is (fact_id, language or "", what is wrong).
    """

    faults: tuple[tuple[str, str, str], ...]
    names: Mapping[str, Mapping[str, frozenset[str]]]


@dataclass(frozen=True)
class Release:
    """A release in memory, with tables of its build where they are available.

    `facts` has the columns of `release.schema.parallel_rows` that the release has, without `translations`, and `split`.
    `statements` (subject, property, object, rank, truthy, ended) are those of the facts' subjects and relations;
    None when only the release is available. `aliases` (entity, code, text) are those of the answers, or None.
    `opened` is config `open`, or None where the release has none.
    `strata` is the stratum of each fact, or its relation and split where the release's making is not known.
    `sitelinks` is how many sitelinks each entity has, `features` the table of this name, or None where only the release
    itself is known.
    `withdrawn` counts, by stratum, the facts that were judged incorrect after the distractors were drawn.
    """

    name: str
    content: str
    facts: pa.Table
    items: Mapping[str, Items]
    strata: pa.ChunkedArray
    statements: pa.Table | None = None
    aliases: pa.Table | None = None
    # Incomplete items: (fact_id, language, what is wrong).
    malformed: tuple[tuple[str, str, str], ...] = ()
    # Files or items that contradict each other: (fact_id or file, language or "", what is wrong).
    files: tuple[str, ...] = ()
    contradictions: tuple[tuple[str, str, str], ...] = ()
    withdrawn: Mapping[str, int] = field(default_factory=dict)
    opened: OpenItems | None = None
    sitelinks: Mapping[str, int] | None = None
    features: pa.Table | None = None
    _texts: dict[str, list[str]] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.facts)

    def column(self, name: str) -> list[str]:
        """A column of the facts as a list (cached)."""
        if name not in self._texts:
            self._texts[name] = self.facts.column(name).to_pylist()
        return self._texts[name]

    def array(self, name: str) -> npt.NDArray[np.str_]:
        """A text column of the facts as an array."""
        return np.array(self.column(name), dtype=object)

    @property
    def clean(self) -> Bools | None:
        """Which facts are in PolyFact-Clean; None where the release does not ship tiers."""
        if "quality_tier" not in self.facts.column_names:
            return None
        clean: Bools = np.isin(self.array("quality_tier"), ["gold", "silver"])
        return clean

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages of the release."""
        return tuple(self.items)

    @property
    def splits(self) -> list[str]:
        """The splits with facts."""
        present = set(self.column("split"))
        return [split for split in ("train", "validation", "test") if split in present]
