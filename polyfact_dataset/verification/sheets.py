"""`polyfact verify export` and `import`: the sample as a spreadsheet for a reviewer, and back.

The file is CSV in UTF-8 with a byte-order mark, which spreadsheet programs need to detect the encoding. A cell that a
program could take for a formula begins with an apostrophe, and the digest of an item with `#`: a digest of digits with
an `e` among them would come back as a rounded number. Only the columns `label` and `note` are read back.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from polyfact_dataset.common.errors import ConfigError, DataError
from polyfact_dataset.common.files import atomic
from polyfact_dataset.schema import REVIEW_LABELS
from polyfact_dataset.verification.items import LETTERS, Item, load_sample
from polyfact_dataset.verification.journal import Journal

_KEYS = ("fact_id", "language", "item")
_COLUMNS = (*_KEYS, "question", *(f"option_{letter}" for letter in LETTERS), "marked", "label", "note")
# The characters that begin a formula, also in full width.
_FORMULA = tuple("=+-@\t\r\n＝＋－＠")
_ENCODINGS = (("utf-16", b"\xff\xfe"), ("utf-16", b"\xfe\xff"), ("utf-8-sig", b""))


def defused(text: str) -> str:
    """The text as a cell that no spreadsheet program evaluates as a formula."""
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) else text


def _row(item: Item, label: str, note: str) -> list[str]:
    marked = f"{LETTERS[item.marked]}: {item.answer}"
    cells = [item.fact_id, item.language, f"#{item.item}", item.question, *item.options, marked, label, note]
    return [defused(cell) for cell in cells]


def export(folder: Path, code: str, target: Path, *, reviewer: str, first: int | None) -> int:
    """Writes the items of a language with the reviewer's existing labels; returns their number."""
    sample = load_sample(folder)
    items = sample.of(code, first)
    if not items:
        raise ConfigError(f"the sample in {folder} has no items in {code!r}; it has {', '.join(sample.languages)}")
    reviews = Journal(folder, reviewer).read() if reviewer else None
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(_COLUMNS)
    for item in items:
        known = reviews.label(item) if reviews else None
        writer.writerow(_row(item, known.label if known else "", known.note if known else ""))
    with atomic(target) as temporary:
        temporary.write_bytes(text.getvalue().encode("utf-8-sig"))
    return len(items)


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
        encoding = next(name for name, mark in _ENCODINGS if data.startswith(mark))
        return data.decode(encoding)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 ({error.reason}); save it as `CSV UTF-8`") from error


def _lines(path: Path) -> Iterator[tuple[int, Mapping[str, str]]]:
    """Number and cells of every line; the delimiter is the most frequent one of the heading."""
    text = _text(path)
    heading = text.partition("\n")[0]
    delimiter = max(",;\t", key=heading.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    lacking = [name for name in (*_KEYS, "label") if name not in (reader.fieldnames or ())]
    if lacking:
        raise DataError(f"{path}: the heading has no {', '.join(lacking)}; export the sheet again and keep its columns")
    try:
        for row in reader:
            yield reader.line_num, {name: (row.get(name) or "").strip() for name in _COLUMNS}
    except csv.Error as error:
        raise DataError(f"{path} line {reader.line_num}: {error}") from error


def import_sheet(folder: Path, source: Path, *, reviewer: str) -> Counter[str]:
    """Imports the labels of a sheet into the reviewer's file; an invalid line cancels the whole import.

    Counts `new`, `changed`, `same` and `missing` (no label) lines. Raises `DataError` naming the line.
    """
    known = {(*item.key, item.item): item for item in load_sample(folder).items}
    imported: dict[tuple[str, str, str], tuple[str, str]] = {}
    counts: Counter[str] = Counter()
    for number, row in _lines(source):
        key = row["fact_id"], row["language"], row["item"].removeprefix("#")
        if not any(row.values()):
            continue
        if key not in known:
            raise DataError(f"{source} line {number}: {' '.join(key)} is not in the sample in {folder}")
        label = row["label"].casefold()
        if not label:
            counts["missing"] += 1
        elif label not in REVIEW_LABELS:
            raise DataError(
                f"{source} line {number}: label {row['label']!r}; the labels are {', '.join(REVIEW_LABELS)}"
            )
        else:
            entry = label, row["note"].removeprefix("'")
            if imported.setdefault(key, entry) != entry:
                raise DataError(
                    f"{source} line {number}: {' '.join(key[:2])} has another label or note above; keep one"
                )
    journal = Journal(folder, reviewer)
    with journal.locked() as reviews:
        for key, (label, note) in imported.items():
            item, previous = known[key], reviews.label(known[key])
            same = previous is not None and (previous.label, previous.note) == (label, note)
            counts["same" if same else "changed" if previous else "new"] += 1
            if not same:
                journal.add(item, label, note, source="sheet")
    return counts
