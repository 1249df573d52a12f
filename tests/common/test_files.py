"""Writes are whole or not at all, and equal tables give equal bytes."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from polyfact_dataset.common.errors import DataError, RetryableError
from polyfact_dataset.common.files import (
    atomic,
    digest,
    fingerprint,
    read_json,
    read_parquet,
    write_json,
    write_parquet,
)


def test_an_interrupted_write_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_json(path, {"b": 1, "a": "é"})
    before = path.read_bytes()
    with pytest.raises(KeyError), atomic(path) as temporary:
        temporary.write_text("half")
        raise KeyError
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
    assert read_json(path) == {"a": "é", "b": 1}


def test_a_folder_that_cannot_be_written_is_a_retryable_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RetryableError, match="rerun the same command"):
        write_json(tmp_path / "file" / "x.json", 1)


def test_equal_tables_give_equal_bytes_however_they_are_chunked(tmp_path: Path) -> None:
    whole = pa.table({"a": list(range(1000))})
    cut = pa.concat_tables([whole.slice(0, 3), whole.slice(3)])
    write_parquet(tmp_path / "one", whole, 100)
    write_parquet(tmp_path / "two", cut, 100)
    assert digest(tmp_path / "one") == digest(tmp_path / "two")
    assert read_parquet(tmp_path / "one").equals(whole)


def test_unreadable_tables_name_the_file(tmp_path: Path) -> None:
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(DataError, match="broken.parquet"):
        read_parquet(tmp_path / "broken.parquet")
    write_parquet(tmp_path / "name.parquet", pa.table({"column": [1]}))
    data = (tmp_path / "name.parquet").read_bytes()
    (tmp_path / "name.parquet").write_bytes(data.replace(b"column", b"\x95olumn"))
    with pytest.raises(DataError, match=r"name\.parquet cannot be read"):
        read_parquet(tmp_path / "name.parquet")
    with pytest.raises(DataError, match="missing.json"):
        read_json(tmp_path / "missing.json")


def test_fingerprint_sees_size_and_content(tmp_path: Path) -> None:
    path = tmp_path / "dump"
    seen = set()
    for content in (b"", b"a", b"b", b"a" * (3 << 20), b"a" * (2 << 20) + b"b" + b"a" * ((1 << 20) - 1)):
        path.write_bytes(content)
        assert fingerprint(path, blocks=2) == fingerprint(path, blocks=2)
        seen.add(fingerprint(path, blocks=3))
    assert len(seen) == 5
