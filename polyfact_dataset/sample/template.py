"""A table to fill with labels of the sample's entities in another language, for `polyfact build --labels`.

    python -m polyfact_dataset.sample.template ko > ko.tsv

One line an entity: its id, its English label and an empty cell; entities of more statements come first. Lines may be
left empty or deleted: a fact is released where both of its entities have a label in every language.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence

from polyfact_dataset.sample.check import english_names
from polyfact_dataset.sample.tables import load_entities, load_labels, load_statements


def template(code: str) -> Iterator[str]:
    """The lines of the table for a language code. Raises `ValueError` for what is not one or is that of English."""
    if not re.fullmatch(r"[a-z]{2,3}", code) or code == "en":
        raise ValueError(f"{code!r} must be a language code of two or three small letters, other than en")
    names = english_names(load_entities(), load_labels())
    statements = Counter(end for row in load_statements() for end in {row.subject, row.object})
    yield f"qid\ten\t{code}"
    for qid, _ in sorted(statements.items(), key=lambda entry: (-entry[1], int(entry[0][1:]))):
        yield f"{qid}\t{names[qid]}\t"


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the table; exit code 2 where the argument is not a language code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        (code,) = arguments
        lines = list(template(code))
    except ValueError as error:
        print(f"usage: python -m polyfact_dataset.sample.template CODE ({error})", file=sys.stderr)
        return 2
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
