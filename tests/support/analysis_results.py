"""Results of analyses as they are compared, without the runs that made them, and answers with planted failures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from baselines.analysis.files import Result
from baselines.evaluate.results import GENERATIONS

ACCEPTED = {
    "f1": {"en": ["Germany"], "de": ["Deutschland", "BRD"], "es": ["Alemania"]},
    "f2": {"en": ["Paris"], "de": ["Paris"], "es": ["París"]},
}
GROUPS = {"f1": "P17", "f2": "P37"}  # country: proper; official language: common


def generations(answers: Mapping[tuple[str, str], tuple[str, str]]) -> pa.Table:
    """(fact, language) -> (answer, failure mode) as rows of a result."""
    rows = [
        {
            "fact_id": fact,
            "group": GROUPS[fact],
            "language": code,
            "prediction": text,
            "accepted": ACCEPTED[fact][code],
            "sample": 0,
            "exact": False,
            "lenient": mode == "correct",
            "folded": mode == "correct",
            "mode": mode,
            "contaminated": None,
        }
        for (fact, code), (text, mode) in answers.items()
    ]
    return pa.Table.from_pylist(rows, schema=GENERATIONS.schema)


BASE = {
    ("f1", "en"): ("Germany", "correct"),
    ("f2", "en"): ("Paris", "correct"),
    ("f1", "de"): ("Germany", "wrong_language"),
    ("f2", "de"): ("42", "incoherent"),
    ("f1", "es"): ("BRD", "wrong_language"),
    ("f2", "es"): ("Paris", "wrong_language"),
}
TRAINED = {
    **BASE,
    ("f1", "en"): ("France", "wrong_fact"),
    ("f1", "de"): ("Deutschland", "correct"),
    ("f2", "de"): ("Paris", "correct"),
}
CODES = ("en", "de", "es")


def result(kind: str, label: str, languages: Sequence[str], metrics: dict[str, Any], **fields: Any) -> Result:
    """A result with these metrics and nothing about its run."""
    empty = {"settings": {}, "seconds": 0, "software": {}, "hardware": {}, "arrays": "", "inputs": {}, "models": []}
    return Result(kind=kind, label=label, languages=languages, metrics=metrics, **{**empty, **fields})
