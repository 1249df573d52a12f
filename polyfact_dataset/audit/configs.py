"""The configs of a release other than `parallel`: the rows of each language, and those of `open`.

All must have the same facts and texts. A difference is a finding as (fact_id, language or "", what is wrong).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from polyfact_dataset.audit.release import Items, OpenItems
from polyfact_dataset.audit.result import shown
from polyfact_dataset.common.errors import DataError
from polyfact_dataset.common.text.normalise import normalise

Fault = tuple[str, str, str]


def keys_of(table: pa.Table) -> list[str]:
    """A key for every row: split, fact, and for a repeated fact the number of the repetition."""
    if "fact_id" not in table.column_names:
        raise DataError(f"the rows of a config lack column fact_id; their columns are {', '.join(table.column_names)}")
    seen: Counter[tuple[str, str]] = Counter()
    keys = []
    for pair in zip(table.column("split").to_pylist(), table.column("fact_id").to_pylist()):
        keys.append(f"{pair[0]}|{pair[1]}|{seen[pair]}")
        seen[pair] += 1
    return keys


def fact_of(key: str) -> str:
    """The fact that a key names."""
    return key.split("|", 1)[1].rpartition("|")[0]


def differing(keys: Sequence[str], here: pa.Table, there: pa.Table, what: str) -> Iterator[tuple[str, str]]:
    """(key, what differs) of two tables aligned with `keys`, over the columns that both have."""
    for name in (name for name in here.column_names if name in there.column_names):
        one, two = here.column(name).combine_chunks(), there.column(name).combine_chunks()
        if not one.equals(two):
            for key, first, second in zip(keys, one.to_pylist(), two.to_pylist()):
                if first != second:
                    yield key, f"{name} {what}"


def _aligned(keys: Sequence[str], other: Sequence[str]) -> tuple[list[int], list[int]]:
    """The rows of the keys that both have, in each."""
    row_of = {key: row for row, key in enumerate(other)}
    rows = [row for row, key in enumerate(keys) if key in row_of]
    return rows, [row_of[keys[row]] for row in rows]


def contradictions(items: Items, facts: pa.Table, keys: Sequence[str], flat: pa.Table) -> list[Fault]:
    """The differences of a language's rows from the parallel ones. `keys` are those of the release's `facts`."""
    there = keys_of(flat)
    item_keys = [keys[row] for row in items.rows]
    faults = [(key, "only in the parallel config") for key in sorted(set(item_keys) - set(there))]
    faults += [(key, "only in the language's config") for key in sorted(set(there) - set(item_keys))]
    rows, flat_rows = _aligned(item_keys, there)
    both, other = [item_keys[row] for row in rows], flat.take(pa.array(flat_rows, pa.int64()))
    if "language" in flat.column_names:
        named = zip(both, other.column("language").to_pylist())
        faults += [(key, f"column language is {name!r}") for key, name in named if name != items.code]
    fault = "differs between the configs"
    shared = facts.take(pa.array(items.rows[rows], pa.int64())).drop_columns(["split"])
    faults += differing(both, shared, other, fault)
    faults += differing(both, items.table.take(pa.array(rows, pa.int64())), other, fault)
    return sorted((fact_of(key), items.code, what) for key, what in faults)


def _name_fault(names: Sequence[str | None], forms: Sequence[str]) -> str | None:
    """The fault of a list of accepted answers; None if there is none."""
    if not names:
        return "accepted_answers is empty"
    if "" in forms:
        return "accepted_answers holds an empty text"
    return "accepted_answers holds a name twice" if len(set(forms)) < len(forms) else None


def _odd_names(objects: Sequence[str], names: Sequence[Any]) -> Iterable[int]:
    """The rows whose answer has other names than in most rows with the same answer."""
    lists: dict[str, Counter[tuple[str, ...]]] = defaultdict(Counter)
    name_lists = [tuple(row or ()) for row in names]
    for entity, row in zip(objects, name_lists):
        lists[entity][row] += 1
    usual = {entity: counts.most_common(1)[0][0] for entity, counts in lists.items()}
    return (row for row, entity in enumerate(objects) if name_lists[row] != usual[entity])


def _of_language(
    items: Items, objects: Sequence[str], rows: Sequence[int], opened: pa.StructArray
) -> tuple[dict[int, str], dict[str, frozenset[str]]]:
    """Item -> what is wrong with it, and answer -> its normalised names.

    `objects` are the answers of `rows`, the items that `opened`, the language's structs, is aligned with.
    """
    asked, answers, lists = (opened.field(name).to_pylist() for name in ("question", "answer", "accepted_answers"))
    options, questions, gold = items.options, items.questions, items.gold
    judged: dict[tuple[str | None, ...], tuple[frozenset[str], str | None]] = {}
    wrong: dict[int, str] = {}
    names: dict[str, frozenset[str]] = {}
    for position, row in enumerate(rows):
        accepted = tuple(lists[position] or ())
        if accepted not in judged:
            forms = [normalise(name or "") for name in accepted]
            judged[accepted] = frozenset(forms), _name_fault(accepted, forms)
        forms_of, fault = judged[accepted]
        names.setdefault(objects[position], forms_of)
        slots = [(slot, code) for slot, code in enumerate(options.codes[row].tolist())]
        answer = options.values[slots[gold[row]][1]]
        other = next((code for slot, code in slots if slot != gold[row] and items.offered[code] in forms_of), None)
        if asked[position] != questions.values[questions.codes[row]]:
            fault = f"question {shown(str(asked[position]))!r} is not that of the items"
        elif answers[position] != answer:
            fault = f"answer {shown(str(answers[position]))!r} is not {shown(answer)!r}, that of the items"
        elif fault is None and normalise(answer) not in forms_of:
            fault = f"accepted_answers lacks the answer {shown(answer)!r}"
        elif fault is None and other is not None:
            fault = f"accepted_answers holds {shown(options.values[other])!r}, another option"
        if fault is not None:
            wrong[row] = fault
    for position in _odd_names(objects, lists):
        wrong.setdefault(rows[position], "accepted_answers differs from that of most facts with this answer")
    return dict(sorted(wrong.items())), names


def read_open(
    table: Callable[[Sequence[str]], pa.Table], facts: pa.Table, keys: Sequence[str], items: Mapping[str, Items]
) -> OpenItems:
    """Compares config `open` with the release. `table` reads columns of it; one language is in memory at a time.

    Raises `DataError` where its rows have no fact ids.
    """
    shared = table(facts.column_names)
    if "fact_id" not in shared.column_names:
        raise DataError(f"config open: there is no column fact_id; the columns are {', '.join(shared.column_names)}")
    there = keys_of(shared)
    faults: list[tuple[str, str, str]] = [
        *((key, "", "not in config open") for key in sorted(set(keys) - set(there))),
        *((key, "", "only in config open") for key in sorted(set(there) - set(keys))),
    ]
    rows_here, rows_there = _aligned(keys, there)
    pair = facts.take(pa.array(rows_here, pa.int64())), shared.take(pa.array(rows_there, pa.int64()))
    fault = "differs between config open and the parallel one"
    faults += [(key, "", what) for key, what in differing([keys[row] for row in rows_here], *pair, fault)]
    row_of = np.full(len(facts), -1, dtype=np.int64)
    row_of[rows_here] = rows_there
    names: dict[str, dict[str, frozenset[str]]] = {}
    for code, language_items in items.items():
        column = table([f"translations.{code}"])
        struct = column.column("translations").type if "translations" in column.column_names else None
        if struct is None or struct.get_field_index(code) < 0:
            faults += [(keys[row], code, "not in config open") for row in language_items.rows.tolist()]
            continue
        rows = np.flatnonzero(row_of[language_items.rows] >= 0)
        structs = pc.struct_field(column.column("translations").combine_chunks(), code)
        objects = facts.column("object_id").take(pa.array(language_items.rows[rows], pa.int64())).to_pylist()
        opened = structs.take(pa.array(row_of[language_items.rows[rows]], pa.int64()))
        wrong, names[code] = _of_language(language_items, objects, rows.tolist(), opened)
        faults += [(keys[language_items.rows[row]], code, what) for row, what in wrong.items()]
    return OpenItems(tuple((fact_of(key), code, what) for key, code, what in faults), names)
