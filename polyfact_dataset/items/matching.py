"""The cost of offering two facts each other's golds: how far their questions reveal which gold belongs to which.

An attacker that reads a question scores an answer by s(subject, answer). It distinguishes the facts i and j by

    t(i, j) = s(i, a_i) + s(j, a_j) - s(i, a_j) - s(j, a_i),

the log-odds of the right pairing against the exchanged one. The cost of a pair is the positive part of t for a sum of
scores, and again for each score alone, so that one does not compensate for another, plus other differences of the
golds: type, country, continent, years, occupations, popularity and length. The scores are

- origin: what the letters of the subject's name reveal of the answer, its country and its continent (naive Bayes over
  character n-grams of all facts of the relation, without the fact itself);
- likeness: n-grams in common, long n-grams in common, a stem in common, and edit distance of subject and answer;
- popularity: how near the numbers of sitelinks are.

Costs are whole numbers (thousandths), so that sums do not depend on the order of addition.
"""

from __future__ import annotations

from collections.abc import Container, Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from polyfact_dataset.catalog.relation import all_relations
from polyfact_dataset.common.text.ngrams import hashed_ngrams
from polyfact_dataset.items.blocks import FORBIDDEN, Costs
from polyfact_dataset.items.name_overlap import stems
from polyfact_dataset.items.splits import Fact

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
_FEATURES = 1 << 16
# Weights of the scores in their sum, by logistic regression on pairs of facts of a real extract; and of each alone.
_TOGETHER = {
    "answer": 0.7,
    "country": 0.8,
    "continent": 0.4,
    "grams": 2.0,
    "long": 0.5,
    "edit": 0.5,
    "popularity": 0.15,
}
_ALONE = {
    "answer": 3.0,
    "country": 3.0,
    "continent": 2.0,
    "grams": 2.0,
    "long": 0.3,
    "stem": 2.0,
    "edit": 2.0,
    "popularity": 3.0,
}
# Differences of two golds: weights of a difference of type, country, ... of 1.
_APART = {
    "kind": 2.0,
    "wording": 0.5,
    # An option with a country's name cannot be the currency of another country: golds of either kind keep apart.
    "tells": 6.0,
    "type": 1.0,
    "country": 0.05,
    "continent": 0.05,
    "years": 0.3,
    "occupations": 0.3,
    "popularity": 0.05,
    "length": 0.1,
}
# The same where subject and answer lie near each other: who knows where the subject is then rules out what is far away.
_APART_NEAR = _APART | {"country": 3.0, "continent": 3.0}
# An answer's n-grams are drawn towards those of its relation as if by so many names of so many n-grams.
_PRIOR_GRAMS = 8 * 30.0
# Years between two golds that count as wholly apart.
_YEARS = 60.0
_SCALE = 1000


@dataclass(frozen=True)
class Traits:
    """What is known of an entity, for matching. `year` is that of birth, inception or publication."""

    country: str | None = None
    continent: str | None = None
    year: int | None = None
    occupations: frozenset[str] = frozenset()
    sitelinks: int = 0


def traits_of(features: pa.Table, wanted: Container[str]) -> dict[str, Traits]:
    """Entity -> its traits for matching, from the table `features` or another table with sitelinks."""
    names = ("country", "continent", "birth_year", "inception_year", "publication_year", "occupations", "sitelinks")
    held = {name: features.column(name).to_pylist() for name in names if name in features.column_names}
    traits = {}
    for row, entity in enumerate(features.column("entity_id").to_pylist()):
        if entity in wanted:
            values_of_row = {name: values[row] for name, values in held.items()}
            years = (values_of_row.pop(name, None) for name in ("birth_year", "inception_year", "publication_year"))
            values_of_row["year"] = next((year for year in list(years) if year is not None), None)
            values_of_row["occupations"] = frozenset(values_of_row.get("occupations") or ())
            traits[entity] = Traits(**values_of_row)
    return traits


def _stems(*lists: Sequence[str]) -> list[Any]:
    """Lists of English names as sparse matrices of their stems (`items.name_overlap`), (names, stems), of 0 and 1."""
    from scipy.sparse import csr_array

    column_of: dict[str, int] = {}
    matrices = []
    for names in lists:
        columns = [[column_of.setdefault(stem, len(column_of)) for stem in sorted(stems(name, "en"))] for name in names]
        matrices.append((list(chain.from_iterable(columns)), np.cumsum([0, *map(len, columns)])))
    return [
        csr_array((np.ones(len(columns), np.float32), columns, starts), shape=(len(starts) - 1, max(len(column_of), 1)))
        for columns, starts in matrices
    ]


