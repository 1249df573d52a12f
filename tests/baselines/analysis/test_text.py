"""Parallel text: alignment, samples of one length, exact counts, and reading no more than is needed."""

from __future__ import annotations

import json
from itertools import count, islice

import pytest

from baselines.analysis.text import ParallelText, Sampler
from polyfact_dataset.common.errors import ConfigError, DataError
from tests.support.planted_models import Words, line, token

CODES = ("aa", "bb")


class WithStart(Words):
    bos_token_id = 99

    def __call__(self, text, add_special_tokens=True):
        return {"input_ids": [99] * add_special_tokens + super().__call__(text)["input_ids"]}


def pairs():
    yield {"aa": line(0, 1, 2), "bb": line(1, 1, 2, 3)}
    yield {"aa": line(0, 3), "bb": line(1, 4)}
    yield {"aa": line(0, 4, 5), "bb": line(1, 5, 6)}
    yield {"aa": line(0, *range(7)), "bb": line(1, 7)}


def test_samples_hold_the_same_lines_and_no_more_than_fits():
    sampler = Sampler(WithStart(), CODES, 6)
    samples = list(sampler.run(pairs()))
    found = [{code: ids[1:] for code, ids in sample.ids.items()} for sample in samples]
    assert found == [
        {"aa": [1, 2, 3], "bb": [token(1, n) for n in (1, 2, 3, 4)]},
        {"aa": [4, 5], "bb": [token(1, 5), token(1, 6)]},
        {"aa": [0, 1, 2, 3, 4], "bb": [token(1, 7)]},
    ]
    assert all(sample.special == 1 and ids[0] == 99 for sample in samples for ids in sample.ids.values())
    assert sampler.tokens == {"aa": 10, "bb": 7}
    assert sampler.truncated == {"aa": 1, "bb": 0}


def test_reading_stops_with_the_last_sample():
    read = count()
    endless = ({"aa": line(0, next(read) % 8), "bb": line(1, 0)} for _ in count())
    assert len(list(Sampler(Words(), CODES, 3).run(endless, limit=4))) == 4
    assert next(read) < 20


def test_digests_tell_texts_apart():
    first, same, other = (Sampler(Words(), CODES, 6) for _ in range(3))
    list(first.run(pairs()))
    list(same.run(pairs()))
    list(other.run(islice(pairs(), 3)))
    assert first.digests == same.digests
    assert first.digests["aa"] != other.digests["aa"]


def test_folder_and_json_lines_give_the_same_rows(tmp_path):
    rows = [{"zh": "一 二", "en": "one two"}, {"zh": "三", "en": "three"}]
    folder = tmp_path / "text"
    folder.mkdir()
    for code in ("zh", "en"):
        (folder / f"{code}.txt").write_text("".join(f"{row[code]}\n" for row in rows), encoding="utf-8")
    path = tmp_path / "text.jsonl"
    lines = [*rows, {"en": "alone"}]
    path.write_text("".join(json.dumps(row) + "\n" for row in lines), encoding="utf-8")
    for source in (folder, path):
        text = ParallelText.open(source)
        assert text.languages == ("en", "zh")
        assert list(text.rows()) == rows
    assert len(list(ParallelText.open(path, ["en"]).rows())) == 3


def test_defects_are_named(tmp_path):
    (tmp_path / "en.txt").write_text("one\ntwo\n")
    (tmp_path / "de.txt").write_text("eins\n")
    with pytest.raises(DataError, match=r"de\.txt ends before line 2"):
        list(ParallelText.open(tmp_path).rows())
    with pytest.raises(ConfigError, match="has no fr; it has de, en"):
        ParallelText.open(tmp_path, ["fr"])
    with pytest.raises(ConfigError, match="neither"):
        ParallelText.open(tmp_path / "none")
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"en": "one"}\n{"en": 2}\n')
    with pytest.raises(DataError, match=r"broken\.jsonl, line 2"):
        ParallelText.open(broken)
    with pytest.raises(DataError, match="no line in all of aa, bb"):
        list(Sampler(Words(), CODES, 6).run([]))
    with pytest.raises(ConfigError, match="too short"):
        Sampler(WithStart(), CODES, 2)
