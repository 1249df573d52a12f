"""OpenAI Batch files: requests as JSON lines in files of bounded size, and the answers, complete or partial.

A line is `{"custom_id", "method", "url", "body"}`, as `vllm run-batch` and the batch API of providers read it. Its id
is the request's key, so that answers can come in any order, from any machine, more than once.
"""

from __future__ import annotations

import codecs
import io
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from polyfact_dataset.common.errors import ConfigError, DataError
from polyfact_dataset.common.files import atomic
from polyfact_dataset.llm.cache import Cache, Sent
from polyfact_dataset.llm.client import rejection_hint
from polyfact_dataset.llm.protocol import REJECTIONS, Answer, ProviderError, Request, read_answer, rejection

# The limits of the published format: requests and bytes of one file.
MAX_REQUESTS = 50_000
MAX_BYTES = 200_000_000
_COMMIT_LINES = 1000


def line_of(request: Request) -> bytes:
    """One line of a batch file, with its line end."""
    line = {"custom_id": request.key, "method": "POST", "url": request.endpoint, "body": request.body}
    return json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode("utf-8") + b"\n"


class Shards:
    """Writes the added requests to `requests-NNNNN.jsonl` in a folder and records them in the cache.

    A file holds at most `max_requests` lines and `max_bytes` bytes. Without `include_pending`, requests that are in
    earlier files and have no answer yet are left out and counted. Raises `ConfigError` when the folder already contains
    batch files.
    """

    def __init__(
        self, folder: Path, cache: Cache, *, max_requests: int, max_bytes: int, include_pending: bool = True
    ) -> None:
        if any(folder.glob("*.jsonl")):
            raise ConfigError(f"{folder} already contains batch files; choose another folder for --to")
        self._folder, self._cache = folder, cache
        self._max_requests, self._max_bytes = min(max_requests, MAX_REQUESTS), min(max_bytes, MAX_BYTES)
        self._sent: list[Sent] = []
        self._lines: list[bytes] = []
        self._size_bytes = self.written = self.pending = 0
        self._include_pending = include_pending
        self._paths: list[Path] = []

    def add(self, request: Request) -> None:
        """Adds a request, which must not have been added before."""
        if not self._include_pending and self._cache.waits(request):
            self.pending += 1
            return
        line = line_of(request)
        if self._sent and (len(self._sent) == self._max_requests or self._size_bytes + len(line) > self._max_bytes):
            self._write()
        self._sent.append(Sent.of(request))
        self._lines.append(line)
        self._size_bytes += len(line)
        self.written += 1

    def close(self) -> list[Path]:
        """Writes the remaining requests; returns all files."""
        if self._sent:
            self._write()
        return self._paths

    def summary(self, model: str) -> str:
        """How many requests to a model are in how many files, and how many were left out."""
        files = "1 file" if len(self._paths) == 1 else f"{len(self._paths):,} files"
        pending = f"; {self.pending:,} more are pending in earlier files (--include-pending writes them again)"
        return f"{self.written:,} requests to {model} in {files}{pending if self.pending else ''}"

    def _write(self) -> None:
        path = self._folder / f"requests-{len(self._paths) + 1:05}.jsonl"
        with atomic(path) as temporary:
            temporary.write_bytes(b"".join(self._lines))
            # Before the file appears: the answer to an unrecorded request would be lost.
            self._cache.mark_sent(self._sent)
        self._paths.append(path)
        self._sent, self._lines, self._size_bytes = [], [], 0


def next_folder(parent: Path) -> Path:
    """The next numbered folder for batch files."""
    taken = [int(path.name) for path in parent.glob("*") if path.name.isdecimal()]
    return parent / f"{max(taken, default=0) + 1:03}"


@dataclass
class Intake:
    """What was read: the number of lines by outcome, and the first few broken ones."""

    counts: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)

    def summary(self) -> str:
        """The counts in words."""
        return ", ".join(f"{name.replace('_', ' ')} {number:,}" for name, number in self.counts.items()) or "no lines"

    def note_broken(self, path: Path, number: int, why: object) -> None:
        """Counts a line that cannot be used."""
        self.counts["broken"] += 1
        if len(self.broken) < 5:
            self.broken.append(f"{path} line {number}: {why}")


