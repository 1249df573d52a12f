"""Options that contain one another, and other reasons to exclude an entity that is not a true answer from an item.

Of "Asia" and "Eurasia", or "England" and "the United Kingdom", only one may be an option: the wider place is not wrong.
The places and wholes that contain an entity are in `features.containers`.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from polyfact_dataset.common.text.normalise import normalise

# Wider continent -> its parts. Wikidata states them for few continents.
_CONTINENTS: dict[str, tuple[str, ...]] = {
    "Q5401": ("Q46", "Q48"),  # Eurasia: Europe, Asia
    "Q27527": ("Q5401", "Q46", "Q48", "Q15"),  # Afro-Eurasia: Eurasia, Europe, Asia, Africa
    "Q828": ("Q49", "Q18", "Q27611", "Q664609", "Q12585"),  # Americas: North, South, Central, Caribbean, Latin America
    "Q49": ("Q27611", "Q664609"),  # North America: Central America, the Caribbean
    "Q12585": ("Q18", "Q27611"),  # Latin America: South America, Central America
    "Q55643": ("Q538", "Q3960"),  # Oceania: Insular Oceania, Australia
}
_WIDER = {
    inner: frozenset(wider for wider, parts in _CONTINENTS.items() if inner in parts)
    for comprised in _CONTINENTS.values()
    for inner in comprised
}
# Shorter names are not searched for in questions.
_SHORT = 3


class Containment:
    """Containment of entities, from the table `features`; without it, only of the continents."""

    def __init__(self, features: pa.Table | None = None) -> None:
        self._containers: dict[str, frozenset[str]] = {}
        if features is not None:
            columns = (features.column(name).to_pylist() for name in ("entity_id", "containers"))
            self._containers = {entity: frozenset(outer) for entity, outer in zip(*columns) if outer}

    def lies_in(self, inner: str, outer: str) -> bool:
        """Whether `outer` contains `inner`, directly or indirectly."""
        if outer in _WIDER.get(inner, ()):
            return True
        containers = self._containers.get(inner, frozenset())
        return outer in containers or any(outer in _WIDER[part] for part in containers & _WIDER.keys())

    def overlap(self, one: str, other: str) -> bool:
        """Whether one of two entities contains the other: they must not be in one item."""
        return self.lies_in(one, other) or self.lies_in(other, one)


def short_names(
    labels: pa.Table, subjects: pa.Array, languages: Sequence[str]
) -> dict[str, frozenset[tuple[int, str]]]:
    """Subject -> (position of the language, normalised label), of labels too short to be searched for in a text.

    An option with the same text as the subject's name is found by comparison instead.
    """
    rows = labels.filter(pc.is_in(labels.column("entity_id"), pc.unique(subjects)))
    ids = rows.column("entity_id")
    names_of: dict[str, set[tuple[int, str]]] = {}
    for position, code in enumerate(languages):
        texts = pc.struct_field(rows.column(code), "text")
        short = pc.fill_null(pc.less(pc.utf8_length(texts), _SHORT), False)
        for entity, text in zip(ids.filter(short).to_pylist(), texts.filter(short).to_pylist()):
            names_of.setdefault(entity, set()).add((position, normalise(text)))
    return {entity: frozenset(names) for entity, names in names_of.items()}
