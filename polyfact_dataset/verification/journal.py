"""Reviewers' labels: one append-only file of JSON lines for each reviewer.

A line is one click: a label, or the removal of one; the last line about an item counts. A line is on disk before the
page changes. A line truncated by a crash is ignored; the next one starts a new line.
"""

from __future__ import annotations

import datetime
import errno
import fcntl
import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from polyfact_dataset.common.errors import ConfigError, DataError
from polyfact_dataset.common.files import disk_errors, make_folder, sync
from polyfact_dataset.common.secrets import redacted
from polyfact_dataset.schema import REVIEW_LABELS
from polyfact_dataset.verification.items import Item

FOLDER = "reviews"
MAX_NAME = 100
MAX_NOTE = 2000


@dataclass(frozen=True)
class Review:
    """A reviewer's label for an item as it was shown, or `unsure`; `at` is the time in ISO form (UTC)."""

    fact_id: str
    language: str
    item: str
    label: str
    question: str
    answer_text: str
    note: str = ""
    at: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """Fact, language and digest of the item."""
        return self.fact_id, self.language, self.item


@dataclass
class Reviews:
    """The content of a reviewer's file: the valid labels in their order, and the numbers of broken lines."""

    reviewer: str
    labels: dict[tuple[str, str, str], Review] = field(default_factory=dict)
    broken: list[int] = field(default_factory=list)
    first_at: str = ""

    def label(self, item: Item) -> Review | None:
        """The review of an item with the wording of the sample."""
        return self.labels.get((item.fact_id, item.language, item.item))

    def last(self, code: str) -> Review | None:
        """The latest label in a language, which undo removes."""
        return next((review for review in reversed(self.labels.values()) if review.language == code), None)


def _slug(reviewer: str) -> str:
    """A file name for any name; names with the same ASCII form get different file names."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", reviewer).strip("-")[:40]
    if plain == reviewer:
        return plain
    return f"{plain or 'reviewer'}-{hashlib.sha256(reviewer.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def is_reviewer_name(name: str) -> bool:
    """Whether a name can be that of a reviewer: printable, of 1 to `MAX_NAME` characters."""
    return bool(name.strip()) and len(name) <= MAX_NAME and " ".join(name.split()).isprintable()


class Journal:
    """One reviewer's file. Several processes may write it: every line is appended under a lock."""

    def __init__(self, folder: Path, reviewer: str) -> None:
        self.reviewer = " ".join(reviewer.split())
        if not is_reviewer_name(self.reviewer):
            raise ConfigError(f"{reviewer!r} is not a valid reviewer name; use a short one, such as --reviewer amina")
        self.path = folder / FOLDER / f"{_slug(self.reviewer)}.jsonl"

    def read(self) -> Reviews:
        """The labels so far."""
        return read_reviews(self.path) if self.path.is_file() else Reviews(self.reviewer)

    @contextmanager
    def locked(self) -> Iterator[Reviews]:
        """Locks the file against other pages of the same reviewer; yields the labels so far."""
        with disk_errors(self.path):
            make_folder(self.path.parent)
            handle = os.open(self.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield self.read()
        finally:
            os.close(handle)

    def add(self, item: Item, label: str, note: str = "", source: str = "page") -> None:
        """Appends a label, durably; call it while the file is `locked`."""
        if label not in REVIEW_LABELS:
            raise DataError(f"{label!r} is not a label; the labels are {', '.join(REVIEW_LABELS)}")
        texts = {"question": item.question, "answer_text": item.answer}
        self._append(item.key, item.item, **texts, label=label, note=note[:MAX_NOTE], source=source)

    def undo(self, review: Review) -> None:
        """Appends the removal of a label."""
        self._append(review.key[:2], review.item, undo=True)

    def _append(self, key: tuple[str, str], item: str, **content: Any) -> None:
        fact_id, language = key
        at = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        line = {"at": at, "reviewer": self.reviewer, "fact_id": fact_id, "language": language, "item": item, **content}
        data = redacted(json.dumps(line, ensure_ascii=False)).encode("utf-8", "backslashreplace") + b"\n"
        with disk_errors(self.path):
            handle = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                size = os.fstat(handle).st_size
                if size and os.pread(handle, 1, size - 1) != b"\n":
                    data = b"\n" + data
                if os.write(handle, data) < len(data):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(handle)
            finally:
                os.close(handle)
            sync(self.path.parent)


def read_reviews(path: Path) -> Reviews:
    """The labels of a reviewer's file. Raises `DataError` for a file in which no line can be read."""
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    reviews = Reviews(path.stem)
    valid = 0
    for number, data in enumerate(lines, start=1):
        if not data.strip():
            continue
        try:
            line = json.loads(data)
            key = str(line["fact_id"]), str(line["language"]), str(line["item"])
            undo, label = bool(line.get("undo")), line.get("label")
            if not undo and label not in REVIEW_LABELS:
                raise ValueError(label)
            reviews.reviewer = str(line["reviewer"])
            at, note = str(line["at"]), str(line.get("note", ""))
            texts = ("", "") if undo else (str(line["question"]), str(line["answer_text"]))
        except (ValueError, KeyError, TypeError, RecursionError):
            reviews.broken.append(number)
            continue
        valid += 1
        reviews.first_at = reviews.first_at or at
        reviews.labels.pop(key, None)
        if not undo:
            reviews.labels[key] = Review(*key, str(label), *texts, note, at)
    if reviews.broken and not valid:
        raise DataError(f"{path}: line {reviews.broken[0]} is not a review; move the file out of {path.parent}")
    return reviews


def all_reviews(folder: Path) -> list[Reviews]:
    """The labels of all reviewers, in the order in which they began."""
    everyone = [read_reviews(path) for path in sorted((folder / FOLDER).glob("*.jsonl"))]
    begun = (reviews for reviews in everyone if reviews.first_at)
    return sorted(begun, key=lambda reviews: (reviews.first_at, reviews.reviewer))
