"""The corpus of continual pretraining from multi-way parallel text (paper, section 3 and Tables 2 and 3).

    python -m baselines.corpus --input ted2025.parquet --pairs sw_en.jsonl --pairs bn_en.jsonl \\
        --tokenizer Qwen/Qwen2.5-7B --output corpus/qwen2.5

Input is JSONL or Parquet with the columns `talk`, `position` and `translations` ({language: text}); `--pairs` are
bilingual files without talks, for languages that the talks cover too thinly (sw and bn in the paper).

A row becomes a block of `{language}: text` lines, each translation once in random order, and the end-of-sequence
token. Neighbouring rows of a talk are packed until a chunk has the target length, and cut at the longest one. The
validation part holds whole talks, drawn so that its languages have as many lines each as the talks allow.

The output folder holds `train.parquet`, `validation.parquet` and `report.json` with the counts of Table 3.
"""

from __future__ import annotations

import hashlib
import json
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import typer
from numpy.typing import NDArray

from baselines.cli import need
from baselines.evaluate.common import show
from baselines.evaluate.options import split_list
from polyfact_dataset.catalog.language import PAPER_LANGUAGES, known
from polyfact_dataset.common.database import rows_of
from polyfact_dataset.common.errors import ConfigError, DataError
from polyfact_dataset.common.files import digest, digest_json, parquet_writer, remove, write_json

_COUNTS = pa.list_(pa.struct({"language": pa.string(), "count": pa.int32()}))
# A chunk: its talk and number in it, lines and tokens by language, and its tokens.
SCHEMA = pa.schema(
    {
        "talk": pa.string(),
        "number": pa.int32(),
        "lines": _COUNTS,
        "tokens": _COUNTS,
        "input_ids": pa.list_(pa.int32()),
    }
)
SPLITS = ("train", "validation")
_ROWS = 1000
# Attributes of a tokenizer that its last call sets.
_CALLS = ("truncation", "padding")


@dataclass(frozen=True)
class Settings:
    """How the corpus is made; defaults are the paper's (Table 2)."""

    languages: tuple[str, ...] = PAPER_LANGUAGES
    target_tokens: int = 512
    max_tokens: int = 1024
    min_row_languages: int = 2
    min_talk_languages: int = 2
    validation_share: float = 0.005
    seed: int = 42

    def __post_init__(self) -> None:
        if not 0 < self.target_tokens <= self.max_tokens:
            raise ConfigError(f"--target-tokens {self.target_tokens} must be 1 to --max-tokens {self.max_tokens}")
        if not 0 <= self.validation_share < 0.5:
            raise ConfigError(f"--validation-share {self.validation_share} must be at least 0 and below 0.5")


@dataclass(frozen=True, slots=True)
class Row:
    """One sentence or passage in several languages. `talk` is None for a row of a bilingual file."""

    talk: str | None
    position: int
    texts: dict[str, str]


@dataclass(slots=True)
class Chunk:
    """Packed rows: tokens, lines and tokens by language (framing counts for none). `unit` is its talk, or itself."""

    unit: str
    number: int
    ids: NDArray[np.int32]
    lines: Counter[str]
    tokens: Counter[str]


@dataclass
class Counts:
    """The outcome of the rows; `kept` and the rejected ones add up to `rows`."""

    rows: int = 0
    kept: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    cut_tokens: int = 0


# ---------------------------------------------------------------- reading


def read_rows(path: Path, pairs: bool = False) -> Iterator[Row]:
    """The rows of a file, by talk and position; in the file's order for `pairs`.

    Raises `DataError` for a file that is broken, a row without talk or position, and a place that is taken twice.
    """
    if path.suffix not in (".jsonl", ".parquet"):
        raise ConfigError(f"{path} must be .jsonl or .parquet")
    columns = "{'talk': 'VARCHAR', 'position': 'BIGINT', 'translations': 'JSON'}"
    source = (
        f"read_json(?, format = 'newline_delimited', columns = {columns}, maximum_object_size = 67108864)"
        if path.suffix == ".jsonl"
        else rows_of([path])
    )
    chosen = "NULL, row_number() OVER ()" if pairs else "talk, position"
    query = f"SELECT {chosen}, CAST(to_json(translations) AS VARCHAR) FROM {source} ORDER BY 1, 2"
    before: tuple[str, int] | None = None
    try:
        with duckdb.connect(config={"threads": 1}) as database:
            result = database.execute(query, [str(path)] if path.suffix == ".jsonl" else [])
            while batch := result.fetchmany(_ROWS):
                for talk, position, text in batch:
                    if position is None or (talk is None and not pairs):
                        raise DataError(f"{path}: a row lacks talk or position; give bilingual files by --pairs")
                    if not pairs and before == (talk, position):
                        raise DataError(f"{path}: talk {talk} has position {position} twice")
                    before = (talk, position)
                    yield Row(talk, position, _texts(path, position, text))
    except duckdb.Error as error:
        raise DataError(f"{path} cannot be read: {' '.join(str(error).split())[:300]}") from error


