"""A table to fill with labels of the sample's entities in another language, for `polyfact build --labels`.

    python -m polyfact_dataset.sample.template it > it.tsv
    python -m polyfact_dataset.sample.template it --cldr > it.tsv

One line an entity: its id, its English label and an empty cell; entities of more statements come first. Lines may be
left empty or deleted: a fact is released where both of its entities have a label in every language. With `--cldr`, the
cells of countries, languages and currencies hold their names in CLDR, to be read over; it needs `babel`.
"""

from __future__ import annotations

import argparse
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence

from polyfact_dataset.common.text.normalise import clean, normalise
from polyfact_dataset.sample.check import cldr_codes, english_names, locale_of
from polyfact_dataset.sample.tables import load_entities, load_labels, load_statements


def template(code: str, cldr: bool = False) -> Iterator[str]:
    """The lines of the table for a language code.

    Raises `ValueError` for what is not a code or is that of English, and, with `cldr`, for a language that CLDR lacks.
    """
    if not re.fullmatch(r"[a-z]{2,3}", code) or code == "en":
        raise ValueError(f"{code!r} must be a language code of two or three small letters, other than en")
    names = english_names(load_entities(), load_labels())
    known = _cldr_names(code, names.values()) if cldr else lambda _: ""
    statements = Counter(end for row in load_statements() for end in {row.subject, row.object})
    yield f"qid\ten\t{code}"
    for qid, _ in sorted(statements.items(), key=lambda entry: (-entry[1], int(entry[0][1:]))):
        yield f"{qid}\t{names[qid]}\t{known(names[qid])}"


def _cldr_names(code: str, names: Collection[str]) -> Callable[[str], str]:
    """English label -> its name in CLDR; empty where CLDR, or the sample, has the English label twice."""
    locale, often = locale_of(code), Counter(map(normalise, names))

    def name_of(english: str) -> str:
        entries = cldr_codes().get(normalise(english), [])
        if often[normalise(english)] > 1 or len({kind for kind, _ in entries}) != 1:
            return ""
        kind, key = entries[0]
        text = str(getattr(locale, kind).get(key, ""))
        return text if text != english and clean(text) == text else ""

    return name_of


def main(words: Sequence[str] | None = None) -> None:
    """Prints the table; exits with code 2 where the arguments are not a language code and, or not, `--cldr`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("code", metavar="CODE", help="language code, such as it")
    parser.add_argument("--cldr", action="store_true", help="fill in names of countries, languages and currencies")
    arguments = parser.parse_args(words)
    try:
        lines = list(template(arguments.code, arguments.cldr))
    except ValueError as error:
        parser.error(str(error))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