def _codes(values: Sequence[Hashable]) -> Ints:
    code_of: dict[Hashable, int] = {}
    return np.array([code_of.setdefault(value, len(code_of)) for value in values], dtype=np.int64)


class Origin:
    """Naive Bayes from the n-grams of a name to a class of its answer, over all facts of one relation."""

    def __init__(self, grams: Any, classes: Ints) -> None:
        from scipy.sparse import csr_array

        self._grams, self._classes = grams, classes
        count = int(classes.max()) + 1 if len(classes) else 0
        background = np.bincount(grams.indices, minlength=_FEATURES).astype(np.float32)
        # What a count of 1 is against the expectation of the prior.
        rate = (background.sum() / np.maximum(background, 1.0) / _PRIOR_GRAMS).astype(np.float32)
        sizes = np.diff(grams.indptr)
        keys = np.repeat(classes, sizes) * _FEATURES + grams.indices
        distinct, inverse, times = np.unique(keys, return_inverse=True, return_counts=True)
        columns = distinct % _FEATURES
        starts = np.searchsorted(distinct, np.arange(count + 1) * _FEATURES)
        weights = np.log1p(times.astype(np.float32) * rate[columns])
        self._weights = csr_array((weights, columns, starts), shape=(count, _FEATURES))
        self._length = np.bincount(classes, weights=sizes, minlength=count).astype(np.float32)
        self._sizes = np.maximum(sizes, 1).astype(np.float32)
        # The score of each fact's class, from the other facts of the class: each n-gram is in it once by the fact.
        held = np.log1p((times[inverse] - 1).astype(np.float32) * rate[grams.indices])
        others = np.maximum(self._length[classes] - self._sizes, 0.0)
        total = np.bincount(np.repeat(np.arange(len(classes)), sizes), weights=held, minlength=len(classes))
        self._own: Floats = (total / self._sizes - np.log1p(others / _PRIOR_GRAMS)).astype(np.float32)

    def scores(self, rows: Ints) -> Floats:
        """(rows, rows): the log-odds of row j's class, given the name of row i, per n-gram of the name."""
        classes, inverse = np.unique(self._classes[rows], return_inverse=True)
        log_odds: Floats = (self._grams[rows] @ self._weights[classes].T).toarray()
        log_odds /= self._sizes[rows, None]
        log_odds -= np.log1p(self._length[classes] / _PRIOR_GRAMS)[None, :]
        log_odds[np.arange(len(rows)), inverse] = self._own[rows]
        spread: Floats = log_odds[:, inverse]
        return spread


def telling(scores: Floats) -> Floats:
    """(rows, rows): by how much scores s(subject, answer) prefer the right pairing of two facts; never below 0."""
    margins = np.diag(scores)[:, None] - scores
    return np.maximum(margins + margins.T, 0.0)


