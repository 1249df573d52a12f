"""Results of multiple choice with scores that are chosen, as files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from baselines.evaluate import results
from baselines.evaluate.results import Data, Prompt, Speed


def choices(facts: int, languages: Sequence[str], right: Callable[[int, str], bool]) -> pa.Table:
    """Scores of items with four options; `right` says whether the model prefers the correct one."""
    rows = []
    for fact in range(facts):
        for code in languages:
            gold = fact % 4
            chosen = gold if right(fact, code) else (gold + 1) % 4
            for option in range(4):
                rows.append(
                    {
                        "fact_id": f"Q{fact}|P36|Q9",
                        "group": "P36",
                        "language": code,
                        "option": option,
                        "option_id": f"Q{option}",
                        "name": "x",
                        "gold": option == gold,
                        "logprob": -1.0 if option == chosen else -9.0,
                        "tokens": 1,
                        "characters": 1,
                        "bytes": 1,
                    }
                )
    return pa.Table.from_pylist(rows, schema=results.CHOICES.schema)


def write(path: Path, table: pa.Table, label: str, **changes: Any) -> Path:
    """A result file around a table of scores. `changes` are fields of its data."""
    codes = tuple(dict.fromkeys(table["language"].to_pylist()))
    data = {"source": "jvonrad/PolyFact", "config": "clean", "split": "test", "revision": "v1.0.0", "content": "c" * 64}
    data |= {"facts": 1, "languages": codes, "digests": dict.fromkeys(codes, "items"), **changes}
    hardware = {"accelerators": [], "threads": 1}
    save(path, table, label, Data(**data), model={"name": f"org/{label} x"}, hardware=hardware)
    return path


def save(path: Path, table: pa.Table, label: str, data: Data, **fields: Any) -> results.Result:
    """A result of multiple choice, unless `fields` say otherwise, without software, hardware and metrics."""
    usual = {
        "kind": "mcq",
        "model": {"name": label},
        "prompt": Prompt(style="paper", sha256="p"),
        "speed": Speed(items=1, seconds=1, processes=1, items_per_s=1),
        **{name: {} for name in ("settings", "counts", "software", "hardware", "metrics")},
        "seed": 42,
    }
    return results.save(path, table, label=label, data=data, **{**usual, **fields})