def _texts(path: Path, position: int, text: str | None) -> dict[str, str]:
    """Language -> text in NFC on one line; those that are empty are left out."""
    translations = json.loads(text or "null")
    if not isinstance(translations, dict) or any(not isinstance(value, str | None) for value in translations.values()):
        raise DataError(f"{path}: at position {position}, translations is no map from language to text")
    lines = {code: " ".join(unicodedata.normalize("NFC", value or "").split()) for code, value in translations.items()}
    return {code: line for code, line in lines.items() if line}


def documents(rows: Iterable[Row], settings: Settings, counts: Counts) -> Iterator[list[Row]]:
    """Talks with their rows that have enough of the languages; pairs by the thousand."""
    for talk, group in groupby(rows, key=lambda row: row.talk if row.talk is not None else row.position // _ROWS):
        kept: list[Row] = []
        for row in group:
            counts.rows += 1
            texts = {code: text for code, text in row.texts.items() if code in settings.languages}
            if len(texts) < settings.min_row_languages:
                counts.rejected["row_languages"] += 1
            else:
                kept.append(Row(row.talk, row.position, texts))
        if isinstance(talk, str) and len({code for row in kept for code in row.texts}) < settings.min_talk_languages:
            counts.rejected["talk_languages"] += len(kept)
        elif kept:
            counts.kept += len(kept)
            yield kept


# ---------------------------------------------------------------- packing


def _hash(*parts: object) -> bytes:
    return hashlib.sha256("|".join(map(str, parts)).encode()).digest()


def block(row: Row, source: str, seed: int) -> tuple[str, list[tuple[str, int, int]]]:
    """The lines of a row in random order, and the character span of each language's text, from the colon on."""
    order = sorted(row.texts, key=lambda code: _hash(seed, "order", source, row.talk, row.position, code))
    text, spans = "", []
    for code in order:
        start = len(text) + len(code) + 1
        text += f"{code}: {row.texts[code]}\n"
        spans.append((code, start, len(text) - 1))
    return text.removesuffix("\n"), spans


def tokenizer_digest(tokenizer: Any) -> str:
    """SHA-256 of all that decides how a (fast) tokenizer cuts text: vocabulary, merges, patterns, end of sequence."""
    parts = json.loads(tokenizer.backend_tokenizer.to_str())
    return digest_json([tokenizer.eos_token_id, {name: parts[name] for name in parts if name not in _CALLS}])


def _encode(
    rows: Sequence[Row], source: str, tokenizer: Any, seed: int
) -> Iterator[tuple[list[int], list[str | None]]]:
    """Of each row the tokens with the one that ends it, and the language of each token, None for framing."""
    blocks = [block(row, source, seed) for row in rows]
    texts = [text for text, _ in blocks]
    encoded = tokenizer(texts, return_offsets_mapping=True, return_attention_mask=False, add_special_tokens=False)
    for ids, offsets, (_, spans) in zip(encoded["input_ids"], encoded["offset_mapping"], blocks, strict=True):
        bounds = np.array([bound for _, start, end in spans for bound in (start, end)])
        intervals = np.searchsorted(bounds, np.array([start for start, _ in offsets]), side="right")
        languages = [spans[interval // 2][0] if interval % 2 else None for interval in intervals.tolist()]
        yield [*ids, tokenizer.eos_token_id], [*languages, None]


def pack(rows: Sequence[Row], source: str, tokenizer: Any, settings: Settings, counts: Counts) -> Iterator[Chunk]:
    """Chunks of neighbouring rows: closed at the target length, cut at the longest one."""
    ids: list[int] = []
    languages: list[str | None] = []
    lines: Counter[str] = Counter()
    first, number = rows[0].position, 0
    for row_number, (row, (row_ids, row_languages)) in enumerate(
        zip(rows, _encode(rows, source, tokenizer, settings.seed))
    ):
        if not ids:
            first = row.position
        ids += row_ids
        languages += row_languages
        lines.update(list(row.texts))
        if len(ids) < settings.target_tokens and row_number + 1 < len(rows):
            continue
        counts.cut_tokens += max(0, len(ids) - settings.max_tokens)
        spoken_tokens = Counter(code for code in languages[: settings.max_tokens] if code)
        unit = f"{source}|{row.talk}" if row.talk is not None else f"{source}#{first}"
        yield Chunk(unit, number, np.array(ids[: settings.max_tokens], np.int32), lines, spoken_tokens)
        ids, languages, lines, number = [], [], Counter(), number + 1


# ---------------------------------------------------------------- validation


def choose_validation(lines: dict[str, Counter[str]], chunks: Counter[str], share: float, seed: int) -> set[str]:
    """Units (talks) of some `share` of all chunks, at least one. The language with the fewest lines so far has its
    next talk drawn, in an order by hash; one that would pass the size by half is left out."""
    size = max(1, round(share * chunks.total())) if share else 0
    waiting = sorted(lines, key=lambda unit: _hash(seed, "validation", unit))
    have: Counter[str] = Counter(dict.fromkeys({code for counter in lines.values() for code in counter}, 0))
    queues = {code: iter([unit for unit in waiting if lines[unit][code]]) for code in sorted(have)}
    chosen: set[str] = set()
    count = 0
    while queues and count < size:
        code = min(queues, key=lambda one: (have[one], one))
        unit = next((unit for unit in queues[code] if unit not in chosen), None)
        if unit is None:
            del queues[code]
        elif count + chunks[unit] <= max(size * 1.5, 1):
            chosen.add(unit)
            count += chunks[unit]
            have.update(lines[unit])
    return chosen


# ---------------------------------------------------------------- the whole


def build(
    inputs: Sequence[Path], pairs: Sequence[Path], tokenizer: Any, output: Path, settings: Settings
) -> dict[str, Any]:
    """Writes the corpus and returns its report. Raises `DataError` when no row is left or none for training."""
    counts = Counts()
    lines: dict[str, Counter[str]] = {}
    sizes: Counter[str] = Counter()
    whole = output / "all.parquet"
    waiting: list[Chunk] = []
    with parquet_writer(whole, SCHEMA) as writer:
        for path in (*inputs, *pairs):
            for document in documents(read_rows(path, path in pairs), settings, counts):
                for chunk in pack(document, path.stem, tokenizer, settings, counts):
                    lines.setdefault(chunk.unit, Counter()).update(chunk.lines)
                    sizes[chunk.unit] += 1
                    waiting.append(chunk)
                if len(waiting) >= _ROWS:
                    writer.write_table(_table(waiting))
                    waiting.clear()
        writer.write_table(_table(waiting))
    if counts.kept + counts.rejected.total() != counts.rows:
        raise AssertionError(f"{counts.rows} rows, but {counts.kept} kept and {counts.rejected} rejected")
    chosen = choose_validation(lines, sizes, settings.validation_share, settings.seed)
    if len(chosen) == len(sizes):
        raise DataError(
            f"{len(sizes)} talks are left of {counts.rows} rows: none is left to train on after the validation split"
        )
    splits = {
        split: _write_split(whole, output / f"{split}.parquet", chosen, split == "validation") for split in SPLITS
    }
    remove(whole)
    report = {
        "settings": {name: getattr(settings, name) for name in Settings.__dataclass_fields__},
        "inputs": {path.name: digest(path) for path in (*inputs, *pairs)},
        "tokenizer": {
            "name": tokenizer.name_or_path,
            "sha256": tokenizer_digest(tokenizer),
        },
        "rows": {"read": counts.rows, "kept": counts.kept, "rejected": dict(sorted(counts.rejected.items()))},
        "cut_tokens": counts.cut_tokens,
        "splits": splits,
        "files": {split: digest(output / f"{split}.parquet") for split in SPLITS},
    }
    write_json(output / "report.json", report)
    return report


def _counts(counter: Counter[str]) -> list[dict[str, Any]]:
    return [{"language": code, "count": count} for code, count in sorted(counter.items())]


def _table(chunks: Sequence[Chunk]) -> pa.Table:
    columns = [
        [chunk.unit for chunk in chunks],
        [chunk.number for chunk in chunks],
        [_counts(chunk.lines) for chunk in chunks],
        [_counts(chunk.tokens) for chunk in chunks],
        [chunk.ids for chunk in chunks],
    ]
    return pa.table([pa.array(column, kind.type) for column, kind in zip(columns, SCHEMA)], schema=SCHEMA)


def _write_split(whole: Path, path: Path, chosen: set[str], inside: bool) -> dict[str, Any]:
    """Writes the chunks of the talks `chosen`, or of all others, and counts what it wrote."""
    lines: Counter[str] = Counter()
    tokens: Counter[str] = Counter()
    chunks = total = 0
    with parquet_writer(path, SCHEMA) as writer, pq.ParquetFile(whole) as file:
        for group in range(file.num_row_groups):
            table = file.read_row_group(group)
            table = table.filter(
                pa.array([(talk in chosen) == inside for talk in table["talk"].to_pylist()], pa.bool_())
            )
            for counter, name in ((lines, "lines"), (tokens, "tokens")):
                for counted in table[name].to_pylist():
                    counter.update({one["language"]: one["count"] for one in counted})
            chunks += len(table)
            total += sum(map(len, table["input_ids"].to_pylist()))
            if len(table):
                writer.write_table(table)
    return {"chunks": chunks, "tokens": total, "lines_by_language": dict(lines), "tokens_by_language": dict(tokens)}


def print_report(report: dict[str, Any]) -> None:
    """The layout of the paper's Table 3, over both parts."""
    parts = report["splits"].values()
    lines, tokens = Counter[str](), Counter[str]()
    for part in parts:
        lines.update(part["lines_by_language"])
        tokens.update(part["tokens_by_language"])
    rows = [[code, f"{lines[code]:,}", f"{tokens[code] / 1e6:.4g}"] for code, _ in tokens.most_common()]
    rows.append(["total", f"{lines.total():,}", f"{tokens.total() / 1e6:.4g}"])
    chunks, total = sum(part["chunks"] for part in parts), sum(part["tokens"] for part in parts)
    kept, framing = report["rows"], total - tokens.total()
    title = f"{chunks:,} chunks, {total / 1e6:.4g} M tokens, {framing / 1e6:.4g} M of them framing; "
    show(f"{title}{kept['kept']:,} of {kept['read']:,} rows", ["language", "lines", "tokens (M)"], rows)


def main(
    inputs: Annotated[list[Path], typer.Option("--input", help="Multi-way parallel .jsonl or .parquet; repeatable.")],
    tokenizer: Annotated[str, typer.Option(help="The model whose tokenizer cuts the text: a folder or Hub id.")],
    output: Annotated[Path, typer.Option(help="Folder to write to.")],
    pairs: Annotated[list[Path] | None, typer.Option(help="Bilingual file without talks; repeatable.")] = None,
    languages: Annotated[
        str, typer.Option(help="Codes, separated by commas; paper; or all, which is all that have a language file.")
    ] = "paper",
    target_tokens: Annotated[int, typer.Option(min=1, help="A chunk of this length takes no further row.")] = 512,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longer chunks are cut.")] = 1024,
    min_row_languages: Annotated[int, typer.Option(min=1)] = 2,
    min_talk_languages: Annotated[int, typer.Option(min=1)] = 2,
    validation_share: Annotated[float, typer.Option(help="Of the chunks, by whole talks.")] = 0.005,
    seed: int = 42,
) -> None:
    """Make the corpus of continual pretraining."""
    need("train", "transformers")
    from transformers import AutoTokenizer

    from baselines.models import loading

    settings = Settings(
        split_list(languages) or known(),
        target_tokens,
        max_tokens,
        min_row_languages,
        min_talk_languages,
        validation_share,
        seed,
    )
    with loading(tokenizer):
        loaded = AutoTokenizer.from_pretrained(tokenizer)
    print_report(build(inputs, pairs or (), loaded, output, settings))
    print(f"corpus in {output}")


if __name__ == "__main__":
    from baselines.cli import run

    sys.exit(run(main))
