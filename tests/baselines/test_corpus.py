"""The corpus of continual pretraining: what a row becomes, packing, validation, and the report."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytest.importorskip("transformers", reason="needs polyfact[train]")

from baselines.corpus import Row, Settings, block, build, choose_validation, main, read_rows
from polyfact_dataset.common.errors import ConfigError, DataError

SMALL = Settings(("en", "de", "sw", "bn"), target_tokens=60, max_tokens=90, validation_share=0.1)


@pytest.fixture(scope="module")
def tokenizer(tiny: Callable[[str], Path]) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny("qwen2"))


def line(talk: str, position: int, **texts: str | None) -> dict[str, Any]:
    return {"talk": talk, "position": position, "translations": texts}


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def talks(count: int = 12, rows: int = 6) -> list[dict[str, Any]]:
    """German in all talks, Swahili in every third; the rows of a talk in falling order, with one in English alone."""
    found = []
    for talk in range(count):
        for position in reversed(range(rows)):
            texts = {
                "en": f"The river {talk} flows to town {position}.",
                "de": f"Der Fluss {talk} zur Stadt {position}.",
            }
            if talk % 3 == 0:
                texts["sw"] = f"Mto {talk} kwa mji {position}."
            found.append(line(f"t{talk}", position, **texts, fr="Rivière"))
        found.append(line(f"t{talk}", rows, en="Applause", de=" \n "))
    return found


def test_a_row_is_each_translation_once_in_random_order() -> None:
    texts = {"en": "The sea", "de": "Das Meer", "sw": "Bahari"}
    blocks = [block(Row("t", position, texts), "ted", 1)[0] for position in range(200)]
    orders = Counter(tuple(line.partition(":")[0] for line in text.split("\n")) for text in blocks)
    assert len(orders) == 6 and min(orders.values()) > 15, "all orders come up"
    assert all(sorted(text.split("\n")) == ["de: Das Meer", "en: The sea", "sw: Bahari"] for text in blocks)
    assert blocks == [block(Row("t", position, texts), "ted", 1)[0] for position in range(200)]
    text, spans = block(Row("t", 0, texts), "ted", 1)
    assert {code: text[start:end].strip() for code, start, end in spans} == texts


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_rows_come_by_talk_and_position(suffix: str, tmp_path: Path) -> None:
    rows = list(read_rows(write(tmp_path / f"a{suffix}", talks(3, 2))))
    assert [(row.talk, row.position) for row in rows] == [(f"t{talk}", n) for talk in range(3) for n in range(3)]
    assert rows[0].texts["sw"] == "Mto 0 kwa mji 0." and "sw" not in rows[3].texts
    assert "de" not in rows[2].texts, "an empty text is no translation"


def test_text_is_on_one_line_in_nfc(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [line("t", 0, en="Cafe\u0301\n  bar\u00a0x", de=None)])
    assert next(read_rows(path)).texts == {"en": "Caf\u00e9 bar x"}


def test_chunks_are_packed_inside_a_talk(tokenizer: Any, tmp_path: Path) -> None:
    report = build(
        [write(tmp_path / "ted.jsonl", talks())], [], tokenizer, tmp_path / "out", replace(SMALL, max_tokens=400)
    )
    end, position_of = tokenizer.eos_token_id, {}
    seen: Counter[str] = Counter()
    for split in ("train", "validation"):
        for chunk in pq.read_table(tmp_path / "out" / f"{split}.parquet").to_pylist():
            ids = chunk["input_ids"]
            rows = [
                tokenizer.decode(part) for part in np.split(np.array(ids), np.flatnonzero(np.array(ids) == end) + 1)
            ]
            texts = [row.removesuffix("<|endoftext|>") for row in rows if row]
            talk = chunk["talk"].partition("|t")[2]
            assert all(f" {talk} " in text for text in texts), "no other talk in a chunk"
            positions = [int(re.findall(r"town (\d)", text)[0]) for text in texts]
            assert positions == sorted(positions) and position_of.get(chunk["talk"], -1) < positions[0]
            position_of[chunk["talk"]] = positions[-1]
            for one in chunk["lines"]:
                seen[one["language"]] += one["count"]
            if len(ids) < 60:
                assert positions[-1] == 5, "only the last chunk of a talk is short of the target"
    assert seen == {"en": 72, "de": 72, "sw": 24}
    assert report["rows"] == {"read": 84, "kept": 72, "rejected": {"row_languages": 12}}
    parts = report["splits"].values()
    assert sum(part["lines_by_language"]["sw"] for part in parts) == 24


def test_tokens_are_counted_without_the_frame(tokenizer: Any, tmp_path: Path) -> None:
    texts = {"en": "The river flows", "sw": "Mto"}
    rows = [line(f"t{n}", 0, **texts) for n in range(4)]
    report = build([write(tmp_path / "a.jsonl", rows)], [], tokenizer, tmp_path / "out", SMALL)
    train, one = report["splits"]["train"], report["splits"]["validation"]
    count = {code: len(tokenizer(" " + text)["input_ids"]) for code, text in texts.items()}
    assert one["chunks"] == 1 and one["tokens_by_language"] == count
    assert train["tokens_by_language"] == {code: 3 * number for code, number in count.items()}
    assert one["tokens"] > sum(count.values()) + 3, "framing: codes, colons, line end, end of sequence"


def test_a_long_row_is_cut(tokenizer: Any, tmp_path: Path) -> None:
    rows = [line("long", 0, en="river " * 200, de="Fluss " * 200), line("short", 0, en="a", de="b")]
    report = build([write(tmp_path / "a.jsonl", rows)], [], tokenizer, tmp_path / "out", SMALL)
    chunks = [
        chunk
        for split in ("train", "validation")
        for chunk in pq.read_table(tmp_path / "out" / f"{split}.parquet").to_pylist()
    ]
    lengths = {chunk["talk"]: len(chunk["input_ids"]) for chunk in chunks}
    assert lengths["a|long"] == 90 and report["cut_tokens"] > 100
    tokens = sum(part["tokens"] for part in report["splits"].values())
    assert tokens == sum(lengths.values())


def test_pairs_are_packed_and_each_chunk_stands_alone(tokenizer: Any, tmp_path: Path) -> None:
    pairs = [{"translations": {"en": f"word {n}", "bn": f"শব্দ {n}"}} for n in range(40)]
    files = [write(tmp_path / "ted.jsonl", talks())], [write(tmp_path / "bn.jsonl", pairs)]
    report = build(*files, tokenizer, tmp_path / "out", SMALL)
    train = pq.read_table(tmp_path / "out" / "train.parquet").to_pylist()
    own = [chunk for chunk in train if chunk["talk"].startswith("bn#")]
    assert len(own) == len({chunk["talk"] for chunk in own}) > 3
    assert sum(part["lines_by_language"].get("bn", 0) for part in report["splits"].values()) == 40
    assert report["splits"]["validation"]["lines_by_language"]["bn"] > 0


def test_validation_is_balanced_over_languages() -> None:
    """A language in few talks has as many lines there as one that is in all, and a whole talk is on one side."""
    lines = {f"t{n}": Counter({"en": 10, "de": 10}) for n in range(95)}
    lines |= {f"s{n}": Counter({"en": 10, "sw": 10}) for n in range(5)}
    chosen = choose_validation(lines, Counter(dict.fromkeys(lines, 2)), 0.06, 1)
    total: Counter[str] = sum((lines[unit] for unit in chosen), Counter())
    assert len(chosen) == 6 and total == {"en": 60, "de": 30, "sw": 30}
    assert chosen == choose_validation(dict(reversed(lines.items())), Counter(dict.fromkeys(lines, 2)), 0.06, 1)
    assert choose_validation(lines, Counter(dict.fromkeys(lines, 2)), 0.0, 1) == set()


def test_the_same_bytes_twice(tokenizer: Any, tmp_path: Path) -> None:
    path = write(tmp_path / "ted.parquet", talks())
    first, second = (build([path], [], tokenizer, tmp_path / name, SMALL) for name in ("a", "b"))
    assert first == second
    assert (tmp_path / "a" / "train.parquet").read_bytes() == (tmp_path / "b" / "train.parquet").read_bytes()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([line("t", 0, en="a"), line("t", 0, en="b")], "talk t has position 0 twice"),
        ([{"translations": {"en": "a"}}], "lacks talk or position"),
        ([{"talk": "t", "position": 0, "translations": {"en": 5}}], "no map from language to text"),
        ([{"talk": "t", "position": 0, "translations": ["a"]}], "no map from language to text"),
    ],
)
def test_broken_rows_are_named(rows: list[dict[str, Any]], message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        list(read_rows(write(tmp_path / "a.jsonl", rows)))


def test_broken_files_and_settings_are_named(tokenizer: Any, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"talk": "t", "position"')
    with pytest.raises(DataError, match="a.jsonl cannot be read"):
        list(read_rows(tmp_path / "a.jsonl"))
    with pytest.raises(ConfigError, match=r"must be .jsonl or .parquet"):
        list(read_rows(tmp_path / "a.csv"))
    with pytest.raises(ConfigError, match="--target-tokens 100 must be 1 to --max-tokens 50"):
        Settings(target_tokens=100, max_tokens=50)
    with pytest.raises(DataError, match="none is left to train on"):
        build([write(tmp_path / "b.jsonl", [line("t", 0, en="a", de="b")])], [], tokenizer, tmp_path / "o", SMALL)


@pytest.mark.parametrize(("option", "expected"), [("en,it,ko", {"en", "it", "ko"}), ("all", {"en", "it", "ko", "hi"})])
def test_languages_beyond_the_papers(
    option: str, expected: set[str], tmp_path: Path, tiny: Callable[[str], Path]
) -> None:
    rows = [
        line(f"t{talk}", 0, en=f"River {talk}", it=f"Fiume {talk}", ko=f"강 {talk}", hi=f"नदी {talk}", xx=f"Ruo {talk}")
        for talk in range(8)
    ]
    source, output = write(tmp_path / "talks.jsonl", rows), tmp_path / "corpus"
    main([source], tiny("qwen2").as_posix(), output, languages=option, target_tokens=60, max_tokens=90)
    report = json.loads((output / "report.json").read_text())
    lines = Counter[str]()
    for part in report["splits"].values():
        lines.update(part["lines_by_language"])
    assert lines == dict.fromkeys(expected, 8)