def _outcome(line: Any, endpoint: str) -> Answer | None:
    """The answer on a line, or None where the request failed temporarily and must be sent again."""
    response, error = line.get("response"), line.get("error")
    status = (response or {}).get("status_code")
    if status is None:
        return None
    if status == 200:
        try:
            return read_answer(endpoint, response["body"])
        except ProviderError as reported:
            rejected = reported.status is not None and reported.status in REJECTIONS
            return rejection(reported.status or 400, str(reported)) if rejected else None
    if status in REJECTIONS:
        body = response.get("body") or error or {}
        message = body.get("error", body) if isinstance(body, dict) else body
        return rejection(status, str(message.get("message", message) if isinstance(message, dict) else message))
    return None


def read_answers(paths: Iterable[Path], cache: Cache) -> Intake:
    """Stores the answers of batch output (and error) files in the cache.

    Counts `answered`, `rejected`, `known` (answered before), `to_ask_again`, `unknown` (no request of this cache) and
    `broken` lines. Raises `DataError` when every answer is a rejection and the model has never answered, in which case
    nothing is stored, and for a file that is not UTF-8 (a byte-order mark and UTF-16 are read).
    """
    intake, rejected = Intake(), list[tuple[Sent, Answer]]()
    for path in paths:
        try:
            with path.open("rb") as handle:
                for chunk in _chunks(enumerate(_lines(path, handle), start=1)):
                    with cache.transaction():
                        for number, line in chunk:
                            _take(path, number, line, cache, intake, rejected)
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    for origin, answer in rejected:
        if not cache.trusts(origin.model, origin.revision):
            raise DataError(
                f"all of {len(rejected):,} requests were rejected, the first with status {answer.status}: "
                f"{answer.text[:200]}; {rejection_hint(answer.text)}; nothing was stored"
            )
        intake.counts["rejected" if cache.put(origin, answer) else "known"] += 1
    return intake


def import_batches(paths: Iterable[Path], cache_path: Path) -> Intake:
    """As `read_answers`, into the cache at a path; prints the counts and the first broken lines."""
    with Cache(cache_path) as cache:
        intake = read_answers(paths, cache)
    print(intake.summary())
    for line in intake.broken:
        print(f"broken: {line}", file=sys.stderr)
    return intake


def _lines(path: Path, handle: BinaryIO) -> Iterator[bytes]:
    """The lines of a file in UTF-8, with or without a byte-order mark, or in UTF-16 with one, as Windows tools write.

    Raises `DataError` for UTF-16 without a mark, whose lines cannot be distinguished from damaged ones.
    """
    start = handle.read(4)
    handle.seek(0)
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        try:
            for line in io.TextIOWrapper(handle, encoding="utf-16", newline="\n"):
                yield line.encode("utf-8", "surrogatepass")
        except UnicodeError as error:
            raise DataError(f"{path} is damaged UTF-16 ({error}); convert it to UTF-8") from error
        return
    if b"\0" in start:
        raise DataError(f"{path} is neither UTF-8 nor UTF-16 with a byte-order mark; convert it to UTF-8")
    if start.startswith(codecs.BOM_UTF8):
        handle.seek(len(codecs.BOM_UTF8))
    yield from handle


def _chunks(lines: Iterable[tuple[int, bytes]]) -> Iterator[list[tuple[int, bytes]]]:
    chunk: list[tuple[int, bytes]] = []
    for entry in lines:
        chunk.append(entry)
        if len(chunk) == _COMMIT_LINES:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _take(
    path: Path,
    number: int,
    data: bytes,
    cache: Cache,
    intake: Intake,
    rejected: list[tuple[Sent, Answer]],
) -> None:
    """Stores one line's answer; rejections are deferred until it is known whether the model answers at all."""
    if not data.strip():
        return
    try:
        line = msgspec.json.decode(data)
        key = line["custom_id"]
        origin = cache.sent(key) if len(key) == 64 else None
        if origin is None:
            intake.counts["unknown"] += 1
            return
        answer = _outcome(line, origin.endpoint)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        intake.note_broken(path, number, error)
        return
    if answer is None:
        cache.release(origin)
        intake.counts["to_ask_again"] += 1
    elif answer.status != 200:
        rejected.append((origin, answer))
    else:
        intake.counts["answered" if cache.put(origin, answer) else "known"] += 1
