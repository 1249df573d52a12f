"""What may be true of a subject although Wikidata does not state it: it is never a distractor of the subject's facts.

Two relations of `relations.toml` need more than the statements of the subject:

- `of_country`: an official language of India is understood in Rajasthan, and often official there, whatever is stated
  of Rajasthan.
- `overlapping`: genres are not exclusive. What Wikidata calls a thriller may be a horror film for a reader; what is
  animation is an animated film. Two answers overlap where their English names share a stem that few answers of the
  relation have. (That other subjects have both is no sign: in well-described films most pairs of genres occur, and
  there the subject's own genres are stated.)
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping

import pyarrow as pa

from polyfact_dataset.catalog.relation import all_relations
from polyfact_dataset.items.name_overlap import stems

TrueObjects = dict[tuple[str, str], frozenset[str]]
# A stem that a larger share of the answers has tells nothing: film, music.
_COMMON_STEM, _LEAST_COMMON = 0.05, 2


def also_true(
    true: Mapping[tuple[str, str], frozenset[str]], features: pa.Table | None, names: Mapping[str, str]
) -> TrueObjects:
    """(subject, relation) -> its true objects of `true`, and those that may be true of the subject.

    `features` gives the countries of the subjects; `names` is entity -> English label, of all answers.
    """
    found = dict(true)
    countries = _countries(features)
    for relation in all_relations().values():
        keys = [key for key in true if key[1] == relation.id]
        if relation.of_country:
            for subject, _ in keys:
                inherited = true.get((countries.get(subject, ""), relation.id), frozenset())
                found[subject, relation.id] |= inherited
        if relation.overlapping:
            near = _overlaps({answer for key in keys for answer in true[key]}, names)
            for key in keys:
                found[key] = found[key].union(*(near.get(answer, frozenset()) for answer in true[key]))
    return found


def _countries(features: pa.Table | None) -> dict[str, str]:
    if features is None:
        return {}
    columns = (features.column(name).to_pylist() for name in ("entity_id", "country"))
    return {entity: country for entity, country in zip(*columns) if country is not None}


def _overlaps(answers: Collection[str], names: Mapping[str, str]) -> dict[str, frozenset[str]]:
    """Answer -> the others that overlap with it."""
    holders: dict[str, set[str]] = defaultdict(set)
    for answer in answers:
        for stem in stems(names.get(answer, ""), "en"):
            holders[stem].add(answer)
    most = max(_LEAST_COMMON, _COMMON_STEM * len(answers))
    found: dict[str, set[str]] = defaultdict(set)
    for held in holders.values():
        if len(held) <= most:
            for answer in held:
                found[answer] |= held - {answer}
    return {answer: frozenset(others) for answer, others in found.items()}
