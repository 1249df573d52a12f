"""Parallel text, streamed: the same lines in every language, cut into samples of a limited number of tokens.

A source is a folder of line-aligned files `<code>.txt`, or a `.jsonl` file of objects `{"<code>": "<line>", ...}`.
Memory does not grow with the text: one sample is held at a time.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any, TypeVar

from polyfact_dataset.catalog.language import known
from polyfact_dataset.common.errors import ConfigError, DataError

Row = dict[str, str]
Item = TypeVar("Item")


def grouped(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Consecutive lists of `size` items, the last perhaps shorter."""
    source = iter(items)
    while group := list(islice(source, size)):
        yield group


@dataclass
class ParallelText:
    """A source opened for some of its languages, by default all; a row that lacks one of them is skipped."""

    source: Path
    languages: tuple[str, ...]

    @staticmethod
    def open(source: Path, languages: Sequence[str] | None = None) -> ParallelText:
        """Raises `ConfigError` when the source or a language is not there."""
        if source.is_dir():
            available = sorted(path.stem for path in source.glob("*.txt"))
        elif source.suffix == ".jsonl" and source.is_file():
            available = sorted({code for row in islice(_json_rows(source), 1000) for code in row})
        else:
            raise ConfigError(f"text {source} is neither a folder of <code>.txt files nor a .jsonl file")
        unknown = [code for code in languages or () if code not in available]
        if unknown or not available:
            raise ConfigError(f"text {source} has no {', '.join(unknown) or 'language'}; it has {', '.join(available)}")
        return ParallelText(source, tuple(languages or sorted(available, key=_place)))

    def rows(self) -> Iterator[Row]:
        """The lines in all languages. Raises `DataError` where the files are not line-aligned."""
        source_rows = _json_rows(self.source) if self.source.is_file() else self._aligned()
        for row in source_rows:
            lines = {code: " ".join(row.get(code, "").split()) for code in self.languages}
            if all(lines.values()):
                yield lines

    def _aligned(self) -> Iterator[Row]:
        with ExitStack() as stack:
            paths = [self.source / f"{code}.txt" for code in self.languages]
            files = [stack.enter_context(path.open(encoding="utf-8")) for path in paths]
            for number, lines in enumerate(zip_longest(*files), start=1):
                if None in lines:
                    short = paths[lines.index(None)]
                    raise DataError(f"{short} ends before line {number}: the files of {self.source} must be aligned")
                yield dict(zip(self.languages, lines))


def _place(code: str) -> tuple[int, str]:
    """The paper's languages in their order, then others by name."""
    codes = known()
    return (codes.index(code) if code in codes else len(codes), code)


def _json_rows(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                row = json.loads(line)
            except ValueError as error:
                raise DataError(f"{path}, line {number}: no JSON ({error})") from error
            if not isinstance(row, dict) or not all(isinstance(text, str) for text in row.values()):
                raise DataError(f"{path}, line {number}: must be an object of language codes and texts")
            yield row


@dataclass(frozen=True, slots=True)
class Sample:
    """The same lines in every language as token ids; the first `special` of them are no text (a BOS token)."""

    ids: Mapping[str, list[int]]
    special: int


@dataclass
class Sampler:
    """Cuts rows into samples, and counts them: `tokens` of text, `truncated` samples, `digests` of the text."""

    tokenizer: Any
    languages: Sequence[str]
    max_tokens: int
    samples: int = 0
    tokens: Counter[str] = field(default_factory=Counter)
    truncated: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        start = self.tokenizer("a")["input_ids"][:1]
        self._special = start if start == [self.tokenizer.bos_token_id] else []
        self._hashes = {code: hashlib.sha256() for code in self.languages}
        if self.max_tokens <= len(self._special) + 1:
            raise ConfigError(f"samples of {self.max_tokens} tokens are too short; use at least 3")

    @property
    def digests(self) -> dict[str, str]:
        """Language code -> SHA-256 of the token ids of all samples so far."""
        return {code: hashed.hexdigest() for code, hashed in self._hashes.items()}

    def run(self, rows: Iterable[Row], limit: int | None = None) -> Iterator[Sample]:
        """Samples of consecutive rows, each as long as its longest language allows; at most `limit` of them.

        All languages of a sample hold the same lines. A row that is too long is truncated in the languages in which
        it is, and counted. Raises `DataError` when there is no text at all.
        """
        yield from islice(self._samples(rows), limit)
        if not self.samples:
            raise DataError(f"the text has no line in all of {', '.join(self.languages)}")

    def _samples(self, rows: Iterable[Row]) -> Iterator[Sample]:
        room = self.max_tokens - len(self._special)
        held: dict[str, list[int]] = {code: [] for code in self.languages}
        for row in rows:
            lines = {
                code: self.tokenizer(row[code] + "\n", add_special_tokens=False)["input_ids"] for code in self.languages
            }
            if any(held.values()) and any(len(held[code]) + len(lines[code]) > room for code in self.languages):
                yield self._close(held, room)
                held = {code: [] for code in self.languages}
            for code in self.languages:
                held[code] += lines[code]
        if any(held.values()):
            yield self._close(held, room)

    def _close(self, held: dict[str, list[int]], room: int) -> Sample:
        self.samples += 1
        for code, ids in held.items():
            self.truncated[code] += len(ids) > room
            held[code] = ids[:room]
            self.tokens[code] += len(held[code])
            self._hashes[code].update(json.dumps(held[code]).encode())
        return Sample({code: self._special + ids for code, ids in held.items()}, len(self._special))
