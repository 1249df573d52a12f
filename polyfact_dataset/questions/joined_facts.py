"""SQL of the joined rows of facts from which templates and models write questions."""

from __future__ import annotations

from collections.abc import Sequence

from polyfact_dataset.common.database import parquet_files
from polyfact_dataset.pipeline.context import Context

# SQL columns: the features that select the wording of a question.
SUBJECT = "f.kind AS subject_kind, f.sex AS subject_sex, f.is_living AS subject_is_living"

# The candidates `c` with the labels of their ends `s` and `o`, the features of the subject `f`, and the
# disambiguation `d`.
FACTS = """
    FROM parquet($facts) c
    JOIN parquet($labels) s ON s.entity_id = c.subject_id
    JOIN parquet($labels) o ON o.entity_id = c.object_id
    LEFT JOIN parquet($features) f ON f.entity_id = c.subject_id
    LEFT JOIN parquet($disambiguations) d ON d.subject_id = c.subject_id AND d.property_id = c.property_id
"""


def inputs(context: Context) -> dict[str, list[str]]:
    """The parameters of `FACTS`."""
    return {
        "facts": parquet_files(context.path("resolved_candidates")),
        "disambiguations": parquet_files(context.path("disambiguations")),
        "features": parquet_files(context.path("features")),
        "labels": parquet_files(context.path("labels")),
    }


def both_ends(languages: Sequence[str]) -> str:
    """SQL columns: the label texts of subject `s` and object `o`, as `subject:<code>` and `object:<code>`
    (an underscore would make Indonesian's `subject_id`)."""
    return ", ".join(f's."{code}".text AS "subject:{code}", o."{code}".text AS "object:{code}"' for code in languages)


def disambiguation(languages: Sequence[str]) -> str:
    """SQL columns of `FACTS`: `fault` and the descriptions, as `description:<code>`; null where all have the answer."""
    columns = [("fault", "fault"), *((code, f"description:{code}") for code in languages)]
    needed = "d.subject_id IS NOT NULL AND NOT list_contains(d.shared_answers, c.object_id)"
    return ", ".join(f'CASE WHEN {needed} THEN d."{column}" END AS "{name}"' for column, name in columns)
