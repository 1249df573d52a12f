"""A few kB that would fill memory or disk are refused, in bounded memory; what is packed well is not."""

from __future__ import annotations

import bz2
import io
import os
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest
import zstandard

from polyfact_dataset.common.errors import DataError
from polyfact_dataset.config.wikidata import ExtractConfig
from polyfact_dataset.wikidata.dump import Raw, check_expansion, find_member
from tests.support.dumps import config, extract, open_dump

ROOT = Path(__file__).parents[2]
_SCRIPT = """
import resource, sys
from pathlib import Path
from polyfact_dataset.common.errors import DataError
from tests.support.dumps import config, extract
used = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
before = used()
try:
    extract(Path(sys.argv[1]), Path(sys.argv[2]), config(max_expansion=200))
except DataError as error:
    print(error)
print(used() - before)
"""


def bomb(kind: str) -> bytes:
    """256 MB of zeros in a text of one entity: as a line, or of an array in another layout."""
    layout, packing = kind.split()
    packer: Any = {
        "bz2": bz2.BZ2Compressor,
        "gz": lambda: zlib.compressobj(9, zlib.DEFLATED, 31),
        "zst": zstandard.ZstdCompressor().compressobj,
    }[packing]()
    head = b'{"id":"Q1","a":"' if layout == "line" else b'[{"id":"Q1",\n"a":"'
    zeros = b"0" * (1 << 20)
    return b"".join([packer.compress(head), *(packer.compress(zeros) for _ in range(256)), packer.flush()])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["line bz2", "line gz", "line zst", "array bz2"])
def test_a_bomb_is_refused_and_fits_into_memory(kind: str, tmp_path: Path) -> None:
    dump = tmp_path / "dump"
    dump.write_bytes(bomb(kind))
    assert dump.stat().st_size < 300_000
    command = [sys.executable, "-c", _SCRIPT, str(dump), str(tmp_path / "out")]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'benchmarks'}"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    output, grown_mb = done.stdout.splitlines()
    assert "dump dump" in output and "raise extract.max_expansion" in output
    # 256 MB of text are never in memory, let alone the several copies that parsing makes.
    assert int(grown_mb) < 250


def test_a_ratio_is_looked_at_only_where_there_is_much_text(tmp_path: Path) -> None:
    dump = tmp_path / "dump"
    dump.write_bytes(bz2.compress(b"[\n" + b" " * (1 << 25) + b"\n]\n"))
    with open_dump(dump) as text:
        assert sum(map(len, iter(lambda: text.read(1 << 20), b""))) == (1 << 25) + 5
    check_expansion("x", 1 << 26, 1, 1000)
    check_expansion("x", 1000 << 20, 1 << 20, 1000)
    with pytest.raises(DataError, match="1,048,576 compressed bytes expand to more than 1,048,576,001 of text"):
        check_expansion("x", (1000 << 20) + 1, 1 << 20, 1000)


def frame(window: int, data: bytes) -> bytes:
    """A zst frame of one raw block that says it needs a window: 5 bits of exponent (from 1 KiB on), 3 of mantissa."""
    return b"\x28\xb5\x2f\xfd\x00" + bytes([window]) + (len(data) << 3 | 1).to_bytes(3, "little") + data


@pytest.mark.parametrize("layout", [b'[\n{"id":"Q1"}\n]\n', b'[{"id":"Q1",\n"type":"item"}]'])
def test_a_frame_may_not_ask_for_more_memory_than_is_allowed(layout: bytes, tmp_path: Path) -> None:
    dump, admitted, above = tmp_path / "dump.zst", 17 << 3, 17 << 3 | 1
    assert (
        zstandard.get_frame_parameters(frame(admitted, layout)).window_size
        == 1 << 27
        == ExtractConfig().max_window_bytes
    )
    dump.write_bytes(frame(admitted, layout))
    extract(dump, tmp_path / "admitted", config())
    # Also in the middle, behind frames that ask for little.
    dump.write_bytes(frame(0, layout) + frame(above, layout))
    with pytest.raises(DataError) as refused:
        extract(dump, tmp_path / "refused", config())
    assert str(refused.value) == (
        "dump dump.zst: a zst frame requires a window of more than 134,217,728 bytes of memory; "
        "raise extract.max_window_bytes if this is expected"
    )
    dump.write_bytes(frame(above, layout))
    extract(dump, tmp_path / "raised", config(max_window_bytes=1 << 28))


def test_a_part_begins_at_a_frame_whatever_its_window() -> None:
    # One that is overlooked would take its lines with it, unnoticed.
    data = frame(0, b"{}\n" * 10)
    raw = Raw(io.BytesIO(data + frame(21 << 3, b"{}\n")), "dump.zst", 2 * len(data))
    assert find_member(raw, 1) == len(data)