class Matcher:
    """The cost of pairs of facts of one relation. `names` is entity -> normalised English label."""

    def __init__(self, facts: Sequence[Fact], names: Mapping[str, str], traits: Mapping[str, Traits]) -> None:
        self._row = {fact.id: row for row, fact in enumerate(facts)}
        near = any(all_relations()[fact.relation].near for fact in facts)
        self._apart = _APART_NEAR if near else _APART
        self._subjects = [names[fact.subject] for fact in facts]
        self._answers = [names[fact.answer] for fact in facts]
        self._traits = [traits.get(fact.answer, Traits()) for fact in facts]
        grams = hashed_ngrams(self._subjects, (2, 4), _FEATURES)
        answers = sorted(set(self._answers))
        row_of = {answer: number for number, answer in enumerate(answers)}
        self._distinct = answers
        self._place = np.array([row_of[answer] for answer in self._answers], dtype=np.int64)
        self._short = hashed_ngrams(self._subjects, (3, 3), _FEATURES), hashed_ngrams(answers, (3, 3), _FEATURES)
        self._long = hashed_ngrams(self._subjects, (4, 6), _FEATURES), hashed_ngrams(answers, (4, 6), _FEATURES)
        self._stems = _stems(self._subjects, answers)
        alike = self._stems[0].multiply(self._stems[1][self._place]).sum(axis=1)
        self._tells = _codes((np.asarray(alike).ravel() > 0).tolist())
        self._width = np.maximum(np.diff(self._short[1].indptr), 1).astype(np.float32)
        levels: dict[str, list[str | None]] = {
            "answer": [fact.answer for fact in facts],
            "country": [one.country or fact.answer for one, fact in zip(self._traits, facts)],
            "continent": [one.continent for one in self._traits],
        }
        self._origins = {
            level: Origin(grams, _codes(values)) for level, values in levels.items() if len(set(values)) > 1
        }
        self._kinds = _codes([fact.kinds[:1] for fact in facts])
        self._wordings = _codes([fact.wording for fact in facts])
        self._types = _codes([fact.answer_class for fact in facts])
        self._countries, self._continents = _codes(levels["country"]), _codes(levels["continent"])
        self._years = np.array([np.nan if one.year is None else one.year for one in self._traits], dtype=np.float32)
        known = [traits.get(fact.subject, Traits()).sitelinks for fact in facts]
        self._fame = np.log1p(np.array([known, [entity.sitelinks for entity in self._traits]], dtype=np.float32))
        self._lengths = np.log(np.array([max(len(name), 1) for name in self._answers], dtype=np.float32))

    def costs(self, facts: Sequence[Fact]) -> Costs:
        """(facts, facts): the cost of pairs in thousandths; `FORBIDDEN` where a gold is true of both."""
        rows = np.array([self._row[fact.id] for fact in facts], dtype=np.int64)
        scores = {level: origin.scores(rows) for level, origin in self._origins.items()}
        scores |= self._likeness(rows)
        fame = self._fame[:, rows]
        scores["popularity"] = -np.abs(fame[0][:, None] - fame[1][None, :])
        together = np.zeros_like(scores["popularity"])
        for name, weight in _TOGETHER.items():
            if name in scores:
                together += weight * scores[name]
        total = telling(together)
        for name, weight in _ALONE.items():
            if name in scores:
                total += weight * telling(scores[name])
        for name, difference in self._differences(rows).items():
            total += self._apart[name] * difference
        costs: Costs = np.rint(total * _SCALE).astype(np.int64)
        np.fill_diagonal(costs, 0)
        self._forbid(costs, facts)
        return costs

    def _likeness(self, rows: Ints) -> dict[str, Floats]:
        from rapidfuzz.distance import Levenshtein
        from rapidfuzz.process import cdist

        distinct, inverse = np.unique(self._place[rows], return_inverse=True)
        subjects, answers = [self._subjects[row] for row in rows], [self._distinct[number] for number in distinct]
        short, long, stem = (
            (names[rows] @ texts[distinct].T).toarray() for names, texts in (self._short, self._long, self._stems)
        )
        edit: Floats = cdist(subjects, answers, scorer=Levenshtein.normalized_similarity, dtype=np.float32)
        return {
            "grams": (short / self._width[distinct][None, :])[:, inverse],
            "long": np.log1p(long)[:, inverse],
            "stem": np.minimum(stem, 1.0)[:, inverse],
            "edit": edit[:, inverse],
        }

    def _differences(self, rows: Ints) -> dict[str, Floats]:
        """What sets the golds of two facts apart, each 0 or more."""

        def unlike(codes: Ints) -> Floats:
            apart: Floats = (codes[rows, None] != codes[None, rows]).astype(np.float32)
            return apart

        def distance(values: Floats) -> Floats:
            apart: Floats = np.abs(values[:, None] - values[None, :])
            return apart

        years = np.minimum(distance(self._years[rows]) / _YEARS, 1.0)
        occupations = [self._traits[row].occupations for row in rows]
        differences = {
            "kind": unlike(self._kinds),
            "wording": unlike(self._wordings),
            "tells": unlike(self._tells),
            "type": unlike(self._types),
            "country": unlike(self._countries),
            "continent": unlike(self._continents),
            # A year that is not known is half apart from any.
            "years": np.nan_to_num(years, nan=0.5),
            "popularity": distance(self._fame[1, rows]),
            "length": distance(self._lengths[rows]),
        }
        column_of = {name: column for column, name in enumerate(sorted(set().union(*occupations)))}
        if column_of:
            held = np.zeros((len(rows), len(column_of)), dtype=np.float32)
            for place, listed in enumerate(occupations):
                held[place, [column_of[name] for name in listed]] = 1
            differences["occupations"] = (held @ held.T == 0).astype(np.float32)
        return differences

    def _forbid(self, costs: Costs, facts: Sequence[Fact]) -> None:
        golds = _codes([fact.answer for fact in facts])
        same = golds[:, None] == golds[None, :]
        np.fill_diagonal(same, False)
        costs[same] = FORBIDDEN
        rows_of: dict[str, list[int]] = {}
        for row, fact in enumerate(facts):
            rows_of.setdefault(fact.answer, []).append(row)
        for row, fact in enumerate(facts):
            for entity in fact.true:
                for other in rows_of.get(entity, ()) if entity != fact.answer else ():
                    costs[row, other] = costs[other, row] = FORBIDDEN
